"""Graphs with the s8 weights of their integer products as u8, for CPUs where u8 times s8 saturates.

A weight w of s8 is w + 128 of u8 with zero point 128: the same byte with its highest bit flipped. So

1. the initializer is declared u8; its bytes stay where they are, in the graph or in the file beside it;
2. what has the weight's name is its BitwiseXor with 128, which ONNX Runtime computes once, at load;
3. the products get the zero point 128.

All sums are the same integers. Numbers of fields and types are onnx.proto's.
"""

from __future__ import annotations

from collections.abc import Set

from stream.backends.protobuf import Field, decode, encode

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR = 1, 2, 4
TENSOR_TYPE, TENSOR_NAME, TENSOR_BYTES = 2, 8, 9
UINT8, INT8 = 2, 3

WEIGHT = 1  # its place among a product's inputs
ZERO_POINT = {b"MatMulInteger": 3, b"MatMulIntegerToFloat": 5}  # of the weight: its place
HIGHEST_BIT = b"highest_bit"  # the constant 128
SIGNED = b".signed"


def unsigned_weights(model: bytes) -> bytes:
    """Return an ONNX model with the s8 weights of its integer products as u8.

    Args:
        model: of opset 18 or later. Its s8 initializers are weights of such products and nothing else,
            with no zero point.
    Raises:
        ValueError: it is no ONNX model.
    """
    return encode(
        (number, _graph(content) if number == MODEL_GRAPH else content)
        for number, content in decode(model)
    )


def _graph(content: bytes) -> bytes:
    graph = decode(content)
    tensors = [dict(decode(each)) for number, each in graph if number == GRAPH_INITIALIZER]
    weights = {each[TENSOR_NAME] for each in tensors if each.get(TENSOR_TYPE) == INT8}
    changed = [(GRAPH_NODE, _flip(weight)) for weight in sorted(weights)]
    for number, each in graph:
        if number == GRAPH_NODE:
            each = _node(each, weights)
        elif number == GRAPH_INITIALIZER:
            each = _initializer(each)
        changed.append((number, each))
    bit = [(TENSOR_TYPE, UINT8), (TENSOR_NAME, HIGHEST_BIT), (TENSOR_BYTES, b"\x80")]
    return encode([*changed, (GRAPH_INITIALIZER, encode(bit))] if weights else graph)


def _flip(weight: bytes) -> bytes:
    """Return the node of rule 2."""
    inputs: list[Field] = [(NODE_INPUT, weight + SIGNED), (NODE_INPUT, HIGHEST_BIT)]
    return encode([*inputs, (NODE_OUTPUT, weight), (NODE_OPERATOR, b"BitwiseXor")])


def _initializer(content: bytes) -> bytes:
    """Return an initializer by rule 1, or as it is."""
    tensor = decode(content)
    if (TENSOR_TYPE, INT8) not in tensor:
        return content
    declared = {TENSOR_TYPE: UINT8, TENSOR_NAME: dict(tensor)[TENSOR_NAME] + SIGNED}
    return encode((number, declared.get(number, each)) for number, each in tensor)


def _node(content: bytes, weights: Set[bytes]) -> bytes:
    """Return a node by rule 3, or as it is."""
    node = decode(content)
    inputs = [each for number, each in node if number == NODE_INPUT]
    place = ZERO_POINT.get(dict(node).get(NODE_OPERATOR, b""))
    if place is None or inputs[WEIGHT] not in weights:
        return content
    inputs += [b""] * (place + 1 - len(inputs))
    inputs[place] = HIGHEST_BIT
    rest = [field for field in node if field[0] != NODE_INPUT]
    return encode([(NODE_INPUT, each) for each in inputs] + rest)
