"""Equal keys side by side, however the stream is cut."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.records.grouping import Combiner, whole_groups

DTYPE = np.dtype([("key", "<i8"), ("count", "<i8")])
sorted_keys = st.lists(st.integers(0, 6), max_size=30).map(sorted)
cuts = st.lists(st.integers(0, 30), max_size=6).map(sorted)


def cut(keys: list[int], at: list[int]) -> list[np.ndarray]:
    records = np.ones(len(keys), DTYPE)
    records["key"] = keys
    return np.split(records, at)


@given(sorted_keys, cuts)
def test_equal_keys_become_one_record_with_their_total(keys: list[int], at: list[int]) -> None:
    combiner = Combiner(["count"])
    pieces = [combiner.add(piece) for piece in cut(keys, at)]
    combined = np.concatenate([*pieces, combiner.end(np.zeros(0, DTYPE))])
    assert combined.tolist() == sorted(Counter(keys).items())


@given(sorted_keys, cuts)
def test_no_group_is_cut_and_nothing_is_lost(keys: list[int], at: list[int]) -> None:
    pieces = list(whole_groups(cut(keys, at), lambda records: records["key"]))
    assert [key for piece in pieces for key in piece["key"].tolist()] == keys
    filled = [piece for piece in pieces if len(piece)]
    assert all(one["key"][-1] != two["key"][0] for one, two in pairwise(filled))
