from __future__ import annotations

import msgspec
import numpy as np
import pytest

from server.adapters.myrtle_messages import (
    NOTHING,
    Alternative,
    Response,
    pcm_bytes,
    read_response,
)


@pytest.mark.parametrize("chunk", [0, 1, 3, 99, 60_000])
def test_the_response_to_a_silent_chunk_is_encoded_as_any_other(chunk: int) -> None:
    start, end = chunk * 960 / 16000, (chunk + 1) * 960 / 16000
    response = Response(start, end, False, [Alternative("", 1.0)])
    assert (NOTHING % (start, end)).encode() == msgspec.json.encode(response)


def test_a_response_of_myrtles_own_server_is_read_and_other_keys_are_left_alone() -> None:
    message = (
        b'{"start":0.0,"end":0.06,"is_provisional":true,"more":1,'
        b'"alternatives":[{"transcript":" up","confidence":1.0}]}'
    )
    assert read_response(message) == Response(0.0, 0.06, True, [Alternative(" up")])


def test_samples_of_sixteen_bits_come_back_and_louder_ones_are_clipped() -> None:
    values = np.arange(-32768, 32768, 257)
    assert pcm_bytes(values.astype(np.float32) / 32768) == values.astype("<i2").tobytes()
    assert (
        pcm_bytes(np.array([-2.0, 2.0], np.float32)) == np.array([-32768, 32767], "<i2").tobytes()
    )
