"""Containers of chunks with sizes: WAV and its 64-bit kin, AIFF, CAF; and the plain AU and SPHERE.

Only the chunks that say where the audio lies are read; decoding the samples is the decoder's job. Sources:
Microsoft's RIFF and WAVEFORMATEX, EBU Tech 3306 (RF64), Sony's Wave64, Apple's AIFF-C and Core Audio
Format, NIST SPHERE.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from stream.audio.layout import SEVERAL, Layout, Promise, sized
from stream.audio.source import Source

MOST_CHUNKS = 1000  # before the audio; a file of nothing but empty chunks is no recording
LARGEST, PLACEHOLDER = 0xFFFFFFFF, 0x7FFFF000  # of 32 bits; the latter and more say nothing
# Tags of WAVEFORMATEX whose samples have a fixed width: PCM, float, A-law, mu-law, extensible.
FIXED_WIDTH = (1, 3, 6, 7, 0xFFFE)
AU_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # bytes of each encoding
SPHERE_BYTES = 16384  # most of a header that is looked at


@dataclass(frozen=True)
class _Kind:
    """How chunks look: bytes of a name, its size, and whether that counts both.

    Attributes:
        name: bytes.
        size: for `struct`.
        align: at which multiple the next chunk begins.
        inclusive: whether the size counts the chunk's own header.
    """

    name: int
    size: struct.Struct
    align: int
    inclusive: bool = False

    @property
    def header(self) -> int:
        return self.name + self.size.size


@dataclass(frozen=True)
class _Chunk:
    """A chunk: offset of its size field, offset and bytes of its body."""

    size_at: int
    start: int
    size: int


LITTLE = _Kind(4, struct.Struct("<I"), 2)
BIG = _Kind(4, struct.Struct(">I"), 2)
WAVE64 = _Kind(16, struct.Struct("<Q"), 8, inclusive=True)
CORE = _Kind(4, struct.Struct(">q"), 1)


def _read_chunks(source: Source, at: int, kind: _Kind, last: bytes) -> dict[bytes, _Chunk]:
    """Return the chunks from an offset up to the one of a name, by the first four bytes of theirs."""
    found: dict[bytes, _Chunk] = {}
    for _ in range(MOST_CHUNKS):
        head = source.peek(at, kind.header)
        if len(head) < kind.header:
            break
        size = kind.size.unpack_from(head, kind.name)[0] - kind.inclusive * kind.header
        chunk = _Chunk(at + kind.name, at + kind.header, size)
        found.setdefault(head[:4], chunk)
        if last in found:
            break
        at = -(-(chunk.start + max(0, size)) // kind.align) * kind.align
    return found


def _numbers(source: Source, at: int, pattern: str) -> tuple[int, ...]:
    """Return numbers at an offset; those that the file is too short for are 0."""
    wanted = struct.calcsize(pattern)
    return struct.unpack(pattern, source.peek(at, wanted).ljust(wanted, b"\0"))


def _wave_format(source: Source, chunks: dict[bytes, _Chunk], order: str = "<") -> tuple[int, int]:
    """Return tag and bytes of a frame (or of a block of compressed samples)."""
    if b"fmt " not in chunks:
        return 0, 1
    tag, _, _, _, align = _numbers(source, chunks[b"fmt "].start, f"{order}HHIIH")
    return tag, max(1, align)


def read_riff(source: Source) -> Layout:
    """Read WAV: RIFF, or big-endian RIFX."""
    order = "<" if source.peek(0, 4) == b"RIFF" else ">"
    chunks = _read_chunks(source, 12, LITTLE if order == "<" else BIG, b"data")
    data = chunks.get(b"data")
    if data is None:
        return Layout("WAV")
    tag, frame = _wave_format(source, chunks, order)
    (whole,) = _numbers(source, 4, f"{order}I")
    # A header that counts something after an empty chunk of data is finished, and empty.
    unwritten = data.size == 0 and (8 + whole <= data.start or whole >= PLACEHOLDER)

    def fields(size: int) -> dict[int, bytes]:
        return {data.size_at: struct.pack(f"{order}I", min(size, LARGEST))}

    if not source.live and source.peek(8 + whole + whole % 2, 4) in (b"RIFF", b"RIFX"):
        return Layout("WAV", fault=SEVERAL)
    promise = Promise(data.start, data.size, frame)
    return sized(source, "WAV", promise, unwritten, fields, streams=tag in FIXED_WIDTH)


def read_rf64(source: Source) -> Layout:
    """Read RF64 or BW64: sizes of 64 bits in the chunk ds64."""
    chunks = _read_chunks(source, 12, LITTLE, b"data")
    data, sizes = chunks.get(b"data"), chunks.get(b"ds64")
    if data is None:
        return Layout("RF64")
    _, frame = _wave_format(source, chunks)
    size = data.size
    if sizes is not None and size == LARGEST:
        (size,) = _numbers(source, sizes.start + 8, "<Q")

    def fields(count: int) -> dict[int, bytes]:
        if sizes is None:
            return {data.size_at: struct.pack("<I", min(count, LARGEST))}
        wide = struct.pack("<QQQ", data.start - 8 + count, count, count // frame)
        return {sizes.start: wide, data.size_at: struct.pack("<I", LARGEST)}

    return sized(source, "RF64", Promise(data.start, size, frame), size == 0, fields)


def read_w64(source: Source) -> Layout:
    """Read Sony's Wave64: chunks named by GUIDs that begin with the names of WAV."""
    chunks = _read_chunks(source, 40, WAVE64, b"data")
    data = chunks.get(b"data")
    if data is None:
        return Layout("W64")
    _, frame = _wave_format(source, chunks)

    def fields(count: int) -> dict[int, bytes]:
        return {data.size_at: struct.pack("<Q", count + WAVE64.header)}

    promise = Promise(data.start, max(0, data.size), frame)
    return sized(source, "W64", promise, data.size <= 0, fields)


