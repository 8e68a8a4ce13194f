"""Manifests: JSON lines that name recordings and their transcripts.

One object a line: `audio_filepath` (relative to the manifest), `text` (empty: a recording without
speech), `duration` in seconds; optional `speaker`, `corpus`. Other keys are ignored, blank lines
skipped. Decoding the audio is `stream.audio`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

__all__ = ["ManifestError", "Utterance", "read_manifest", "spaced"]


class ManifestError(ValueError):
    """A manifest that cannot be used.

    Attributes:
        path: of the manifest.
        line: number of the line, from 1; 0 where it is the file as a whole.
    """

    def __init__(self, path: Path, line: int, message: str) -> None:
        where = f"{path}: line {line}" if line else f"{path}"
        super().__init__(f"{where}: {message}")
        self.path, self.line = path, line


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One recording.

    Attributes:
        id: `audio_filepath` as the manifest writes it.
        audio: the file.
        text: transcript; empty where nobody speaks.
        duration: seconds, as the manifest says.
        speaker, corpus: where the manifest names them.
        line: in the manifest, from 1.
    """

    id: str
    audio: Path
    text: str
    duration: float
    speaker: str | None = None
    corpus: str | None = None
    line: int = 0


class _Line(msgspec.Struct):
    audio_filepath: str
    text: str
    duration: float
    speaker: str | None = None
    corpus: str | None = None


def read_manifest(path: str | Path) -> list[Utterance]:
    """Read a manifest and check that every recording is there.

    Raises:
        ManifestError: a line is not JSON, lacks a key, has a value of another type, or names a file
            that does not exist; or the manifest names no recording at all.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(path, 0, f"cannot be read: {error.strerror}") from error
    decoder = msgspec.json.Decoder(_Line)
    utterances = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ManifestError(
                path,
                number,
                f"{error}. A line wants audio_filepath, text and duration; "
                'a recording without speech has "text": "".',
            ) from error
        if not (math.isfinite(entry.duration) and entry.duration > 0.0):
            raise ManifestError(path, number, f"duration is {entry.duration} s, wants more than 0")
        audio = path.parent / entry.audio_filepath
        if not audio.is_file():
            raise ManifestError(path, number, f"no file {audio}. Paths count from the manifest.")
        utterances.append(
            Utterance(
                id=entry.audio_filepath,
                audio=audio,
                text=entry.text,
                duration=entry.duration,
                speaker=entry.speaker,
                corpus=entry.corpus,
                line=number,
            )
        )
    if not utterances:
        raise ManifestError(path, 0, "names no recording")
    return utterances


def spaced(utterances: Sequence[Utterance], limit: int | None) -> list[Utterance]:
    """Return so many utterances, evenly spaced and in their order, since manifests are often sorted.

    Args:
        utterances: of a manifest.
        limit: how many, 1 or more; None, or more than there are: all of them.
    """
    if limit is None or limit >= len(utterances):
        return list(utterances)
    return [utterances[n * len(utterances) // limit] for n in range(limit)]
