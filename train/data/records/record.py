"""Record: one utterance of a data set, the same whatever format it comes from.

A reader yields records one by one, and in place of what cannot be used its `ManifestError`, so that a
check can name all faults at once and a training stops at the first (`strict`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.audio import WHOLE, AudioError, Part, Recording, read_audio
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import ManifestError, check_length
from train.data.records.words import TimedWord
from train.data.storage.sources import SourceError, is_remote, read_source

# Names that a folder or an archive gives to recordings; what is in a file is told by its content.
AUDIO_SUFFIXES = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".opus",
        ".oga",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
        ".caf",
        ".sph",
        ".w64",
        ".rf64",
        ".m4a",
        ".webm",
    ]
)


class File(msgspec.Struct, frozen=True, array_like=True, tag="file"):
    """A recording that is a file, or bytes within one: a member of a tar file.

    Attributes:
        path: of the file, or s3://bucket/key.
        begin, size: of the bytes; the whole file where size is None.
    """

    path: str
    begin: int = 0
    size: int | None = None


class Bytes(msgspec.Struct, frozen=True, array_like=True, tag="bytes"):
    """A recording in memory: what a compressed archive or a table holds.

    Attributes:
        name: of the recording where it comes from.
        content: the bytes of an audio file.
    """

    name: str
    content: bytes


class Track(msgspec.Struct, frozen=True, array_like=True):
    """One of the recordings that are mixed.

    Attributes:
        audio: None: silence.
        part: of the recording.
        begin, seconds: where in the mix it begins, and its length.
        snr_db: of the first sounding track against this one; None: it is added as it is.
    """

    audio: File | Bytes | None
    part: Part
    begin: float
    seconds: float
    snr_db: float | None = None


class Mix(msgspec.Struct, frozen=True, array_like=True, tag="mix"):
    """Several recordings, one after the other or mixed."""

    tracks: tuple[Track, ...]


class LhotseCut(msgspec.Struct, frozen=True, array_like=True, tag="lhotse"):
    """A cut that only the package `lhotse` can play: its recording has transforms.

    Attributes:
        cut: the cut's JSON.
    """

    cut: bytes


Audio: TypeAlias = File | Bytes | Mix | LhotseCut


class Origin(NamedTuple):
    """Where an utterance comes from, for the provenance of a model: empty where its data set does not say.

    Attributes:
        corpus: its name.
        license: of the recording; the key `license` of a data set.
    """

    corpus: str = ""
    license: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One utterance.

    Attributes:
        id: its name in the data set.
        audio: where its samples come from.
        part: of the recording; the whole of a mix.
        duration: seconds of the part; None: no more is known than what the file says.
        text: transcript; empty where nobody speaks.
        speaker, corpus, language: where the data set names them.
        words: those of the text, where the data set says when they sound.
        extra: what else it says, by its own names, for conversion.
        source, line: where it stands: a file, and the number of the line or entry from 1.
    """

    id: str
    audio: Audio
    text: str
    duration: float | None
    part: Part = WHOLE
    speaker: str | None = None
    corpus: str | None = None
    language: str | None = None
    words: tuple[TimedWord, ...] = ()
    extra: dict[str, Any] = {}
    source: str = ""
    line: int = 0

    def read(self) -> NDArray[np.float32]:
        """Decode what the record means, (samples,) float32 at 16 kHz, and compare its length.

        Raises:
            AudioError: the recording cannot be decoded.
            ManifestError: it is longer or shorter than its data set says.
        """
        samples = samples_of(self.audio, self.part)
        if self.duration is not None:
            where = Path(self.source), self.line
            check_length(len(samples), self.duration, self.part, name_of(self.audio), where)
        return samples

    @property
    def origin(self) -> Origin:
        """The corpus and licence that the data set names."""
        license = self.extra.get("license")
        return Origin(self.corpus or "", license if isinstance(license, str) else "")

    @property
    def manifest(self) -> Path | None:
        """The file where it stands, as of `stream.manifest.Utterance`."""
        return Path(self.source) if self.source else None

    def error(self, message: str) -> ManifestError:
        """Return an error that names the record's place."""
        return ManifestError(Path(self.source), self.line, message)


Read: TypeAlias = Iterator[Record | ManifestError]


