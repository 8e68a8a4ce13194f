"""The keyed permutation: every number once, another order for another key."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from train.data.lazy.permutation import key_of, permuted


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_every_number_comes_once(size: int, key: int) -> None:
    assert sorted(permuted(np.arange(size), size, key).tolist()) == list(range(size))


@given(st.integers(1, 10**12), st.integers(0, 2**64 - 1), st.data())
def test_a_place_alone_holds_what_it_holds_among_others(
    size: int, key: int, data: st.DataObject
) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20)))
    together = permuted(places, size, key)
    assert ((together >= 0) & (together < size)).all()
    alone = [int(permuted(places[n : n + 1], size, key)[0]) for n in range(len(places))]
    assert together.tolist() == alone


def test_numbers_are_spread_evenly_whatever_their_place() -> None:
    size, keys = 100, 2000
    firsts = [int(permuted(np.array([7]), size, key_of(key))[0]) for key in range(keys)]
    counts = np.bincount(firsts, minlength=size)
    chi = float(((counts - keys / size) ** 2 / (keys / size)).sum())
    assert chi < 150.0  # 99 degrees of freedom: 99.9 % of even draws stay below 149


def test_neighbours_part() -> None:
    order = permuted(np.arange(100_000), 100_000, key_of(1))
    assert np.mean(np.abs(np.diff(order)) < 1000) < 0.03
