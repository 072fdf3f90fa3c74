"""The container images (``Containerfile.*``) and the rules they keep."""
