"""The experiments of arXiv 2506.09714, one a file, each with its conditions and its claims."""
