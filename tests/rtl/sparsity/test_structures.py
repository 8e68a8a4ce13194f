"""Structures of zeros: what is left, what it takes in memory, and in clocks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.rtl.sparsity.structures import clocks, in_banks, in_words, matrices, weight_bytes
from tests.tiny import tiny_network

UNITS = 4


def test_in_banks_the_largest_weights_of_each_are_left() -> None:
    weight = np.array([[3, -1, 0.5, 2, 0.1, 0.2, -0.4, 0.3], [1, 1, 1, 1, 1, 2, 3, 4]], np.float32)
    want = [[3, 0, 0, 2, 0, 0, -0.4, 0.3], [0, 0, 1, 1, 0, 0, 3, 4]]
    assert np.array_equal(in_banks(weight, 4, 0.5), np.array(want, np.float32))


def test_in_words_every_group_has_as_many_inputs_left() -> None:
    weight = np.random.default_rng(1).normal(0.0, 1.0, (32, 12)).astype(np.float32)
    left = in_words(weight, UNITS, 0.25)
    words = np.abs(left.reshape(4, 2, UNITS, 12)).sum(axis=(0, 2)) > 0.0  # groups, inputs
    assert words.sum(axis=1).tolist() == [3, 3]
    assert np.array_equal(left[left != 0.0], weight[left != 0.0])
    strength = np.square(weight.reshape(4, 2, UNITS, 12)).sum(axis=(0, 2))
    for group in range(2):
        assert strength[group][words[group]].min() > strength[group][~words[group]].max()


def test_an_index_beside_each_weight_counts() -> None:
    weights = {"encoder.pre.0.weight_hh": np.ones((64, 16), np.float32)}
    assert weight_bytes(weights, 8, 1.0, UNITS) == 1024
    assert weight_bytes(weights, 8, 0.5, UNITS) == 512 * (8 + 3) / 8
    assert weight_bytes(weights, 0, 0.5, UNITS) == 512 + 1024 / (
        16 * 8
    )  # a bit for each word of 16


@pytest.mark.parametrize(("share", "words"), [(1.0, (256, 48)), (0.25, (64, 12))])
def test_a_layer_takes_the_clocks_of_what_is_left(share: float, words: tuple[int, int]) -> None:
    pre, post = words  # 240 and 32 inputs, 16 units in 4 groups; two steps of pre in a chunk
    weights = matrices(tiny_network())
    assert clocks(weights, share, UNITS) == 2 * (4 * pre + 25) + (4 * post + 25)
