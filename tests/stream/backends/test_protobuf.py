"""Protocol buffers: what the package onnx writes and reads, and what is no message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.backends.protobuf import decode, encode

FIELDS = st.lists(
    st.tuples(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1) | st.binary(max_size=300))
)


def test_the_bytes_are_those_of_the_encoding_guide() -> None:
    """Its examples: 150 in field 1, "testing" in field 2, the first message in field 3."""
    message = bytes.fromhex("089601 1207 74657374696e67 1a03 089601")
    fields = [(1, 150), (2, b"testing"), (3, b"\x08\x96\x01")]
    assert encode(fields) == message
    assert decode(message) == fields
    assert decode(fields[2][1]) == [(1, 150)]


@given(fields=FIELDS)
def test_what_is_encoded_is_decoded(fields: list[tuple[int, int | bytes]]) -> None:
    assert decode(encode(fields)) == fields


@pytest.mark.parametrize("file", ["encoder.onnx", "encoder.int8.onnx", "joint.integer.onnx"])
def test_a_model_is_the_same_bytes_again(file: str) -> None:
    from stream.bundled import model_path

    content = (model_path() / file).read_bytes()
    assert encode(decode(content)) == content


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"\x08", "the varint at byte 1 has no end"),
        (b"\x08" + b"\xff" * 11, "the varint at byte 1 has no end"),
        (b"\x12\x03ab", "field 2 before byte 2 of 4 has wire type 2 and length 3"),
        (b"\x0d\x00\x00\x00\x00", "field 1 before byte 2 of 5 has wire type 5"),
    ],
)
def test_what_is_no_message_of_onnx_is_refused(message: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=f"no protocol buffer of ONNX: {why}"):
        decode(message)


@given(message=st.binary(max_size=40))
def test_any_bytes_are_a_message_or_a_value_error(message: bytes) -> None:
    try:
        fields = decode(message)
    except ValueError:
        return
    assert decode(encode(fields)) == fields
