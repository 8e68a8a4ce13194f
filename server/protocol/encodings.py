"""Encodings of raw audio that several protocols share: bytes of the wire to samples.

Names and rates differ from protocol to protocol, and are in the adapters.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stream.audio import g711
from stream.stage import Samples


@dataclass(frozen=True)
class Encoding:
    """How samples are written.

    Attributes:
        sample_bytes: of one sample of one channel.
        decode: turns whole samples into (n,) int16 of full scale, or float32.
    """

    sample_bytes: int
    decode: Callable[[bytes], Samples]


LINEAR16 = Encoding(2, lambda whole: np.frombuffer(whole, "<i2"))
MU_LAW = Encoding(1, lambda whole: g711.MU_LAW.take(np.frombuffer(whole, np.uint8)))
A_LAW = Encoding(1, lambda whole: g711.A_LAW.take(np.frombuffer(whole, np.uint8)))


def decode_base64(text: str) -> bytes:
    """Return the bytes of audio in a JSON message.

    Raises:
        ValueError: the text is not base64; the message says where it goes wrong.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"is not base64: {error}") from error
