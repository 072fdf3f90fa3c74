"""Triton Inference Server: our python-based ``onnxruntime`` backend, and how a server is started."""
