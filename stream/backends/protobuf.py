"""Protocol buffers as far as ONNX models have them: fields of unsigned integers and of bytes.

Used to write and modify models at serving time, when `onnx` is not installed.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

Field: TypeAlias = tuple[int, Any]  # number; int or bytes, a message within this one too
VARINT, LENGTH = 0, 2  # wire types


def encode(fields: Iterable[Field]) -> bytes:
    """Return the message of these fields."""
    parts = []
    for number, content in fields:
        if isinstance(content, int):
            parts += [_varint(number << 3 | VARINT), _varint(content)]
        else:
            parts += [_varint(number << 3 | LENGTH), _varint(len(content)), content]
    return b"".join(parts)


def decode(message: bytes) -> list[Field]:
    """Return the fields of a message, in its order.

    Raises:
        ValueError: it ends within a field, or has one of another wire type.
    """
    fields: list[Field] = []
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        value, at = _read_varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            fields.append((number, value))
        elif kind == LENGTH and at + value <= len(message):
            fields.append((number, message[at : at + value]))
            at += value
        else:
            raise ValueError(
                f"no protocol buffer of ONNX: field {number} before byte {at} of {len(message)} has "
                f"wire type {kind} and length {value}"
            )
    return fields


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the varint at a byte, and where it ends."""
    value = 0
    for n, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            return value, at + n + 1
    raise ValueError(f"no protocol buffer of ONNX: the varint at byte {at} has no end")