def strict(records: Iterable[Record | ManifestError]) -> Iterator[Record]:
    """Yield records; raise the first error that a reader yields."""
    for record in records:
        if isinstance(record, ManifestError):
            raise record
        yield record


def check_there(record: Record) -> None:
    """Refuse a record whose recording is a local file that is not there.

    Raises:
        ManifestError: it is not.
    """
    audio = record.audio
    if isinstance(audio, File) and _is_plain(audio) and not os.path.isfile(audio.path):
        raise record.error(f"no file {audio.path}. Paths count from the manifest.")


def name_of(audio: Audio | None) -> str:
    """Return what a recording is called in messages."""
    match audio:
        case File(path, _, None):
            return path
        case File(path, begin, size):
            return f"{path}[{begin}+{size}]"
        case Bytes(name):
            return name
        case Mix(tracks):
            return " + ".join(name_of(track.audio) for track in tracks if track.audio)
    return "the cut"


def content_of(audio: File | Bytes) -> bytes:
    """Return the bytes of a recording.

    Raises:
        AudioError: S3 does not give it.
        OSError: the file cannot be read.
    """
    if isinstance(audio, Bytes):
        return audio.content
    try:
        return read_source(audio.path, audio.begin, audio.size)
    except SourceError as error:
        raise AudioError(Path(audio.path), error.fault) from error


def _is_plain(audio: File | Bytes) -> bool:
    """Tell whether a recording is a local file, which decoders read by themselves."""
    try:
        return isinstance(audio, File) and audio.size is None and not is_remote(audio.path)
    except SourceError as error:
        raise AudioError(Path(name_of(audio)), error.fault) from error


def samples_of(audio: Audio, part: Part = WHOLE) -> NDArray[np.float32]:
    """Decode a recording or a part of it, (samples,) float32 at 16 kHz.

    Raises:
        AudioError: it cannot be decoded.
    """
    match audio:
        case File() | Bytes():
            content = None if _is_plain(audio) else content_of(audio)
            return read_audio(name_of(audio), part, content)
        case Mix(tracks):
            return _mixed(tracks)
    return _played_by_lhotse(audio)


def _mixed(tracks: tuple[Track, ...]) -> NDArray[np.float32]:
    """Add tracks up as Lhotse does: those with an SNR are scaled against the first that sounds."""
    ends = [round((track.begin + track.seconds) * SAMPLE_RATE) for track in tracks]
    mix = np.zeros(max(ends), np.float32)
    reference = None
    for track in tracks:
        if track.audio is None:
            continue
        samples = samples_of(track.audio, track.part)
        power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
        if reference is None:
            reference = power
        elif track.snr_db is not None and power > 0.0:
            samples = samples * np.float32(np.sqrt(reference * 10 ** (-track.snr_db / 10) / power))
        begin = round(track.begin * SAMPLE_RATE)
        samples = samples[: len(mix) - begin]
        mix[begin : begin + len(samples)] += samples
    return mix


def _played_by_lhotse(audio: LhotseCut) -> NDArray[np.float32]:
    from lhotse.serialization import deserialize_item

    cut = deserialize_item(msgspec.json.decode(audio.cut))
    samples: NDArray[np.float32] = cut.resample(SAMPLE_RATE).load_audio()
    return samples.mean(0, dtype=np.float32) if samples.ndim == 2 else samples


def length_and_rate(audio: Audio, part: Part = WHOLE) -> tuple[float, int]:
    """Return the seconds of a recording's part, by its header where that says it, and its rate in Hz.

    Raises:
        AudioError: it cannot be opened.
        OSError: the file cannot be read.
    """
    match audio:
        case Mix(tracks):
            return max(track.begin + track.seconds for track in tracks), SAMPLE_RATE
        case LhotseCut(cut):
            content = msgspec.json.decode(cut)
            tracks = content.get("tracks", [{"offset": 0.0, "cut": content}])
            return max(t.get("offset", 0.0) + t["cut"]["duration"] for t in tracks), SAMPLE_RATE
    content = None if _is_plain(audio) else content_of(audio)
    with Recording(name_of(audio), content=content) as recording:
        rate, seconds = int(recording.rate), recording.seconds
        if part.seconds is not None:
            return part.seconds, rate
        if seconds is None:
            seconds = sum(map(len, recording.blocks())) / SAMPLE_RATE
        return seconds - part.offset, rate