def read_aiff(source: Source) -> Layout:
    """Read AIFF or AIFF-C; the chunk COMM has the number of frames as well."""
    chunks = _read_chunks(source, 12, BIG, b"SSND")
    data, common = chunks.get(b"SSND"), chunks.get(b"COMM")
    if data is None:
        return Layout("AIFF")
    frame = 1
    if common is not None:
        channels, _, bits = _numbers(source, common.start, ">HIH")
        plain = source.peek(8, 4) == b"AIFF"
        if plain or source.peek(common.start + 18, 4) in (b"NONE", b"sowt", b"twos"):
            frame = max(1, channels * -(-bits // 8))
    (skipped,) = _numbers(source, data.start, ">I")

    def fields(count: int) -> dict[int, bytes]:
        sizes = {data.size_at: struct.pack(">I", min(8 + skipped + count, LARGEST))}
        if common is not None:
            sizes[common.start + 2] = struct.pack(">I", min(count // frame, LARGEST))
        return sizes

    promise = Promise(data.start + 8 + skipped, max(0, data.size - 8 - skipped), frame)
    return sized(source, "AIFF", promise, data.size == 0, fields)


def read_caf(source: Source) -> Layout:
    """Read Apple's Core Audio Format, where a size of -1 is "until the end" by the specification."""
    chunks = _read_chunks(source, 8, CORE, b"data")
    data, description = chunks.get(b"data"), chunks.get(b"desc")
    if data is None:
        return Layout("CAF")
    frame = 1  # where packets vary in size
    if description is not None:
        frame = max(1, *_numbers(source, description.start + 16, ">I"))

    def fields(count: int) -> dict[int, bytes]:
        return {data.size_at: struct.pack(">q", count + 4)}

    promise = Promise(data.start + 4, max(0, data.size - 4), frame)  # after a count of edits
    return sized(source, "CAF", promise, data.size <= 0, fields)


def read_au(source: Source) -> Layout:
    """Read Sun's and NeXT's AU: six numbers, then the audio."""
    head = source.peek(0, 24)
    if len(head) < 24:
        return Layout("AU")
    order = ">" if head[:4] == b".snd" else "<"
    start, size, encoding, _, channels = struct.unpack(f"{order}5I", head[4:])
    frame = max(1, AU_WIDTHS.get(encoding, 1) * channels)
    return sized(
        source,
        "AU",
        Promise(start, size, frame),
        size == 0,
        lambda count: {8: struct.pack(f"{order}I", min(count, LARGEST))},
    )


def read_sphere(source: Source) -> Layout:
    """Read NIST SPHERE: lines of text, then the audio; the number of samples may be absent."""
    head = source.peek(0, SPHERE_BYTES)
    numbers = {
        name: int(value) for name, value in re.findall(rb"(?m)^(\w+) -i (\d{1,18})\s*$", head)
    }
    start = re.match(rb"NIST_1A\s+(\d{1,9})\s", head)
    if start is None or b"sample_count" not in numbers:
        return Layout("SPHERE")
    frame = max(1, numbers.get(b"sample_n_bytes", 2) * numbers.get(b"channel_count", 1))
    promise = Promise(int(start[1]), numbers[b"sample_count"] * frame, frame)
    return sized(source, "SPHERE", promise, False, lambda count: {})
