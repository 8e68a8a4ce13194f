"""MPEG audio (MP3): how long it is, and whether it is all there.

Encoders of recordings write a first frame without sound, "Xing", "Info" or "VBRI", that says how long
the file is. A piped stream has no such frame; in concatenated files it describes only the first. We then
count frames and give the decoder a corrected one, since decoders stop where it says. A truncated last
frame means a truncated recording.

Sources: ISO/IEC 11172-3 and 13818-3 (frame header), the LAME project's description of the tag.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass

from stream.audio.layout import Layout
from stream.audio.source import Source

BIT_RATES = {  # kbit/s by (MPEG 1, layer) and code
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44100, 48000, 32000)
HAS_FRAMES, HAS_BYTES = 1, 2
VBRI_AT = 36  # in the frame
SEARCHED_BYTES = 1 << 16  # for the last frame
TAGS_BYTES = 256  # after the last frame, for which frames are not counted
WINDOW_BYTES = 1 << 20
ROW = 3  # consecutive frames that are no accident


@dataclass(frozen=True)
class _Frame:
    """Header of a frame; `length` in bytes, 0 where the bit rate is free."""

    kind: int  # version, layer and sample rate, the same in all frames of a file
    length: int
    side_info: int  # bytes from the frame's begin to a Xing tag


def is_frame(head: bytes) -> bool:
    """Tell whether four bytes are the header of a frame."""
    return _read_frame(head) is not None


def read_mpeg(source: Source, start: int) -> Layout:
    """Read an MPEG audio file.

    Args:
        source: a file, not a pipe: the end is read first.
        start: offset of the first frame, after tags of ID3v2.
    """
    size = source.size
    head = source.peek(start, 256)
    first = _read_frame(head[:4])
    if size is None or first is None or not first.length:
        return Layout("MP3")
    told, promised = _read_tag(head, first)
    # The tag counts from the first frame; some encoders leave out that frame itself.
    if size - start < promised - first.length:
        return Layout(
            "MP3", f"its first frame says {promised} bytes, but there are only {size - start}"
        )
    trusted = promised and size - start - promised < TAGS_BYTES
    begin = max(start, size - SEARCHED_BYTES) if trusted else start
    frames, end = _count_frames(source, begin, first)
    if end > size:
        return Layout("MP3", "its last frame is not whole")
    if trusted or frames <= told + ROW:
        return Layout("MP3")
    begin = start + first.length if promised else start  # the tag that says too little is left out
    return Layout("MP3", prefix=_tag(head[:4], frames, size - begin), prefix_at=begin)


def _read_tag(head: bytes, frame: _Frame) -> tuple[int, int]:
    """Return the frames and the bytes that a first frame promises, 0 where it does not."""
    at = frame.side_info
    if head[at : at + 4] in (b"Xing", b"Info"):
        flags, *numbers = struct.unpack(">III", head[at + 4 : at + 16].ljust(12, b"\0"))
        frames = numbers.pop(0) if flags & HAS_FRAMES else 0
        return frames, numbers[0] if flags & HAS_BYTES else 0
    if head[VBRI_AT : VBRI_AT + 4] == b"VBRI":
        size, frames = struct.unpack(">II", head[VBRI_AT + 10 : VBRI_AT + 18])
        return frames, size
    return 0, 0


def _count_frames(source: Source, begin: int, first: _Frame) -> tuple[int, int]:
    """Return how many frames there are from an offset on, and where the last one should end."""
    at, frames = begin, 0
    base, window = begin, b""
    row = 0  # consecutive frames; one alone may be an accident
    while True:
        if at + 4 > base + len(window):
            base, window = at, source.peek(at, WINDOW_BYTES)
            if len(window) < 4:
                at += 4 if row and window.startswith(b"\xff") else 0  # not even a whole header
                break
        frame = _read_frame(window[at - base : at - base + 4])
        if frame is not None and frame.kind == first.kind and frame.length:
            at += frame.length
            frames, row = frames + 1, row + 1
            continue
        following = window.find(b"\xff", at - base + 1)
        at = base + (following if following >= 0 else len(window))
        row = 0
    return frames, at if row >= ROW else begin


def _tag(head: bytes, frames: int, size: int) -> bytes:
    """Return a frame without sound that says how long what follows is.

    Args:
        head: of the first frame; only the bit rate may be another, for there has to be room.
    """
    for code in range(1, 15):
        like = bytes([0xFF, head[1] | 1, head[2] & 0x0C | code << 4, head[3]])
        frame = _read_frame(like)
        if frame is not None and frame.length >= frame.side_info + 16:
            break
    assert frame is not None
    tag = b"Xing" + struct.pack(">III", HAS_FRAMES | HAS_BYTES, frames, size + frame.length)
    return (like + bytes(frame.side_info - 4) + tag).ljust(frame.length, b"\0")


@functools.lru_cache(maxsize=256)  # the headers of a file are few
def _read_frame(head: bytes) -> _Frame | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or bits == 15 or rate == 3:
        return None
    first = version == 3  # MPEG 1; 2 and 2.5 have lower rates
    hertz = RATES[rate] >> (0 if first else 1 if version == 2 else 2)
    kilobits = BIT_RATES[first, layer][bits]
    mono = head[3] >> 6 == 3
    side_info = 4 + ((17 if mono else 32) if first else (9 if mono else 17))
    if layer == 1:
        length = (12_000 * kilobits // hertz + padding) * 4
    else:
        length = (144_000 if first or layer == 2 else 72_000) * kilobits // hertz + padding
    return _Frame(head[1] & 0x1E | rate << 8, length if kilobits else 0, side_info)
