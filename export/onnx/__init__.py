"""ONNX graphs of a model: one step of a stream over a batch of any size B, in three arithmetics.

    encoder     x (B, frames, bins) and the encoder's states -> f (B, J), the states after
    prediction  token (B,) int64, blank for start; its states -> g (B, J), the states after
    joint       f (B, J), g (B, J) -> logits (B, C)
    ctc         f (B, J) -> log_probabilities (B, C), of a model with a CTC head

An output named like an input plus ".after" is the state after the step.

graph       nodes, weights, and the bytes of the file
arithmetic  what the parts of a model are written with, by float32, int8 and integer
lstm        stacks of LSTM layers in each arithmetic
family      what a family of encoders or prediction networks gives
encoders/   the encoder, a file a family
prediction/ the prediction network, a file a family
joint       the joint
ctc         the CTC head
`export.build` puts them together.
"""
