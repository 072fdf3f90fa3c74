"""BloomWise (arXiv 2410.04094): a ladder of prompts after Bloom's taxonomy, and when to stop on it."""
