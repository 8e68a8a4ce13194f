"""Layout: what a container says about where its audio lies and ends, and whether it is all there.

The one rule, for every format: **a recording that ends before its container says so is cut short**,
and is not used. What says so:

1. A size in the header, of so many bytes or frames: WAV, RF64, W64, AIFF, AU, CAF, SPHERE; FLAC, MP3.
   Half a frame at the end does not count, on either side.
2. A mark on the last page: Ogg. A last frame that is whole: FLAC and MP3 that have no size.
3. A size that was never written says nothing. Recorders that are killed leave 0, programs that write
   into a pipe leave the largest number of the field, or one near 2 GiB; both mean "until the end".
4. Concatenated recordings, of which decoders read only the first, are refused, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stream.audio.source import Source

PLACEHOLDERS = ((0x7FFFF000, 0x80000000), (0xFFFFF000, 0xFFFFFFFF))
LONGEST_SIZE = 1 << 62  # of 64 bits; more is a placeholder
SEVERAL = (
    "holds several recordings in a row, of which only the first would be heard. "
    "Split it, or rewrite it: ffmpeg -i RECORDING out.wav"
)
PIPE_BYTES = 0xFFFFF000  # of a pipe without a size: 37 hours of 16 bits at 16 kHz


@dataclass(frozen=True)
class Promise:
    """Audio of so many bytes, which only the end of a pipe proves.

    Attributes:
        start: offset of its first byte.
        size: bytes.
        frame: bytes of a frame.
    """

    start: int
    size: int
    frame: int

    def lack(self, end: int) -> str:
        """Return what is missing where the bytes end at an offset, "" where nothing is."""
        there = max(0, end - self.start)
        if self.size // self.frame <= there // self.frame:
            return ""
        return f"its header says {self.size} bytes of audio, but there are only {there}"


@dataclass(frozen=True)
class Layout:
    """What a container says.

    Attributes:
        container: its name.
        lack: what is missing at the end, "" where nothing is.
        fault: why not all of it would be heard, "" where it would.
        fields: what the decoder should see instead of sizes that were never written, by offset.
        prefix, prefix_at: what the decoder should see before the bytes from an offset on, and not
            those before it.
        promise: of a pipe, that its end has to keep; None where there is none.
        size: of a pipe, bytes at most; None: it cannot be decoded as it comes.
        demuxer: of PyAV, where libsndfile does not know the container, or not from a pipe; "" where it does.
        ending: of a pipe, says what is missing by its last `TAIL_BYTES` and their offset; None: nothing does.
    """

    container: str
    lack: str = ""
    fault: str = ""
    fields: Mapping[int, bytes] = field(default_factory=dict)
    prefix: bytes = b""
    prefix_at: int = 0
    promise: Promise | None = None
    size: int | None = None
    demuxer: str = ""
    ending: Callable[[bytes, int], str] | None = None


def sized(
    source: Source,
    container: str,
    promise: Promise,
    unwritten: bool,
    fields: Callable[[int], Mapping[int, bytes]],
    *,
    streams: bool = False,
) -> Layout:
    """Return the layout of a container whose header has the size of its audio; rules 1 and 3.

    Args:
        promise: what the header says.
        unwritten: whether the header as a whole says that the size was never written.
        fields: from the bytes of audio to the fields that say so.
        streams: whether it can be decoded from a pipe as it comes.
    """
    if source.live and streams:
        if not (unwritten or _is_placeholder(promise.size)):
            return Layout(container, promise=promise, size=promise.start + promise.size)
        whole = PIPE_BYTES // promise.frame * promise.frame
        return Layout(container, fields=fields(whole), size=promise.start + whole)
    if source.size is None:
        return Layout(container)
    lack = promise.lack(source.size)
    there = max(0, source.size - promise.start)
    if unwritten or (lack and _is_placeholder(promise.size)):
        return Layout(container, fields=fields(there // promise.frame * promise.frame))
    return Layout(container, lack)


def _is_placeholder(size: int) -> bool:
    return size >= LONGEST_SIZE or any(low <= size <= high for low, high in PLACEHOLDERS)
