"""Lhotse's cuts: JSON lines, plain or .gz.

    {"id": "c1", "start": 0.0, "duration": 1.62, "channel": 0, "supervisions": [{"id": "c1",
     "recording_id": "r1", "start": 0.0, "duration": 1.62, "channel": 0, "text": "one two", ...}],
     "recording": {"id": "r1", "sources": [{"type": "file", "channels": [0], "source": "/a/1.wav"}],
     "sampling_rate": 16000, "num_samples": 25920, "duration": 1.62}, "type": "MonoCut"}

1. A cut is one record; its text is that of its supervisions, in the order of their starts.
2. MonoCut, MultiCut and MixedCut are read here; a recording with transforms (speed, volume, ...) is played
   by the package `lhotse` where that is installed. Commands are never run.
3. Relative paths count from the working directory, as Lhotse takes them, or from `root`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.audio import WHOLE, Part
from stream.extras import EXTRAS, install_command
from stream.files.text import TextError
from stream.manifest import ManifestError, located
from train.data.formats.written_cuts import ALIGNMENT, RATE_KEY, written_cut
from train.data.records.files import write_whole
from train.data.records.record import Audio, File, LhotseCut, Mix, Read, Record, Track
from train.data.records.words import TimedWord
from train.data.storage.sources import source_lines

WHOLE_WITHIN = 1e-3  # seconds by which a cut of a whole recording may differ from it


class _Source(msgspec.Struct):
    type: str
    source: str
    channels: tuple[int, ...] = (0,)


class _Recording(msgspec.Struct):
    sources: list[_Source]
    sampling_rate: int
    duration: float
    id: str = ""
    transforms: list[Any] | None = None


class _Aligned(msgspec.Struct, array_like=True):
    symbol: str
    start: float  # seconds of the recording, not of the cut
    duration: float


class _Supervision(msgspec.Struct):
    start: float = 0.0
    alignment: dict[str, list[_Aligned]] = {}
    text: str | None = None
    language: str | None = None
    speaker: str | None = None


class _Cut(msgspec.Struct):
    id: str
    duration: float = 0.0
    start: float = 0.0
    channel: int | list[int] | None = None
    recording: _Recording | None = None
    supervisions: list[_Supervision] = []
    tracks: list[_Track] = []
    custom: dict[str, Any] | None = None
    transforms: list[Any] | None = None
    type: str = "MonoCut"


class _Track(msgspec.Struct):
    cut: _Cut
    offset: float = 0.0
    snr: float | None = None
    mute: bool = False
    is_snr_reference: bool = False


class _NeedsLhotseError(ValueError):
    """A cut that only the package plays."""


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of a file of cuts."""
    folder = "" if root is None else str(root)
    decoder = msgspec.json.Decoder(_Cut)
    try:
        for line, text in source_lines(str(path)):
            if not text or text.isspace():
                continue
            try:
                yield _record(decoder.decode(text), text, folder, str(path), line)
            except ValueError as error:
                yield ManifestError(path, line, str(error))
    except OSError as error:
        raise ManifestError(path, 0, f"cannot be read: {error.strerror or error}") from error
    except TextError as error:
        raise ManifestError(path, error.line, error.reason) from error


def record_of(content: bytes, source: str, line: int) -> Record:
    """Return the record of one cut's JSON; ValueError says why it has none."""
    return _record(msgspec.json.decode(content, type=_Cut), content.decode(), "", source, line)


def _record(cut: _Cut, text: str, folder: str, source: str, line: int) -> Record:
    """Return the record of a cut; ValueError says why it has none."""
    try:
        audio, part, duration, supervisions = _audio(cut, folder)
    except _NeedsLhotseError as error:
        if importlib.util.find_spec("lhotse") is None:
            raise ValueError(
                f"{error}, which needs the package lhotse: {install_command(EXTRAS['lhotse'])}"
            ) from None
        audio, part = LhotseCut(text.encode()), WHOLE
        duration, supervisions = _length(cut), _supervisions(cut)
    if not supervisions or any(each.text is None for each in supervisions):
        raise ValueError(f"cut {cut.id} has no supervision with a text")
    extra = dict(cut.custom or {})
    if cut.recording is not None:
        extra[RATE_KEY] = cut.recording.sampling_rate
    return Record(
        id=cut.id,
        audio=audio,
        text=" ".join(each.text for each in supervisions if each.text),
        duration=duration,
        part=part,
        speaker=_common(each.speaker for each in supervisions),
        language=_common(each.language for each in supervisions),
        words=_words(cut),
        extra=extra,
        source=source,
        line=line,
    )


