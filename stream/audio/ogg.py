"""Ogg: whether the last page is there. Opus, Vorbis and FLAC in Ogg are all alike to it.

An Ogg file has no size in a header; its last page is marked as the end of the stream (RFC 3533).
"""

from __future__ import annotations

from stream.audio.layout import SEVERAL, Layout
from stream.audio.source import TAIL_BYTES, Source

CAPTURE = b"OggS"
HEADER_BYTES = 27
LONGEST_PAGE = HEADER_BYTES + 255 + 255 * 255
BEGIN_OF_STREAM, END_OF_STREAM = 2, 4
SERIAL = slice(14, 18)
MOST_STREAMS = 16  # side by side


def read_ogg(source: Source) -> Layout:
    """Read an Ogg file (not a pipe: the end is read first)."""
    size = source.size
    if size is None:
        return Layout("Ogg")
    begin = max(0, size - TAIL_BYTES)
    tail = source.peek(begin, size - begin)
    if lack := lack_at_end(tail, begin):
        return Layout("Ogg", lack)
    if tail[tail.rfind(CAPTURE) :][SERIAL] not in _first_serials(source):
        return Layout("Ogg", fault=SEVERAL)
    return Layout("Ogg")


def lack_at_end(tail: bytes, begin: int) -> str:
    """Return what is missing at the end of a stream, "" where nothing is.

    Args:
        tail: its last bytes, `TAIL_BYTES` or all.
        begin: the offset of the first of them.
    """
    at = tail.rfind(CAPTURE)
    page = tail[at:] if at >= 0 else b""
    if not page:
        return "it does not end in a page of Ogg"
    if len(page) < HEADER_BYTES or len(page) < _length(page):
        return f"its last page, at byte {begin + at}, is not whole"
    if not page[5] & END_OF_STREAM:
        return f"its last page, at byte {begin + at}, is not marked as the last"
    return ""


def _first_serials(source: Source) -> set[bytes]:
    """Return the serial numbers of the streams that begin with the file."""
    at, serials = 0, set[bytes]()
    for _ in range(MOST_STREAMS):
        page = source.peek(at, LONGEST_PAGE)
        if (
            not page.startswith(CAPTURE)
            or len(page) < HEADER_BYTES
            or not page[5] & BEGIN_OF_STREAM
        ):
            break
        serials.add(page[SERIAL])
        at += _length(page)
    return serials


def _length(page: bytes) -> int:
    segments = page[26]
    table = page[HEADER_BYTES : HEADER_BYTES + segments]
    return HEADER_BYTES + segments + sum(table)
