"""The folder of indexes: each is written once and found again while its data set is the same.

An index's folder is named by a hash of the data set's format, path and root and of its files, their sizes and
times. An index whose data set has changed stays where it is and may be deleted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from stream.files.text import GZIP
from train.data.formats.table import FORMATS, detect, files_of
from train.data.lazy.index import Index
from train.data.lazy.index_writer import VERSION, IndexWriter
from train.data.records.durations import with_durations
from train.data.storage.sources import is_remote, state_of


def default_cache() -> Path:
    """Return the folder for indexes: rill in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rill"


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
                writer = IndexWriter(partial, progress)
                if name == "manifest" and _is_plain(path):
                    writer.add_lines(Path(path), root)
                else:
                    writer.add_records(with_durations(FORMATS[name].read(Path(path), root)))
                writer.finish(path)
                partial.rename(folder)
    return Index(folder)


def _is_plain(path: str) -> bool:
    """Tell whether a manifest is a local file that is not compressed."""
    if is_remote(path):
        return False
    with open(path, "rb") as file:
        return not file.read(2).startswith(GZIP)
