"""Streams by clocks and bandwidth."""

from __future__ import annotations

from collections.abc import Callable

from hwckpt.hardware_bundle import Bundle
from tests.rtl.streams import CHUNK, Work, streams, work


def test_the_encoders_weights_count_once_and_the_decoders_for_each_stream() -> None:
    of = Work(encode=1000.0, decode=100.0, encoder=600, decoder=10.0)
    assert streams(of, 1e6, 1e9) == CHUNK / 1.1e-3
    assert streams(of, 1e6, 20_000.0) == CHUNK / 1.5e-3  # 10 bytes take half a millisecond
    assert streams(of, 1e6, 9_000.0) == 0.0  # the weights take longer than a chunk


def test_the_work_of_a_chunk_is_that_of_its_layers(bundle_of: Callable[[str], Bundle]) -> None:
    of = work(bundle_of("plain"), 4)
    # pre: 240 and 16 of h for 4 groups, twice; post: 32 and 16; e: 16 for one group, which takes 18 clocks
    assert of.encode == 2 * (4 * 256 + 24) + (4 * 48 + 24) + (18 + 24)
    assert of.encoder == 2 * 4 * 256 * 16 + 4 * 48 * 16 + 16 * 16
