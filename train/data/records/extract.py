"""Recordings as bytes: copied unchanged if the record is a whole file, otherwise decoded and stored as FLAC."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import soundfile
from numpy.typing import NDArray

from stream.audio import WHOLE
from stream.front_end.log_mel import SAMPLE_RATE
from train.data.records.files import safe_name, write_whole
from train.data.records.record import (
    AUDIO_SUFFIXES,
    Bytes,
    File,
    Record,
    content_of,
    name_of,
)


def heard(record: Record) -> Bytes:
    """Return the recording of a record as an audio file in memory.

    Raises:
        AudioError: it cannot be decoded.
        OSError: it cannot be read.
    """
    if isinstance(record.audio, File | Bytes) and record.part == WHOLE:
        return Bytes(_name(record.audio), content_of(record.audio))
    return as_flac(record.id, record.read())


def as_flac(name: str, samples: NDArray[np.float32]) -> Bytes:
    """Encode samples as a FLAC file in memory.

    Args:
        name: of the file, without its suffix.
        samples: (samples,) float32 at 16 kHz; what is outside of -1 to 1 is clipped.
    """
    rounded = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    content = io.BytesIO()
    soundfile.write(content, rounded, SAMPLE_RATE, format="FLAC")
    return Bytes(name + ".flac", content.getvalue())


def _name(audio: File | Bytes) -> str:
    return audio.path if isinstance(audio, File) and audio.size is None else name_of(audio)


def extension_of(audio: Bytes) -> str:
    """Return the suffix for a recording's file, by its name or its first bytes."""
    suffix = os.path.splitext(audio.name)[1].lower()
    if suffix in AUDIO_SUFFIXES:
        return suffix
    for begin, named in (
        (b"RIFF", ".wav"),
        (b"fLaC", ".flac"),
        (b"OggS", ".ogg"),
        (b"ID3", ".mp3"),
        (b"\xff", ".mp3"),
        (b"NIST", ".sph"),
        (b".snd", ".au"),
        (b"FORM", ".aiff"),
        (b"caff", ".caf"),
    ):
        if audio.content.startswith(begin):
            return named
    return ".audio"


def extracted(records: Iterable[Record], folder: Path) -> Iterator[Record]:
    """Write the recording of each record into a folder and yield the record of that file."""
    for record in records:
        file = str(store(record, folder).absolute())
        yield msgspec.structs.replace(record, audio=File(file), part=WHOLE)


def store(record: Record, folder: Path) -> Path:
    """Write the recording of a record into a folder, by the record's id; returns its path.

    Raises:
        ManifestError: there is such a file: another record has the id, or the folder is not empty.
    """
    audio = heard(record)
    file = folder / (safe_name(record.id) + extension_of(audio))
    if file.exists():
        raise record.error(
            f"{file} exists: write into a new folder, and give each record its own id"
        )
    with write_whole(file) as output:
        output.write(audio.content)
    return file
