"""ONNX graphs of a network, and the model directory that holds them."""
