"""Models for sherpa-onnx: Rill's graphs with its inputs and outputs."""
