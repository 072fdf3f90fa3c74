"""What stands behind ``/v1/llm``: the configured language model, and what is asked of it for one caller."""
