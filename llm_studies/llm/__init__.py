"""Language models behind an OpenAI-compatible server, and the studies run on them."""
