"""Sorted records are the same, whatever memory there is."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.records.sorting import FAN, Sorter

DTYPE = np.dtype([("key", "S2"), ("count", "<i8")])
keys = st.lists(st.binary(min_size=2, max_size=2).map(lambda key: key.rstrip(b"\0")), max_size=60)


def records(values: list[bytes]) -> np.ndarray:
    found = np.ones(len(values), DTYPE)
    found["key"] = values
    return found


@pytest.mark.parametrize("memory", [1, 200, 1 << 20])
@given(values=keys)
def test_equal_keys_are_added_up_in_the_order_of_their_bytes(
    values: list[bytes], memory: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sorter = Sorter(Path(folder) / "s", DTYPE, memory, ["count"])
        for begin in range(0, len(values), 7):
            sorter.add(records(values[begin : begin + 7]))
        found = [row for piece in sorter.pieces() for row in piece.tolist()]
        assert found == sorted(Counter(values).items())
        assert not list(Path(folder).iterdir())


def test_without_totals_all_records_stay(tmp_path: Path) -> None:
    sorter = Sorter(tmp_path / "s", DTYPE, 1)
    sorter.add(records([b"b", b"a", b"b", b"a"]))
    assert [key for piece in sorter.pieces() for key in piece["key"].tolist()] == [
        b"a",
        b"a",
        b"b",
        b"b",
    ]


def test_more_runs_than_are_merged_at_once_are_merged_in_turns(tmp_path: Path) -> None:
    sorter = Sorter(tmp_path / "s", DTYPE, 1, ["count"])  # two records a run
    values = [number.to_bytes(2, "big") for number in range(1, 5 * FAN)]
    sorter.add(records(values[::-1]))
    assert len(list(tmp_path.iterdir())) > 2 * FAN
    found = np.concatenate(list(sorter.pieces()))
    assert found["key"].tolist() == records(values)["key"].tolist()
    assert set(found["count"].tolist()) == {1}


def test_nothing_sorted_is_nothing(tmp_path: Path) -> None:
    assert sum(map(len, Sorter(tmp_path / "s", DTYPE, 1000, []).pieces())) == 0
