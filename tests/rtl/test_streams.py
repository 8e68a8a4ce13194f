"""Streams by clocks and bandwidth."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwckpt.hardware_bundle import Bundle
from tests.rtl.streams import CHUNK, chunk_clocks, main, streams

BundleOf = Callable[[str], Bundle]
FAST = 1e9  # bytes a clock


def test_the_clocks_of_a_chunk_are_those_of_its_layers(bundle_of: BundleOf) -> None:
    layers = bundle_of("plain").manifest.layers
    # pre: 240 and 16 of h for 4 groups, twice; post: 32 and 16; e: 16 for one group, which takes 20 clocks
    encoder = 2 * (4 * 256 + 30) + (4 * 48 + 30) + (20 + 34)
    logits = 16 + 8 + (2 * 20 + 34)
    assert chunk_clocks(layers, 4, 1, FAST, tokens=0.0) == pytest.approx(encoder + logits, abs=0.1)


def test_slow_weights_come_once_for_all_channels_in_the_encoder(bundle_of: BundleOf) -> None:
    layers = bundle_of("plain").manifest.layers
    one, two, three = (chunk_clocks(layers, 4, n, 0.1, tokens=0.0) for n in (1, 2, 3))
    assert three - two == pytest.approx(two - one)  # the decoder, and the last group of each layer
    assert two - one < 0.2 * one


def test_streams_are_the_channels_whose_chunks_are_done_in_time(bundle_of: BundleOf) -> None:
    layers = bundle_of("plain").manifest.layers
    carried = streams(layers, 4, 1e6, 1e9)
    clocks = [chunk_clocks(layers, 4, n, 1e3) for n in (carried, carried + 1)]
    assert clocks[0] <= CHUNK * 1e6 < clocks[1]
    assert streams(layers, 4, 1e6, 1e4) == 0  # the weights take longer than a chunk


def test_the_table_of_the_bundled_model_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
