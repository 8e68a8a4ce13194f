"""Models for sherpa-onnx: Rill's graphs behind its inputs and outputs."""
