"""Models of known behaviour behind an OpenAI-compatible server: what is estimated can be checked."""
