"""Rings against one long array a slot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.engine.rings import CHUNKS, Rings

CHUNK = 12
SAMPLES = np.arange(1, 1000, dtype=np.float32)


def taken(rings: Rings, slot: int) -> NDArray[np.float32]:
    return rings.take_chunks(np.array([slot]))[0]


@given(
    lead=st.integers(0, CHUNK),
    pieces=st.lists(st.integers(0, 5 * CHUNK * CHUNKS), max_size=12),
    eager=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_what_is_taken_is_what_was_put_in_any_order_of_the_two(
    lead: int, pieces: list[int], eager: list[bool]
) -> None:
    rings = Rings(3, CHUNK, lead)
    row, got, put = np.array([1]), [np.zeros(0, np.float32)], 0
    for piece, take in zip(pieces, eager, strict=False):
        rings.put(1, SAMPLES[put : put + piece])
        put = min(put + piece, len(SAMPLES))
        if len(got) == 1 and rings.backlog(1) >= lead:
            got.append(rings.take_lead(row)[0])
        while take and len(got) > 1 and rings.backlog(1) >= CHUNK:
            got.append(taken(rings, 1))
    while len(got) > 1 and rings.backlog(1) >= CHUNK:
        got.append(taken(rings, 1))
    got.append(rings.take_rest(1))
    np.testing.assert_array_equal(np.concatenate(got), SAMPLES[:put])
    assert rings.received.tolist() == [0, put, 0]
    assert rings.backlog(1) == 0


def test_slots_are_taken_together_and_do_not_mix() -> None:
    rings = Rings(4, CHUNK, 0)
    for slot in range(4):
        rings.put(slot, SAMPLES[slot * 100 : slot * 100 + 2 * CHUNK])
    taken(rings, 2)
    chunks = rings.take_chunks(np.array([3, 0, 2]))
    np.testing.assert_array_equal(chunks[:, 0], [301, 1, 201 + CHUNK])
    assert [rings.backlog(slot) for slot in range(4)] == [CHUNK, 2 * CHUNK, 0, CHUNK]


@given(
    lead=st.integers(0, CHUNK - 1),
    before=st.integers(0, 2 * CHUNK * CHUNKS),
    eager=st.lists(st.booleans(), max_size=20),
)
def test_chunks_of_many_slots_are_put_as_one_by_one(
    lead: int, before: int, eager: list[bool]
) -> None:
    together, alone, rows = Rings(3, CHUNK, lead), Rings(3, CHUNK, lead), np.array([2, 0])
    for rings in (together, alone):
        rings.put(0, SAMPLES[:before])  # so that this slot may be full, or within a chunk
        rings.put(2, SAMPLES[:CHUNK])
        if before >= lead:
            rings.take_lead(rows)
    for number, take in enumerate(eager):
        chunks = np.arange(2 * CHUNK).reshape(2, CHUNK).astype(np.int16) + number
        together.put_chunks(rows, chunks)
        for row, chunk in zip(rows, chunks, strict=True):
            alone.put(int(row), chunk)
        if take and before >= lead:
            np.testing.assert_array_equal(together.take_chunks(rows), alone.take_chunks(rows))
    np.testing.assert_array_equal(together.received, alone.received)
    for slot in (0, 2):
        assert together.backlog(slot) == alone.backlog(slot)


@pytest.mark.parametrize("cast", [np.asarray, lambda x: (32768 * x).astype(np.int16)])
def test_samples_of_sixteen_bits_count_as_parts_of_full_scale(
    cast: Callable[[NDArray[np.float32]], NDArray[np.int16]],
) -> None:
    samples = np.array([-1.0, 0.5, 0.25, 32767 / 32768] * CHUNK, np.float32)
    rings = Rings(1, CHUNK, 0)
    rings.put(0, cast(samples))
    np.testing.assert_array_equal(rings.take_chunks(np.array([0]))[0], samples[:CHUNK])


def test_what_does_not_fit_is_not_copied() -> None:
    rings, samples = Rings(1, CHUNK, 0), SAMPLES.copy()
    rings.put(0, samples)
    samples[-1] = -5.0
    while rings.backlog(0) > CHUNK:
        taken(rings, 0)
    assert rings.take_rest(0)[-1] == -5.0


def test_a_cleared_slot_holds_nothing() -> None:
    rings = Rings(2, CHUNK, 4)
    rings.put(0, SAMPLES)
    rings.put(1, SAMPLES[:5])
    rings.clear(0)
    assert (rings.backlog(0), rings.backlog(1)) == (0, 5)
    rings.put(0, SAMPLES[50:54])
    np.testing.assert_array_equal(rings.take_lead(np.array([0]))[0], SAMPLES[50:54])
