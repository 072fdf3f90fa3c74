"""Music few-shot tagging: LC-Protonets."""
