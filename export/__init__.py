"""Models for each target, checked by running what was written: ONNX Runtime, hardware, sherpa-onnx."""
