"""Running graphs: embedded ONNX Runtime, a remote Triton, or a fake for tests, behind one interface."""
