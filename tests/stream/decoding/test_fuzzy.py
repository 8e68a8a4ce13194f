"""Fuzzy top-k: one survivor for each packet and lane."""

from __future__ import annotations

import numpy as np
import pytest

from stream.decoding.fuzzy import LANES, VECTORS, fuzzy_logits


def test_of_a_packet_and_lane_the_largest_survives_and_the_rest_is_the_smallest_survivor() -> None:
    logits = np.random.default_rng(0).normal(0.0, 1.0, (2, 512)).astype(np.float32)
    out = fuzzy_logits(logits)
    for row in range(2):
        survivors = {}
        for packet in range(2):
            for lane in range(LANES):
                places = [packet * 256 + vector * LANES + lane for vector in range(VECTORS)]
                best = max(places, key=lambda place: logits[row, place])
                survivors[best] = logits[row, best]
        floor = min(survivors.values())
        assert out[row].tolist() == [survivors.get(place, floor) for place in range(512)]


def test_the_first_of_equals_survives() -> None:
    logits = np.zeros((1, 256), np.float32)
    logits[0, :LANES] = -1.0
    logits[0, 3 * LANES] = 2.0
    logits[0, 5 * LANES] = 2.0
    out = fuzzy_logits(logits)
    assert out[0, 3 * LANES] == 2.0
    assert out[0, 5 * LANES] == 0.0


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    logits = np.random.default_rng(1).normal(0.0, 1.0, (3, 256)).astype(np.float32)
    assert np.array_equal(fuzzy_logits(logits)[1:2], fuzzy_logits(logits[1:2]))


def test_classes_that_fill_no_packet_are_refused() -> None:
    with pytest.raises(ValueError, match="96 classes, wants a multiple of 256"):
        fuzzy_logits(np.zeros((1, 96), np.float32))
