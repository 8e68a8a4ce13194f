from __future__ import annotations

import numpy as np
import pytest

from server.protocol.encodings import A_LAW, LINEAR16, MU_LAW, Encoding, decode_base64
from stream.audio import as_float


def test_linear16_is_little_endian_and_keeps_its_integers() -> None:
    samples = LINEAR16.decode(b"\x01\x00\x00\x80")
    assert samples.dtype == np.int16 and samples.tolist() == [1, -32768]


@pytest.mark.parametrize(
    "encoding, silence, loudest",
    [(MU_LAW, b"\xff\x7f", b"\x80\x00"), (A_LAW, b"\xd5\x55", b"\xaa\x2a")],
)
def test_g711_is_one_byte_a_sample(encoding: Encoding, silence: bytes, loudest: bytes) -> None:
    assert encoding.sample_bytes == 1
    assert np.abs(as_float(encoding.decode(silence))).max() < 0.001
    plus, minus = as_float(encoding.decode(loudest))
    assert plus == -minus and 0.9 < plus < 1


def test_what_is_not_base64_is_an_error_that_says_so() -> None:
    assert decode_base64("AAE=") == b"\x00\x01"
    for text in ("?", "AAE", "é"):
        with pytest.raises(ValueError, match="^is not base64: "):
            decode_base64(text)
