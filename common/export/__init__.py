"""From a torch module to a proven, published ONNX graph. Needs torch."""
