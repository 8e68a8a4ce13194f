"""Files of a data set: written whole or not at all, and how recordings are named in them."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from stream.files.atomic import replacing
from train.data.records.record import AUDIO_SUFFIXES, File, Mix, Record

LEVEL = 6  # of gzip


@contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing, gzip where its name ends in .gz or .tgz; see `replacing`.

    The bytes of a .gz depend on its content alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        if path.suffix in (".gz", ".tgz"):
            with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as compressed:
                yield cast(BinaryIO, compressed)
        else:
            yield file


def listed_path(record: Record, folder: Path, *, parts: bool = True) -> str:
    """Return the path by which a manifest in a folder names a record's recording.

    It is relative where the recording lies below the folder, absolute elsewhere.

    Args:
        folder: absolute.
        parts: whether the manifest can mean a part or a channel of a file.
    Raises:
        ManifestError: it cannot be said by a path.
    """
    audio, part = record.audio, record.part
    if not isinstance(audio, File) or audio.size is not None:
        kind = "a mix of several recordings" if isinstance(audio, Mix) else "no file of its own"
        raise record.error(f"the recording of {record.id} is {kind}: write it with --audio DIR")
    if not parts and (part.seconds is not None or part.channel is not None):
        raise record.error(
            f"{record.id} is a part or a channel of a file, which this format cannot say: write it "
            "with --audio DIR"
        )
    return absolute(audio.path).removeprefix(f"{folder}{os.sep}")


def absolute(path: str) -> str:
    """Return the absolute path of a recording; an address (s3://...) stays as it is."""
    return path if os.path.isabs(path) or "://" in path else os.path.abspath(path)


def safe_name(name: str) -> str:
    """Return a relative path without dots and odd characters, from the name of a record.

    A key of a WebDataset ends at its first dot; the suffix of a recording is left out.
    """
    stem, suffix = os.path.splitext(name)
    if suffix.lower() not in AUDIO_SUFFIXES:
        stem = name
    parts = [re.sub(r"[^\w-]+", "_", part) for part in stem.split("/")]
    return "/".join(part for part in parts if part.strip("_")) or "_"
