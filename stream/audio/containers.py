"""Containers: which one a recording is in, told by its first bytes, never by its name.

What is not in this table is refused, though libsndfile reads a dozen formats more: nobody has thought
about where those end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from types import MappingProxyType

from stream.audio import chunked
from stream.audio.flac import read_flac
from stream.audio.layout import PIPE_BYTES, Layout
from stream.audio.mpeg import is_frame, read_mpeg
from stream.audio.ogg import lack_at_end, read_ogg
from stream.audio.source import Source

logger = logging.getLogger(__name__)
TAKEN = "WAV, FLAC, Ogg (Opus, Vorbis), MP3, AIFF, AU, CAF, RF64, W64 and SPHERE"
MOST_TAGS = 16  # of ID3v2, one after the other
MOST_BOXES = 64  # of MPEG-4, before its table

READERS: MappingProxyType[bytes, Callable[[Source], Layout]] = MappingProxyType(
    {
        b"RIFF": chunked.read_riff,
        b"RIFX": chunked.read_riff,
        b"RF64": chunked.read_rf64,
        b"BW64": chunked.read_rf64,
        b"riff": chunked.read_w64,
        b"FORM": chunked.read_aiff,
        b"caff": chunked.read_caf,
        b".snd": chunked.read_au,
        b"dns.": chunked.read_au,
        b"NIST": chunked.read_sphere,
        b"OggS": read_ogg,
    }
)
# What else people send: bytes, where they stand, what it is, and PyAV's demuxer of it; "": it is refused.
FOREIGN = (
    (4, b"ftyp", "MPEG-4 (m4a, mp4, 3gp)", "mov"),
    (4, b"moov", "QuickTime", "mov"),
    (4, b"mdat", "QuickTime", "mov"),
    (4, b"wide", "QuickTime", "mov"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska", "matroska"),
    (0, b"#!AMR", "AMR", "amr"),
    (0, b"\xff\xf1", "AAC", "aac"),
    (0, b"\xff\xf9", "AAC", "aac"),
    (0, b"\x30\x26\xb2\x75", "Windows Media (wma)", ""),
    (0, b"ADIF", "AAC", ""),
    (0, b"wvpk", "WavPack", ""),
    (0, b"MAC ", "Monkey's Audio", ""),
    (0, b"#!SILK", "SILK", ""),
    (0, b"FLV", "Flash video", ""),
)
# What libsndfile reads from files, and PyAV from pipes, as it comes.
OGG_PIPE = Layout("Ogg", demuxer="ogg", ending=lack_at_end)
FLAC_PIPE = Layout("FLAC", demuxer="flac")
MP3_PIPE = Layout("MP3", demuxer="mp3")


class UnknownFormatError(ValueError):
    """Bytes of no container that is read; the message says what they look like."""


def read_layout(source: Source) -> Layout:
    """Return what the container of a recording says.

    Raises:
        UnknownFormatError: it is in none that is read.
    """
    if source.live:
        if (layout := _layout_of_pipe(source)) is not None:
            return layout
        logger.warning(
            "this audio cannot be decoded as it arrives: it is transcribed when the pipe ends"
        )
        source.spool()
    head = source.peek(0, 16)
    reader = READERS.get(head[:4]) if head[:4] != b"RIFF" or head[8:12] == b"WAVE" else None
    name, demuxer = _foreign(head)
    if demuxer and find_spec("av") is not None:
        return Layout(name, demuxer=demuxer)
    if reader is not None:
        return reader(source)
    start = _behind_tags(source)
    head = source.peek(start, 4)
    if head == b"fLaC":
        return read_flac(source, start)
    if is_frame(head):
        return read_mpeg(source, start)
    raise UnknownFormatError(_refusal(name, demuxer))


def _layout_of_pipe(source: Source) -> Layout | None:
    """Return how a pipe is decoded as it comes; None: only from its end, or not at all."""
    head, media = source.peek(0, 16), find_spec("av") is not None
    name, demuxer = _foreign(head)
    if demuxer:
        if not media or (demuxer == "mov" and not _begins_with_table(source)):
            return None
        return Layout(name, demuxer=demuxer)
    if head[:4] == b"OggS":
        return OGG_PIPE if media else None
    if head[:4] in READERS:
        layout = READERS[head[:4]](source)
        return None if layout.size is None else layout
    head = source.peek(_behind_tags(source), 4)
    if head == b"fLaC":
        return FLAC_PIPE if media else Layout("FLAC", size=PIPE_BYTES)
    return MP3_PIPE if media and is_frame(head) else None


def _begins_with_table(source: Source) -> bool:
    """Return whether the table of an MPEG-4 file, or of its first fragment, stands before the sound."""
    at = 0
    for _ in range(MOST_BOXES):
        box = source.peek(at, 8)
        if len(box) < 8 or box[4:] in (b"moov", b"mdat"):
            return box[4:] == b"moov"
        at += max(int.from_bytes(box[:4]), 8)
    return False


def _behind_tags(source: Source) -> int:
    """Return where the tags of ID3v2 end, 0 where there is none."""
    at = 0
    for _ in range(MOST_TAGS):
        head = source.peek(at, 10)
        if head[:3] != b"ID3" or len(head) < 10:
            break
        size = sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
        at += 10 + size + (10 if head[5] & 0x10 else 0)
    return at


def _foreign(head: bytes) -> tuple[str, str]:
    """Return what a recording is, and PyAV's demuxer of it, by `FOREIGN`."""
    return next(
        ((name, demuxer) for at, mark, name, demuxer in FOREIGN if head[at:].startswith(mark)),
        ("", ""),
    )


def _refusal(name: str, demuxer: str) -> str:
    what = "is not in a format that Rill reads"
    if name:
        what = f"is {name}, which Rill does not read"
    if demuxer:
        what += " without PyAV, its extra `media`"
    return (
        f"{what}; it reads {TAKEN}. Convert it first: ffmpeg -i RECORDING -ar 16000 -ac 1 out.wav"
    )
