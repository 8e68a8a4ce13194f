"""The index of a data set: every utterance at its number, on disk, whatever format it comes from.

    CACHE/KEY/records     the records, one after the other (msgpack)
    CACHE/KEY/ends        int64 (N,): where each ends
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
from typing import BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.manifest import ManifestError
from train.data.formats.table import FORMATS, detect, files_of
from train.data.records.durations import with_durations
from train.data.records.record import Bytes, File, Record
from train.data.storage.sources import state_of

__all__ = ["Index", "default_cache", "index_of"]

VERSION = 3
FAULTS_SHOWN = 5
SAID_EVERY = 1 << 20  # utterances


def default_cache() -> Path:
    """Return the folder for indexes: rill in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rill"


class _About(msgspec.Struct):
    version: int
    source: str
    utterances: int
    seconds: float
    faults: int
    corpora: list[tuple[str, int]]
    timed: int


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
        self._ends = _mapped(folder / "ends", np.int64, self.about.utterances)
        # Read, not mapped: pages of a map count as the process's memory, and the records are gigabytes.
        self._records = os.open(folder / "records", os.O_RDONLY)
        weakref.finalize(self, os.close, self._records)
        self._decoder = msgspec.msgpack.Decoder(Record)

    def __reduce__(self) -> tuple[type[Index], tuple[Path]]:
        return Index, (self.folder,)

    def __len__(self) -> int:
        return self.about.utterances

    def __getitem__(self, number: int) -> Record:
        """Return an utterance by its number, which is its place in the data set."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        begin = int(self._ends[number - 1]) if number else 0
        size = int(self._ends[number]) - begin
        record = self._decoder.decode(os.pread(self._records, size, begin))
        audio = record.audio
        if isinstance(audio, File) and not audio.path:  # in the index's own file
            own = File(str(self.folder / "audio"), audio.begin, audio.size)
            return msgspec.structs.replace(record, audio=own)
        return record

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
    state = [(os.path.abspath(file), *state_of(str(file))) for file in files_of(path, name)]
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
                records = FORMATS[name].read(Path(path), root)
                _make(partial, path, with_durations(records), progress)
                partial.rename(folder)
    return Index(folder)


def _make(
    folder: Path,
    source: str,
    records: Iterable[Record | ManifestError],
    progress: Callable[[int], None],
) -> None:
    """Write the files of an index."""
    encoder = msgspec.msgpack.Encoder()
    durations, ends, corpora = [], [], array("H")
    names: dict[str, int] = {}
    count, faults, end, timed = 0, 0, 0, 0
    with (
        (folder / "records").open("wb") as output,
        (folder / "ends").open("wb") as of_ends,
        (folder / "unsorted").open("wb") as of_durations,
        (folder / "audio").open("wb") as audio,
        (folder / "faults").open("w") as of_faults,
    ):
        for record in records:
            if isinstance(record, ManifestError):
                of_faults.write(str(record).replace("\n", " ") + "\n")
                faults += 1
                continue
            end += output.write(encoder.encode(_placed(record, audio)))
            ends.append(end)
            durations.append(record.duration)
            corpora.append(names.setdefault(record.corpus or "", len(names)))
            count += 1
            timed += bool(record.words)
            if count % (1 << 16) == 0:
                np.array(ends, np.int64).tofile(of_ends)
                np.array(durations, np.float32).tofile(of_durations)
                ends.clear()
                durations.clear()
            if count % SAID_EVERY == 0:
                progress(count)
        np.array(ends, np.int64).tofile(of_ends)
        np.array(durations, np.float32).tofile(of_durations)
    seconds = np.fromfile(folder / "unsorted", np.float32)
    (folder / "unsorted").unlink()
    order = np.argsort(seconds, kind="stable")
    of_corpus = np.frombuffer(corpora, np.uint16)
    if len(names) > 1:
        order = order[np.argsort(of_corpus[order], kind="stable")]
    sizes = np.bincount(of_corpus, minlength=len(names)).tolist()
    order.astype(np.int64).tofile(folder / "order")
    seconds[order].tofile(folder / "durations")
    about = _About(
        VERSION,
        source,
        count,
        float(seconds.sum(dtype=np.float64)),
        faults,
        list(zip(names, sizes, strict=True)),
        timed,
    )
    (folder / "about.json").write_bytes(msgspec.json.encode(about))
    progress(count)


def _placed(record: Record, audio: BinaryIO) -> Record:
    """Give a recording in memory a place in the index's own file."""
    if not isinstance(record.audio, Bytes):
        return record
    begin = audio.tell()
    size = audio.write(record.audio.content)
    return msgspec.structs.replace(record, audio=File("", begin, size))
