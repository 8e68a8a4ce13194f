"""The index of a data set: every utterance at its number, on disk, whatever format it comes from.

    CACHE/KEY/records     the records, one after the other (msgpack)
    CACHE/KEY/ends        int64 (N,): where each ends
    CACHE/KEY/begins      in place of these two, int64 (N,): where each begins in a plain manifest of JSON lines
    CACHE/KEY/numbers     int32 (N,): of its line
    CACHE/KEY/order       int64 (N,): numbers by corpus, those of each in the order of their durations
    CACHE/KEY/durations   float32 (N,): seconds, in that order
    CACHE/KEY/audio       recordings that have no place of their own: those of compressed archives, tables
    CACHE/KEY/faults      a line for each utterance that cannot be used
    CACHE/KEY/about.json  what it was made from

KEY follows from the data set's files, their sizes and times, so an index is made once, and again when they
change; an old one is left where it is and may be deleted. Making it reads the data set once. Opening it
takes milliseconds whatever its length. Only the pages of `order` and `durations` that were asked for are in
memory: 12 bytes per utterance at most.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import weakref
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, TextIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.files.text import GZIP
from stream.manifest import ManifestError, entry_of
from train.data.formats.jsonl import record_of
from train.data.formats.table import FORMATS, detect, files_of
from train.data.lazy.lines import line_at, scanned
from train.data.records.durations import with_durations
from train.data.records.record import Bytes, File, Record
from train.data.storage.sources import is_remote, state_of

VERSION = 4
FAULTS_SHOWN = 5
SAID_EVERY = 1 << 20  # utterances
TOGETHER = 1 << 16  # utterances


def default_cache() -> Path:
    """Return the folder for indexes: rill in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rill"


class _Source(msgspec.Struct):
    """A manifest whose lines are read at their places; its state when they were looked for."""

    path: str
    root: str | None
    state: tuple[int, int | str]


class _About(msgspec.Struct):
    version: int
    source: str
    utterances: int
    seconds: float
    faults: int
    corpora: list[tuple[str, int]]
    timed: int
    lines: _Source | None = None


class Index:
    """An index that is open.

    Args:
        folder: of the index.

    Attributes:
        order: (N,) int64, numbers of the utterances by corpus, those of each in the order of their durations.
        durations: (N,) float32, seconds, in that order.
        about: what it was made from; `corpora`, the name and the number of utterances of each;
            `timed`, how many utterances say when their words sound.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = msgspec.json.decode((folder / "about.json").read_bytes(), type=_About)
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
            what = "python -m train.data check names all" + (
                '; on_error = "skip" leaves them out' if on_error == "refuse" else ""
            )
            raise ManifestError(
                source, 0, f"{faults} of {total} utterances cannot be used ({what}):\n{first}"
            )


class _Copied:
    """Records that were written into the index."""

    def __init__(self, folder: Path, about: _About) -> None:
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

    def __init__(self, folder: Path, about: _About) -> None:
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
            raise ManifestError(Path(self._path), line, f"changed since then: {error}") from error


def _opened(owner: object, path: Path) -> int:
    """Open a file that is closed when its owner is no more."""
    file = os.open(path, os.O_RDONLY)
    weakref.finalize(owner, os.close, file)
    return file


def _mapped(path: Path, kind: type, count: int) -> NDArray[np.generic]:
    return np.memmap(path, kind, "r", shape=(count,)) if count else np.empty(0, kind)


def index_of(
    path: str,
    name: str | None = None,
    root: Path | None = None,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> Index:
    """Return the index of a data set, which is made where there is none for its present state.

    Args:
        path, name, root: the data set, its format and folder, as in `read_records`.
        cache: folder for indexes; None: `default_cache`.
        progress: called now and then with the number of utterances read.
    Raises:
        ManifestError: the data set cannot be read.
        OSError: the cache cannot be written.
    """
    name = name or detect(path)
    state = [(os.path.abspath(file), *state_of(str(file))) for file in files_of(path, name, root)]
    key = msgspec.json.encode((VERSION, name, os.path.abspath(path), str(root or ""), state))
    cache = cache or default_cache()
    folder = cache / hashlib.blake2b(key, digest_size=12).hexdigest()
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another rank makes it: wait, then there is one
            if not folder.is_dir():
                partial = folder.with_suffix(".partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                maker = _Maker(partial, progress)
                if name == "manifest" and _is_plain(path):
                    maker.add_lines(Path(path), root)
                else:
                    maker.add_records(with_durations(FORMATS[name].read(Path(path), root)))
                maker.finish(path)
                partial.rename(folder)
    return Index(folder)


def _is_plain(path: str) -> bool:
    """Tell whether a manifest is a local file that is not compressed."""
    if is_remote(path):
        return False
    with open(path, "rb") as file:
        return not file.read(2).startswith(GZIP)


class _Maker:
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
        self._lines: _Source | None = None

    def add_lines(self, path: Path, root: Path | None) -> None:
        """Take the utterances of a plain manifest, which stay where they are."""
        self._lines = _Source(
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
                if len(ends) == TOGETHER:
                    self._add(np.array(durations, np.float32), np.array(corpora, np.uint32), timed)
                    ends.tofile(of_ends)
                    durations, ends, corpora, timed = [], array("q"), array("I"), 0
            self._add(np.array(durations, np.float32), np.array(corpora, np.uint32), timed)
            ends.tofile(of_ends)

    def _fault(self, error: ManifestError, faults: TextIO) -> None:
        faults.write(str(error).replace("\n", " ") + "\n")
        self._faults += 1

    def _add(self, durations: NDArray[np.float32], corpora: NDArray[np.uint32], timed: int) -> None:
        said, self._count = self._count // SAID_EVERY, self._count + len(durations)
        self._timed += timed
        self._durations.append(durations)
        self._corpora.append(corpora)
        if self._count // SAID_EVERY > said:
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
        about = _About(
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
