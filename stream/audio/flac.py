"""FLAC: how many samples the header promises, and where the last frame of the file ends.

The header of a frame names its first sample and how many there are, and two checksums tell a frame
from what looks like one, so the end of a file is enough to know what it holds. Source: RFC 9639.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from stream.audio.layout import SEVERAL, Layout
from stream.audio.source import Source

BEGINNING = b"fLaC\0\0\0\x22"  # of a file; the first block's type, and its 34 bytes
STREAMINFO = slice(4, 42)  # after the marker: a header of 4 bytes, then 34
TOTAL_AT = 4 + 4 + 13  # after the marker: 4 bits of other fields, then 36 of the number of samples
SYNC = b"\xff\xf8", b"\xff\xf9"  # frames of fixed, of variable size
LONGEST_HEADER = 16
SEARCHED_BYTES = 1 << 18  # for the last frame, where the header does not say how long frames are
ID3V1_BYTES = 128  # a tag that some programs write after everything


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1) ^ polynomial if value & top else value << 1
        table.append(value & mask)
    return tuple(table)


CRC_8 = _table(0x07, 8)
CRC_16 = _table(0x8005, 16)
CRC_16_OF_TWO = tuple((value << 8 & 0xFFFF) ^ CRC_16[value >> 8] for value in CRC_16)


@dataclass(frozen=True)
class _Frame:
    """First sample of a frame, and the one after its last."""

    first: int
    end: int


def read_flac(source: Source, start: int) -> Layout:
    """Read a native FLAC file.

    Args:
        source: a file, not a pipe: the end is read first.
        start: offset of the marker, after a tag of ID3v2 if there is one.
    """
    size = source.size
    info = source.peek(start, 42)[STREAMINFO]
    if size is None or len(info) < 38:
        return Layout("FLAC")
    info = info[4:]
    block, largest = struct.unpack(">2xH3xI", info[:11])[0], int.from_bytes(info[7:10])
    total = int.from_bytes(info[13:18]) & (1 << 36) - 1
    end = size
    if size > ID3V1_BYTES and source.peek(size - ID3V1_BYTES, 3) == b"TAG":
        end -= ID3V1_BYTES
    window = max(SEARCHED_BYTES, 2 * largest)
    begin = max(start + 42, end - window)
    tail = source.peek(begin, end - begin)
    if BEGINNING in tail:
        return Layout("FLAC", fault=SEVERAL)
    found = _last_frame(tail, block, info)
    if found is None:
        return Layout("FLAC")  # the decoder says what this is
    at, frame = found
    whole = _crc_16(tail[at:]) == 0
    there = frame.end if whole else frame.first
    if total and (there < total or not whole):
        return Layout("FLAC", f"its header says {total} samples, but there are only {there}")
    if total and there > total:
        return Layout("FLAC", fault=SEVERAL)
    if not whole:
        return Layout("FLAC", f"its last frame is not whole, and {there} samples are before it")
    if total:
        return Layout("FLAC")
    # 4 bits of another field, which stay, and 36 of the number of samples.
    field = int.from_bytes(info[13:18]) | min(there, (1 << 36) - 1)
    return Layout("FLAC", fields={start + TOTAL_AT: field.to_bytes(5)})


def _last_frame(tail: bytes, block: int, info: bytes) -> tuple[int, _Frame] | None:
    """Return offset and samples of the last frame that begins in some bytes."""
    at = len(tail)
    while at > 0:
        at = max(tail.rfind(sync, 0, at + 1) for sync in SYNC)
        if at < 0:
            return None
        frame = _read_frame(tail[at : at + LONGEST_HEADER], block, info)
        if frame is not None:
            return at, frame
    return None


def _read_frame(head: bytes, block: int, info: bytes) -> _Frame | None:
    """Return what the header of a frame says, None where the bytes are none of this file's."""
    if len(head) < 6:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    channels, bits = head[3] >> 4, head[3] >> 1 & 7
    if size_code == 0 or rate_code == 15 or channels > 10 or bits == 3 or head[3] & 1:
        return None
    if (channels if channels < 8 else 1) != (info[12] >> 1 & 7):
        return None
    length = 1 if head[4] < 0x80 else 8 - (head[4] ^ 0xFF).bit_length()
    if head[4] >= 0x80 and not 2 <= length <= 7:
        return None
    number = head[4] & (0x7F if length == 1 else (1 << (7 - length)) - 1)
    for byte in head[5 : 4 + length]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    at = 4 + length
    if size_code in (6, 7):
        width = size_code - 5
        samples = int.from_bytes(head[at : at + width]) + 1
        at += width
    else:
        samples = 192 if size_code == 1 else _size(size_code)
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(head) <= at or _crc_8(head[: at + 1]) != 0:
        return None
    first = number if head[1] & 1 else number * block
    return _Frame(first, first + samples)


def _size(code: int) -> int:
    return 576 << (code - 2) if code < 6 else 256 << (code - 8)


def _crc_8(data: bytes) -> int:
    """Return the remainder over bytes; 0 where the checksum at their end is right."""
    value = 0
    for byte in data:
        value = CRC_8[value ^ byte]
    return value


def _crc_16(data: bytes) -> int:
    """Return the remainder over bytes, two at a time; 0 where the checksum at their end is right."""
    value = 0
    if len(data) % 2:
        data = b"\0" + data  # zeros in front change nothing
    for (pair,) in struct.iter_unpack(">H", data):
        high, low = divmod(value ^ pair, 256)
        value = CRC_16_OF_TWO[high] ^ CRC_16[low]
    return value
