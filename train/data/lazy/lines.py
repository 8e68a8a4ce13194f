"""The lines of a manifest: where each utterance is in its file, and how long it is.

A plain file of JSON lines is not copied into its index: an utterance is read again from its line. So of ten million lines
only their places, durations and corpora are kept, once each is known to be usable.

1. A block of lines is decoded as a whole into a struct that has the keys of the manifest. Keys that say nothing
   here are learned from the first block that has them.
2. A block that does not fit (a fault, a blank line, a byte order mark, another spelling of a key) is read line by line,
   by the rules of `stream.manifest`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.files.text import TextError, decode_line
from stream.manifest import JSON_LIST, KEYS, Line, entry_of, is_ignored, part_of

BLOCK = 8 << 20  # bytes
MOST_KEYS = 100  # that are learned
WORDS = "words"


@dataclass
class Lines:
    """The utterances of a block.

    Attributes:
        begins: (n,) int64, where each line begins in the file.
        numbers: (n,) int32, of its line: from 1 in the block.
        durations: (n,) float32, seconds.
        corpora: (n,) uint32, places in `names`.
        names: of the corpora.
        timed: how many have the times of their words.
        count: lines of the block, whatever is in them.
        faults: lines that cannot be used, and why.
        broken: the line at which reading fails, and why; None: there is none.
    """

    begins: NDArray[np.int64]
    numbers: NDArray[np.int32]
    durations: NDArray[np.float32]
    corpora: NDArray[np.uint32]
    names: list[str]
    timed: int
    count: int
    faults: list[tuple[int, str]] = field(default_factory=list)
    broken: tuple[int, str] | None = None


def scanned(path: Path, root: Path | None = None) -> Iterator[Lines]:
    """Yield the blocks of a manifest in their order.

    Args:
        root: folder from which relative paths count; None: the manifest's.
    Raises:
        OSError: it cannot be read.
    """
    keys, folder = _Keys(), str(path.parent if root is None else root)
    begin = 0
    with path.open("rb") as file:
        while content := file.read(BLOCK) + file.readline():
            yield _at_once(content, begin, keys) or _one_by_one(folder, content, begin)
            begin += len(content)


class _Keys:
    """The keys of a manifest so far, besides those of `Line` (rule 1)."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._make()

    def _make(self) -> None:
        names = {f"_{n}": key for n, key in enumerate(self._known)}
        struct = msgspec.defstruct(
            "_Line",
            [(name, self._known[key], msgspec.UNSET) for name, key in names.items()],
            bases=(Line,),
            rename=names,
            forbid_unknown_fields=True,
            gc=False,  # they hold no circle, and there are many
        )
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(struct)
        self.decode: Callable[[bytes], list[Any]] = decoder.decode_lines
        self.words = next((name for name, key in names.items() if key == WORDS), None)

    def learn(self, content: bytes) -> bool:
        """Learn the keys of some lines; tells whether there was one to learn."""
        before = len(self._known)
        for line in content.splitlines():
            try:
                keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw]).keys()
            except ValueError:
                return False
            for key in keys - KEYS - self._known.keys():
                if len(self._known) == MOST_KEYS:
                    return False
                self._known[key] = _kind(key)
        self._make()
        return len(self._known) > before


def _kind(key: str) -> Any:
    """Return the type with which a key says nothing: one that would change the audio may be null."""
    if is_ignored(key):
        return msgspec.Raw
    return int | None if key.lower() == "channels" else None


def _at_once(content: bytes, begin: int, keys: _Keys) -> Lines | None:
    """Decode a block as a whole; None: it does not fit (rule 2)."""
    try:
        lines: list[Line] = keys.decode(content)
    except msgspec.DecodeError:
        if not keys.learn(content):
            return None
        try:
            lines = keys.decode(content)
        except msgspec.DecodeError:
            return None
    characters = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    count = len(ends) + (not content.endswith(b"\n"))
    begins = np.zeros(count, np.int64)
    begins[1:] = ends[: count - 1] + 1
    # The decoder takes any space between objects; each has a line here.
    if len(lines) != count or (characters[begins] != ord("{")).any():
        return None
    if content.count(b"\r") != content.count(b"\r\n"):
        return None
    durations = np.fromiter((line.duration for line in lines), np.float64, count)
    if not (np.isfinite(durations) & (durations > 0.0)).all():
        return None
    try:
        for line in lines:
            if (
                line.offset is not None
                or line.channel is not None
                or line.channel_selector is not None
            ):
                part_of(line)
    except ValueError:
        return None
    names = {name: n for n, name in enumerate(dict.fromkeys(line.corpus or "" for line in lines))}
    corpora = (names[line.corpus or ""] for line in lines)
    words = keys.words
    return Lines(
        begins + begin,
        np.arange(1, count + 1, dtype=np.int32),
        durations.astype(np.float32),
        np.fromiter(corpora, np.uint32, count) if len(names) > 1 else np.zeros(count, np.uint32),
        list(names),
        sum(getattr(line, words) is not msgspec.UNSET for line in lines) if words else 0,
        count,
    )


def _one_by_one(folder: str, content: bytes, begin: int) -> Lines:
    """Read a block line by line (rule 2)."""
    begins, numbers, durations, corpora = [], [], [], []
    names: dict[str, int] = {}
    faults: list[tuple[int, str]] = []
    number = timed = 0
    broken = None
    first = begin == 0
    for place, line in _split(io.BytesIO(content)):
        number += 1
        try:
            text = decode_line(line, first=begin + place == 0).removeprefix("\ufeff")
        except TextError as error:
            broken = number, error.reason
            break
        if not text or text.isspace():
            continue
        if first and text.lstrip().startswith("["):
            broken = 0, JSON_LIST
            break
        first = False
        try:
            entry = entry_of(folder, number, text)
        except ValueError as error:
            faults.append((number, str(error)))
            continue
        begins.append(begin + place)
        numbers.append(number)
        durations.append(entry.duration)
        corpora.append(names.setdefault(entry.corpus or "", len(names)))
        timed += WORDS in entry.extra
    return Lines(
        np.array(begins, np.int64),
        np.array(numbers, np.int32),
        np.array(durations, np.float32),
        np.array(corpora, np.uint32),
        list(names),
        timed,
        number,
        faults,
        broken,
    )


def _split(content: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a block and where they begin in it, as `stream.files.text.lines_of` counts them."""
    place = 0
    for raw in content:
        within = place
        for line in raw.rstrip(b"\r\n").split(b"\r"):
            yield within, line
            within += len(line) + 1
        place += len(raw)


def line_at(file: int, begin: int) -> bytes:
    """Return the line of a file that begins at a place.

    Args:
        file: descriptor.
    """
    size = 1 << 12
    while True:
        content = os.pread(file, size, begin)
        line = content.split(b"\n", 1)[0].split(b"\r", 1)[0]
        if len(line) < len(content) or len(content) < size:
            return line
        size *= 8
