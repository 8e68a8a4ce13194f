"""Containers: which one a recording is in, told by its first bytes, never by its name.

What is not in this table is refused, though libsndfile reads a dozen formats more: nobody has thought
about where those end.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from types import MappingProxyType

from stream.audio import chunked
from stream.audio.flac import read_flac
from stream.audio.layout import Layout
from stream.audio.mpeg import is_frame, read_mpeg
from stream.audio.ogg import read_ogg
from stream.audio.source import Source

TAKEN = "WAV, FLAC, Ogg (Opus, Vorbis), MP3, AIFF, AU, CAF, RF64, W64 and SPHERE"
MOST_TAGS = 16  # of ID3v2, one after the other

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
FROM_THE_END = ("mov",)  # demuxers that may need the end of a file before its beginning


class UnknownFormatError(ValueError):
    """Bytes of no container that is read; the message says what they look like."""


def read_layout(source: Source) -> Layout:
    """Return what the container of a recording says.

    Raises:
        UnknownFormatError: it is in none that is read.
    """
    head = source.peek(0, 16)
    reader = READERS.get(head[:4]) if head[:4] != b"RIFF" or head[8:12] == b"WAVE" else None
    name, demuxer = _foreign(head)
    if demuxer and find_spec("av") is not None:
        if demuxer in FROM_THE_END:
            source.spool()
        return Layout(name, demuxer=demuxer)
    if reader is not None:
        layout = reader(source)
        if not source.live or layout.size is not None:
            return layout
        source.spool()
        return reader(source)
    source.spool()
    start = _behind_tags(source)
    head = source.peek(start, 4)
    if head == b"fLaC":
        return read_flac(source, start)
    if is_frame(head):
        return read_mpeg(source, start)
    raise UnknownFormatError(_refusal(name, demuxer))


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
