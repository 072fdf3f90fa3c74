"""Benches of the suite itself: load, ceilings, and their ratios within one run."""
