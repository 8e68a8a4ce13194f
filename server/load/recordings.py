"""Recordings to stream: samples, words, and when each word ends.

Recordings are audio files, or JSONL manifests of them. Times of words come from a CTM file, or, for
a recording of a single word, from the end of its sound (`stream.validation.extent`); other recordings are
streamed too, but their words have no latency.

`file` of a CTM line (`stream.ctm`) names a recording by its stem, its name or its path as the manifest writes
it; a part of a recording by `stream.manifest.Utterance.id` alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.audio import WHOLE, read_audio
from stream.ctm import CtmError, TimedWord, read_ctm
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import read_manifest
from stream.validation.extent import extent


@dataclass(frozen=True, eq=False)
class TimedRecording:
    """A recording whose words may have times.

    Attributes:
        name: its path as the command line or the manifest gives it.
        samples: (n,) float32 at 16 kHz.
        words: each with the second at which it ends; None if unknown.
    """

    name: str
    samples: NDArray[np.float32]
    words: tuple[TimedWord, ...] | None = None

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / SAMPLE_RATE


def read_recordings(paths: Sequence[Path], ctm: Path | None = None) -> list[TimedRecording]:
    """Read recordings, and the times of their words.

    Args:
        paths: audio files and `.jsonl` manifests.
        ctm: times of the words; None: those of single words.
    Raises:
        AudioError, ManifestError, CtmError: one of them cannot be used, or the CTM file speaks of
            none of the recordings.
    """
    times = read_ctm(ctm) if ctm else {}
    recordings: list[TimedRecording] = []

    def add(names: Sequence[str], samples: NDArray[np.float32], text: str = "") -> None:
        words = next((times[name] for name in names if name in times), None)
        if words is None and len(text.split()) == 1 and (sound := extent(samples)) is not None:
            words = ((text.strip(), sound[1]),)
        recordings.append(TimedRecording(names[0], samples, words))

    for path in paths:
        if path.suffix == ".jsonl":
            for entry in read_manifest(path):
                files = (entry.audio.name, entry.audio.stem) if entry.part == WHOLE else ()
                add((entry.id, *files), entry.read(), entry.text)
        else:
            add((str(path), path.name, path.stem), read_audio(path))
    if ctm and not any(recording.words for recording in recordings):
        one = Path(recordings[0].name).stem
        raise CtmError(ctm, 0, f"names none of the recordings; {one} is one of them")
    return recordings


def joined(recordings: Sequence[TimedRecording], seconds: float) -> list[TimedRecording]:
    """Return as many recordings that last at least so long: each is followed by the next ones.

    The words of a recording are known where those of all its parts are.
    """
    return [
        _join(itertools.islice(itertools.cycle(recordings), first, None), seconds)
        for first in range(len(recordings))
    ]


def _join(recordings: Iterable[TimedRecording], seconds: float) -> TimedRecording:
    parts: list[TimedRecording] = []
    words: list[TimedWord] | None = []
    length = 0.0
    for part in recordings:
        if words is not None:
            known = part.words
            words = None if known is None else [*words, *((w, length + end) for w, end in known)]
        parts.append(part)
        length += part.seconds
        if length >= seconds:
            break
    samples = np.concatenate([part.samples for part in parts])
    return TimedRecording(parts[0].name, samples, None if words is None else tuple(words))
