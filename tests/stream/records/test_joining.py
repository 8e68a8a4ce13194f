"""Records of a sorted stream are found for keys that only grow."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.records.joining import Following

DTYPE = np.dtype([("key", "S1"), ("value", "<i8")])
letters = st.sampled_from([bytes([letter]) for letter in b"abcdefgh"])


@given(
    there=st.sets(letters).map(sorted),
    asked=st.lists(letters, max_size=20).map(sorted),
    rows=st.integers(1, 4),
    at=st.integers(0, 20),
)
def test_every_key_that_is_there_is_found_however_both_are_cut(
    there: list[bytes], asked: list[bytes], rows: int, at: int
) -> None:
    records = np.zeros(len(there), DTYPE)
    records["key"], records["value"] = there, [key[0] for key in there]
    pieces = (records[begin : begin + rows] for begin in range(0, len(records), rows))
    following = Following(pieces, DTYPE)
    for keys in (asked[:at], asked[at:]):
        found, values = following.find(np.array(keys, "S1"))
        assert found.tolist() == [key in there for key in keys]
        assert values["value"].tolist() == [key[0] if key in there else 0 for key in keys]
