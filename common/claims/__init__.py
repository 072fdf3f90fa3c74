"""The claims harness: statistics, verdicts, report."""
