"""Recordings to stream: samples, words, and when each word ends.

Recordings are audio files, or JSONL manifests of them. Times of words come from a CTM file, or, for
a recording of a single word, from the end of its energy; other recordings are streamed too, but their
words have no latency.

1. A CTM line is `file channel start duration word confidence`, separated by white space; the channel
   is an integer, `;;` begins a comment. A word ends at start + duration, in seconds.
2. `file` names a recording by its stem, its name or its path as the manifest writes it; a part of a
   recording by `stream.manifest.Utterance.id` alone.
3. The energy of a single word ends with the last 10 ms whose power is above both 30 dB below the
   loudest 10 ms and the middle, in dB, between the loudest and the tenth percentile, the background.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream.audio import WHOLE, read_audio
from stream.errors import InputError
from stream.files.text import TextError, read_text
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import read_manifest

TimedWord: TypeAlias = tuple[str, float]  # a word, and the second at which it ends
WINDOW = SAMPLE_RATE // 100
BELOW_LOUDEST_DB = 30.0
DIGITAL_SILENCE = 1e-12  # power; keeps the logarithm finite


class CtmError(InputError):
    """A CTM file that cannot be used; `path` and `line` (from 1, 0: all of it) say where."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}: line {line}: {message}" if line else f"{path}: {message}")
        self.path, self.line = path, line


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
        ctm: rule 1.
    Raises:
        AudioError, ManifestError, CtmError: one of them cannot be used, or the CTM file speaks of
            none of the recordings.
    """
    times = read_ctm(ctm) if ctm else {}
    recordings: list[TimedRecording] = []

    def add(names: Sequence[str], samples: NDArray[np.float32], text: str = "") -> None:
        words = next((times[name] for name in names if name in times), None)
        if words is None and len(text.split()) == 1:
            words = ((text.strip(), energy_end(samples)),)
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


def read_ctm(path: Path) -> Mapping[str, tuple[TimedWord, ...]]:
    """Read a CTM file (rule 1): the words of each of its files, by their end.

    Raises:
        CtmError: it cannot be read, or a line is not of this form.
    """
    try:
        lines = read_text(path).rstrip("\n").split("\n")
    except OSError as error:
        raise CtmError(path, 0, f"cannot be read: {error}") from error
    except TextError as error:
        raise CtmError(path, error.line, error.reason) from error
    words: dict[str, list[TimedWord]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(";;"):
            continue
        try:
            file, channel, start, duration, word, *_confidence = line.split(None, 5)
            int(channel)
            end = float(start) + float(duration)
        except ValueError as error:
            raise CtmError(
                path, number, f"{line!r} is not `file channel start duration word [confidence]`"
            ) from error
        if not (math.isfinite(end) and end >= 0.0):
            raise CtmError(path, number, f"the word ends at {end} s")
        words.setdefault(file, []).append((word, end))
    return {file: tuple(sorted(ends, key=lambda timed: timed[1])) for file, ends in words.items()}


def energy_end(samples: NDArray[np.float32]) -> float:
    """Return the second at which the energy of a single word ends (rule 3).

    Args:
        samples: (n,) float32 at 16 kHz.
    """
    count = len(samples) // WINDOW
    if count == 0:
        return len(samples) / SAMPLE_RATE
    windows = samples[: count * WINDOW].astype(np.float64).reshape(count, WINDOW)
    level = 10 * np.log10(np.mean(windows**2, axis=1) + DIGITAL_SILENCE)
    loudest, background = level.max(), np.percentile(level, 10)
    threshold = max(loudest - BELOW_LOUDEST_DB, (loudest + background) / 2)
    return float(np.flatnonzero(level >= threshold)[-1] + 1) * WINDOW / SAMPLE_RATE
