from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.http.frames import REFUSED, MaskedFrames


class Recorder:
    """A reader that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        self.ended = True


def frame(size: int, masked: bool = True, opcode: int = 0x82) -> bytes:
    """Return a frame of zeros, with the shortest length there is."""
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((opcode, bit | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", opcode, bit | 126, size)
    else:
        head = struct.pack("!BBQ", opcode, bit | 127, size)
    return head + bytes(4 * masked + size)


def feed(data: bytes, cuts: list[int]) -> bytes:
    """Return what a reader gets of bytes that come in pieces."""
    recorder = Recorder()
    frames = MaskedFrames(recorder)
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for start, end in zip(places, places[1:], strict=False):
        frames.feed_data(data[start:end])
    return recorder.data


SIZES = st.lists(st.sampled_from([0, 1, 125, 126, 127, 1000, 65535, 65536]), max_size=5)


@given(SIZES, st.lists(st.integers(0, 3000), max_size=8))
def test_masked_frames_go_through_however_they_are_cut(sizes: list[int], cuts: list[int]) -> None:
    data = b"".join(frame(size) for size in sizes)
    assert feed(data, cuts) == data


@given(SIZES, st.sampled_from([0, 125, 126, 65536]), st.lists(st.integers(0, 3000), max_size=8))
def test_behind_the_first_unmasked_frame_nothing_goes_through(
    sizes: list[int], unmasked: int, cuts: list[int]
) -> None:
    good = b"".join(frame(size) for size in sizes)
    data = good + frame(unmasked, masked=False) + frame(3)
    assert feed(data, cuts) == good + REFUSED


@pytest.mark.parametrize("opcode", [0x81, 0x88, 0x89, 0x8A, 0x80])
def test_frames_of_every_kind_have_to_be_masked(opcode: int) -> None:
    assert feed(frame(2, masked=False, opcode=opcode), []) == REFUSED


def test_the_end_is_handed_on() -> None:
    recorder = Recorder()
    MaskedFrames(recorder).feed_eof()
    assert recorder.ended
