"""The training loop and what surrounds it. Needs torch."""
