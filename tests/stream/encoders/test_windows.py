"""Windows: blocks, rotations and what a frame sees."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.encoders.windows import Windows, windows


def of(frames: int, chunk: int, left: int, filled: int = 0, absent: int = 0) -> Windows:
    """Return the windows of one row whose cache has its last `filled` places, without its last frames."""
    held = np.arange(left)[None] >= left - filled
    present = np.arange(frames)[None] < frames - absent
    return windows(held, present, np.zeros((1, frames, 4)), chunk, left, head_size=4)


@given(
    chunk=st.integers(1, 4),
    chunks=st.integers(1, 9),
    left=st.integers(0, 7),
    filled=st.integers(0, 7),
    absent=st.integers(0, 5),
)
def test_a_frame_sees_what_is_present_of_its_chunk_and_of_the_left_before_it(
    chunk: int, chunks: int, left: int, filled: int, absent: int
) -> None:
    frames, filled = chunk * chunks, min(filled, left)
    absent = min(absent, frames)
    found = of(frames, chunk, left, filled, absent)
    places = np.arange(left + frames)[None, None, :, None]
    of_window = found.keys(places)[0, 0, :, :, 0]  # (blocks, left + block)
    assert found.block % chunk == 0
    assert found.block <= max(left + chunk - 1, chunk)  # so memory is linear in the frames
    for frame in range(frames):
        at = divmod(frame, found.block)
        got = of_window[at[0]][found.seen[0, 0, at[0], at[1], 0]].tolist()
        begin = frame // chunk * chunk
        want = [
            place
            for place in range(begin, begin + left + chunk)
            if left - filled <= place < left + frames - absent
        ]
        assert got == want


def test_frames_come_back_from_their_blocks() -> None:
    found = of(frames=10, chunk=2, left=3)
    x = np.arange(10.0).reshape(1, 1, 10, 1, 1)
    np.testing.assert_array_equal(found.frames_of(found.queries(x)), x)


def test_products_of_rotated_vectors_depend_on_their_distance_alone() -> None:
    found = of(frames=50, chunk=10, left=20)
    rng = np.random.default_rng(0)
    query, key = rng.standard_normal((2, 4))
    rotated = [found.rotate(np.broadcast_to(v, (1, 1, 70, 1, 4)))[0, 0, :, 0] for v in (query, key)]
    products = rotated[0] @ rotated[1].T
    for distance in (-9, 0, 1, 7, 29):
        along = np.diagonal(products, distance)
        np.testing.assert_allclose(along, along[0], rtol=0, atol=1e-12)
    assert np.abs(np.diff(products[0])).min() > 1e-6


def test_the_cache_is_filled_by_the_frames_that_are_present() -> None:
    assert of(frames=2, chunk=2, left=5, filled=1).filled.tolist() == [
        [False, False, True, True, True]
    ]
    found = of(frames=4, chunk=2, left=3, filled=3, absent=1)
    assert found.filled.tolist() == [[True, True, False]]
