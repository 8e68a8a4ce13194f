"""The index of a data set: every utterance by its number, on disk, whatever format it comes from.

    INDEX/records     the records, one after the other (msgpack)
    INDEX/ends        int64 (N,): where each ends
    INDEX/begins      for a plain manifest, instead of these two, int64 (N,): where each line begins
    INDEX/numbers     for a plain manifest, int32 (N,): the number of each line, from 1
    INDEX/order       int64 (N,): utterances grouped by corpus, each group sorted by duration
    INDEX/durations   float32 (N,): seconds, in that order
    INDEX/audio       recordings without a file of their own: those of compressed archives and tables
    INDEX/faults      a line for each utterance that cannot be used
    INDEX/about.json  `About`

`train.data.lazy.index_writer` writes it, `train.data.lazy.index_cache` finds it or has it written. Opening one
takes milliseconds whatever its length. Only the pages of `order` and `durations` that were asked for are in
memory: 12 bytes per utterance at most.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.manifest import ManifestError, entry_of
from train.data.formats.jsonl import record_of
from train.data.lazy.lines import line_at
from train.data.records.record import File, Record

FAULTS_SHOWN = 5


class PlainManifest(msgspec.Struct):
    """A manifest whose lines are read where they are.

    Attributes:
        path: of the manifest.
        root: folder that its relative paths count from; None: its own.
        state: its size and time of change when it was indexed.
    """

    path: str
    root: str | None
    state: tuple[int, int | str]


class About(msgspec.Struct):
    """What an index holds.

    Attributes:
        version: of the index's files.
        source: path of the data set.
        utterances: how many it holds; seconds: of all of them.
        faults: how many utterances cannot be used, and are not among them.
        corpora: name and number of utterances of each.
        timed: how many utterances have the times of their words.
        lines: the manifest that has the records; None: they are in the index.
    """

    version: int
    source: str
    utterances: int
    seconds: float
    faults: int
    corpora: list[tuple[str, int]]
    timed: int
    lines: PlainManifest | None = None


class Index:
    """An open index.

    Args:
        folder: of the index.

    Attributes:
        order: (N,) int64, numbers of the utterances, grouped by corpus and sorted by duration.
        durations: (N,) float32, seconds, in that order.
        about: what it holds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = msgspec.json.decode((folder / "about.json").read_bytes(), type=About)
        self.order = _mapped(folder / "order", np.int64, self.about.utterances)
        self.durations = _mapped(folder / "durations", np.float32, self.about.utterances)
        self._records = (_Copied if self.about.lines is None else _InPlace)(folder, self.about)

    def __reduce__(self) -> tuple[type[Index], tuple[Path]]:
        return Index, (self.folder,)

    def __len__(self) -> int:
        return self.about.utterances

    def __getitem__(self, number: int) -> Record:
        """Return an utterance by its number, which is its place in the data set."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self._records.read(number)

    def durations_by_corpus(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield the name of each corpus and the durations of its utterances, seconds."""
        begin = 0
        for corpus, count in self.about.corpora:
            yield corpus, np.asarray(self.durations[begin : begin + count], np.float32)
            begin += count

    def faults(self) -> list[str]:
        """Return what was wrong with the utterances that are not in the index."""
        return (self.folder / "faults").read_text().splitlines()

    def check(self, on_error: str, share: float) -> None:
        """Refuse a data set with faults.

        Args:
            on_error: "refuse": any; "skip": more than a share of all utterances.
            share: of all utterances.
        Raises:
            ManifestError: it has faults, or no utterance at all.
        """
        source, faults = Path(self.about.source), self.about.faults
        total = len(self) + faults
        if not len(self) and not faults:
            raise ManifestError(source, 0, "names no recording")
        if faults and (on_error == "refuse" or faults > share * total):
            first = "\n".join(self.faults()[:FAULTS_SHOWN])
            what = "rill data check names all" + (
                '; on_error = "skip" leaves them out' if on_error == "refuse" else ""
            )
            raise ManifestError(
                source, 0, f"{faults} of {total} utterances cannot be used ({what}):\n{first}"
            )


class _Copied:
    """Records that were written into the index."""

    def __init__(self, folder: Path, about: About) -> None:
        self._folder = folder
        self._ends = _mapped(folder / "ends", np.int64, about.utterances)
        # Read, not mapped: pages of a map count as the process's memory, and the records are gigabytes.
        self._file = _opened(self, folder / "records")
        self._decoder = msgspec.msgpack.Decoder(Record)

    def read(self, number: int) -> Record:
        begin = int(self._ends[number - 1]) if number else 0
        size = int(self._ends[number]) - begin
        record = self._decoder.decode(os.pread(self._file, size, begin))
        audio = record.audio
        if isinstance(audio, File) and not audio.path:  # in the index's own file
            own = File(str(self._folder / "audio"), audio.begin, audio.size)
            return msgspec.structs.replace(record, audio=own)
        return record


class _InPlace:
    """Records that are lines of a manifest."""

    def __init__(self, folder: Path, about: About) -> None:
        assert about.lines is not None
        self._path, root = about.lines.path, about.lines.root
        self._root = os.path.dirname(self._path) if root is None else root
        self._begins = _mapped(folder / "begins", np.int64, about.utterances)
        self._numbers = _mapped(folder / "numbers", np.int32, about.utterances)
        self._file = _opened(self, Path(self._path))
        status = os.fstat(self._file)
        if (status.st_size, status.st_mtime_ns) != about.lines.state:
            raise ManifestError(Path(self._path), 0, "changed since it was indexed; start again")

    def read(self, number: int) -> Record:
        line = int(self._numbers[number])
        try:
            text = line_at(self._file, int(self._begins[number])).decode("utf-8-sig")
            return record_of(entry_of(self._root, line, text), self._path)
        except ValueError as error:  # it was a line when it was indexed
            raise ManifestError(
                Path(self._path), line, f"changed since it was indexed; start again: {error}"
            ) from error


def _opened(owner: object, path: Path) -> int:
    """Open a file that is closed when its owner is collected."""
    file = os.open(path, os.O_RDONLY)
    weakref.finalize(owner, os.close, file)
    return file


def _mapped(path: Path, kind: type, count: int) -> NDArray[np.generic]:
    return np.memmap(path, kind, "r", shape=(count,)) if count else np.empty(0, kind)
