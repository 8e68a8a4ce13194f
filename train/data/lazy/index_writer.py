"""Writes the index of a data set, in one pass over it; its files are those of `train.data.lazy.index`."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, TextIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.manifest import ManifestError
from train.data.lazy.index import About, PlainManifest
from train.data.lazy.lines import scanned
from train.data.records.record import Bytes, File, Record
from train.data.storage.sources import state_of

VERSION = 4  # of the files; indexes of another are made again
PROGRESS_EVERY = 1 << 20  # utterances
BLOCK = 1 << 16  # utterances that are copied before their columns are written


class IndexWriter:
    """Writes the files of an index.

    Args:
        folder: of the index.
        progress: called now and then with the number of utterances.
    """

    def __init__(self, folder: Path, progress: Callable[[int], None]) -> None:
        self._folder, self._progress = folder, progress
        self._count = self._faults = self._timed = 0
        self._names: dict[str, int] = {}
        self._durations: list[NDArray[np.float32]] = []
        self._corpora: list[NDArray[np.uint32]] = []
        self._lines: PlainManifest | None = None

    def add_lines(self, path: Path, root: Path | None) -> None:
        """Take the utterances of a plain manifest, which stay where they are."""
        self._lines = PlainManifest(
            str(path.absolute()), None if root is None else str(root), state_of(str(path))
        )
        before = 0
        with (
            (self._folder / "begins").open("wb") as begins,
            (self._folder / "numbers").open("wb") as numbers,
            (self._folder / "faults").open("w") as faults,
        ):
            for block in scanned(path, root):
                for line, reason in block.faults:
                    self._fault(ManifestError(path, before + line, reason), faults)
                if block.broken is not None:
                    line, reason = block.broken
                    raise ManifestError(path, line and before + line, reason)
                block.begins.tofile(begins)
                (block.numbers + np.int32(before)).tofile(numbers)
                of_block = [self._names.setdefault(n, len(self._names)) for n in block.names]
                corpora = (
                    np.array(of_block, np.uint32)[block.corpora] if of_block else block.corpora
                )
                self._add(block.durations, corpora, block.timed)
                before += block.count

    def add_records(self, records: Iterable[Record | ManifestError]) -> None:
        """Take utterances of any format, which are copied into the index."""
        encoder = msgspec.msgpack.Encoder()
        durations, ends, corpora = [], array("q"), array("I")
        end = timed = 0
        with (
            (self._folder / "records").open("wb") as output,
            (self._folder / "ends").open("wb") as of_ends,
            (self._folder / "audio").open("wb") as audio,
            (self._folder / "faults").open("w") as faults,
        ):
            for record in records:
                if isinstance(record, ManifestError):
                    self._fault(record, faults)
                    continue
                end += output.write(encoder.encode(_placed(record, audio)))
                ends.append(end)
                durations.append(record.duration)
                corpora.append(self._names.setdefault(record.corpus or "", len(self._names)))
                timed += bool(record.words)
                if len(ends) == BLOCK:
                    self._add(np.array(durations, np.float32), np.array(corpora, np.uint32), timed)
                    ends.tofile(of_ends)
                    durations, ends, corpora, timed = [], array("q"), array("I"), 0
            self._add(np.array(durations, np.float32), np.array(corpora, np.uint32), timed)
            ends.tofile(of_ends)

    def _fault(self, error: ManifestError, faults: TextIO) -> None:
        faults.write(str(error).replace("\n", " ") + "\n")
        self._faults += 1

    def _add(self, durations: NDArray[np.float32], corpora: NDArray[np.uint32], timed: int) -> None:
        said, self._count = self._count // PROGRESS_EVERY, self._count + len(durations)
        self._timed += timed
        self._durations.append(durations)
        self._corpora.append(corpora)
        if self._count // PROGRESS_EVERY > said:
            self._progress(self._count)

    def finish(self, source: str) -> None:
        """Write what depends on all utterances."""
        durations = np.concatenate([np.empty(0, np.float32), *self._durations])
        order = np.argsort(durations, kind="stable")
        corpora = np.concatenate([np.empty(0, np.uint32), *self._corpora])
        if len(self._names) > 1:
            order = order[np.argsort(corpora[order], kind="stable")]
        order.astype(np.int64).tofile(self._folder / "order")
        durations[order].tofile(self._folder / "durations")
        sizes = np.bincount(corpora, minlength=len(self._names)).tolist()
        about = About(
            VERSION,
            source,
            self._count,
            float(durations.sum(dtype=np.float64)),
            self._faults,
            list(zip(self._names, sizes, strict=True)),
            self._timed,
            self._lines,
        )
        (self._folder / "about.json").write_bytes(msgspec.json.encode(about))
        self._progress(self._count)


def _placed(record: Record, audio: BinaryIO) -> Record:
    """Give a recording in memory a place in the index's own file."""
    if not isinstance(record.audio, Bytes):
        return record
    begin = audio.tell()
    size = audio.write(record.audio.content)
    return msgspec.structs.replace(record, audio=File("", begin, size))
