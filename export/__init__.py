"""One file per target: ONNX model directories, hardware checkpoints."""
