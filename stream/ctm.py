"""CTM files: when each word of a recording sounds, a word a line.

    file channel start duration word [confidence]

Columns are separated by white space, times are seconds, the channel is an integer, and `;;` begins a comment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import NamedTuple, TypeAlias, TypeVar

from stream.errors import InputError
from stream.files.text import TextError, read_text

TimedWord: TypeAlias = tuple[str, float]  # a word, and the second at which it ends
Of = TypeVar("Of")


class CtmWord(NamedTuple):
    """A word, and when it begins and ends, seconds."""

    text: str
    start: float
    end: float


class CtmError(InputError):
    """A CTM file that cannot be used; `path` and `line` (from 1, 0: all of it) say where."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}: line {line}: {message}" if line else f"{path}: {message}")
        self.path, self.line = path, line


def ctm_line(file: str, word: str, start: float, end: float) -> str:
    """Return a word as a line of a CTM file: file, channel 1, start and duration in seconds, word.

    White space in the name of the file becomes an underscore, since columns are separated by it.
    """
    return f"{'_'.join(file.split())} 1 {start:.3f} {end - start:.3f} {word}"


def read_ctm(path: Path) -> Mapping[str, tuple[TimedWord, ...]]:
    """Read when the words of each file of a CTM file end; see `read_ctm_words`."""
    return {
        file: tuple((word.text, word.end) for word in words)
        for file, words in read_ctm_words(path).items()
    }


def read_ctm_words(path: Path) -> Mapping[str, tuple[CtmWord, ...]]:
    """Read a CTM file: the words of each of its files, by their end.

    Raises:
        CtmError: it cannot be read, or a line is not of this form.
    """
    try:
        lines = read_text(path).rstrip("\n").split("\n")
    except OSError as error:
        raise CtmError(path, 0, f"cannot be read: {error}") from error
    except TextError as error:
        raise CtmError(path, error.line, error.reason) from error
    words: dict[str, list[CtmWord]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(";;"):
            continue
        try:
            file, channel, start, duration, word, *_confidence = line.split(None, 5)
            int(channel)
            begin, end = float(start), float(start) + float(duration)
        except ValueError as error:
            raise CtmError(
                path, number, f"{line!r} is not `file channel start duration word [confidence]`"
            ) from error
        if not (math.isfinite(end) and end >= 0.0):
            raise CtmError(path, number, f"the word ends at {end} s")
        words.setdefault(file, []).append(CtmWord(word, begin, end))
    return {file: tuple(sorted(of, key=lambda word: word.end)) for file, of in words.items()}


def words_of(times: Mapping[str, Of], name: str) -> Of | None:
    """Return what a CTM file says of a recording, by its id, file name or stem."""
    path = PurePath(name)
    names = (name, "_".join(name.split()), path.name, path.stem)
    return next((times[key] for key in names if key in times), None)
