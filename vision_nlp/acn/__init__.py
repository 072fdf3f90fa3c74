"""Auto-compressing networks: every block is added straight to the output (arXiv 2506.09714)."""