def _audio(cut: _Cut, folder: str) -> tuple[Audio, Part, float, list[_Supervision]]:
    """Return what a cut sounds like, its part and duration, and its supervisions in order."""
    if cut.transforms:
        raise _NeedsLhotseError(f"cut {cut.id} has transforms")
    if cut.type != "MixedCut":
        return (*_file(cut, folder), cut.duration, _supervisions(cut))
    tracks = [_track(track, folder) for track in cut.tracks if not track.mute]
    if not any(track.audio for track in tracks):
        raise ValueError(f"cut {cut.id} has no track that sounds")
    return Mix(tuple(tracks)), WHOLE, _length(cut), _supervisions(cut)


def _track(track: _Track, folder: str) -> Track:
    cut = track.cut
    if track.is_snr_reference:
        raise _NeedsLhotseError(f"cut {cut.id} is the reference of a signal-to-noise ratio")
    if cut.type == "PaddingCut":
        return Track(None, WHOLE, track.offset, cut.duration)
    if cut.transforms or cut.type == "MixedCut":
        raise _NeedsLhotseError(f"track {cut.id} has transforms or tracks of its own")
    audio, part = _file(cut, folder)
    return Track(audio, part, track.offset, cut.duration, track.snr)


def _file(cut: _Cut, folder: str) -> tuple[File, Part]:
    """Return the file of a cut of one recording, and its part."""
    recording = cut.recording
    if recording is None:
        raise ValueError(f"cut {cut.id} has no recording (cuts of features alone hold no audio)")
    if not cut.duration > 0.0:
        raise ValueError(f"cut {cut.id}: duration is {cut.duration} s, wants more than 0")
    if recording.transforms:
        raise _NeedsLhotseError(f"the recording of cut {cut.id} has transforms")
    wanted: Sequence[int] = cut.channel if isinstance(cut.channel, list) else [cut.channel or 0]
    if cut.channel is None and recording.sources:
        wanted = recording.sources[0].channels
    found = [s for s in recording.sources if set(wanted) <= set(s.channels)]
    if not found:
        raise ValueError(f"cut {cut.id}: no source of its recording has channel {cut.channel}")
    source = found[0]
    in_s3 = source.type == "url" and source.source.startswith("s3://")
    if source.type != "file" and not in_s3:
        raise ValueError(
            f"cut {cut.id}: a source of type {source.type!r} is not read"
            + (", and commands are never run" if source.type == "command" else "")
            + "; write the audio to files and name these"
        )
    channel = None
    if len(source.channels) > 1 and len(wanted) == 1:
        channel = source.channels.index(wanted[0])
    elif len(wanted) not in (1, len(source.channels)):
        raise _NeedsLhotseError(
            f"cut {cut.id} has {len(wanted)} of {len(source.channels)} channels"
        )
    whole = cut.start == 0.0 and abs(cut.duration - recording.duration) <= WHOLE_WITHIN
    part = Part(cut.start, None if whole else cut.duration, channel)
    return File(located(folder, source.source)), part


def _supervisions(cut: _Cut) -> list[_Supervision]:
    """Return the supervisions of a cut or its tracks in the order of their starts (rule 1)."""
    timed = [(each.start, each) for each in cut.supervisions]
    for track in cut.tracks:
        timed += [(track.offset + each.start, each) for each in track.cut.supervisions]
    return [each for _, each in sorted(timed, key=lambda pair: pair[0])]


def _words(cut: _Cut) -> tuple[TimedWord, ...]:
    """Return the words of a cut with their times, where every supervision is aligned."""
    tracks = [(0.0, cut), *((track.offset, track.cut) for track in cut.tracks)]
    words = []
    for offset, each in tracks:
        for supervision in each.supervisions:
            if supervision.text and ALIGNMENT not in supervision.alignment:
                return ()
            for item in supervision.alignment.get(ALIGNMENT, ()):
                start = round(offset + item.start - each.start, 4)
                words.append(TimedWord(item.symbol, start, round(start + item.duration, 4)))
    return tuple(sorted(words, key=lambda word: word.start or 0.0))


def _length(cut: _Cut) -> float:
    return cut.duration or max(track.offset + track.cut.duration for track in cut.tracks)


def _common(names: Iterable[str | None]) -> str | None:
    """Return the name that all supervisions have, or None."""
    found = set(names)
    return found.pop() if len(found) == 1 else None


def write(records: Iterable[Record], path: Path) -> int:
    """Write cuts; returns how many.

    No recording is opened; see `train.data.formats.written_cuts`.

    Raises:
        ManifestError: a record is of no file of its own.
    """
    encode, count = msgspec.json.encode, 0
    folder = path.parent.absolute()
    with write_whole(path) as file:
        for record in records:
            file.write(encode(written_cut(record, folder)) + b"\n")
            count += 1
    return count
