"""What the readers of corpora share: an item, reading tables line by line, and saying what is wrong.

A reader is a function (root, duplicates) -> items, in the order in which the corpus lists them. It reads
lists and transcripts only; whether the recordings are there and how long they are is found by
`train.data.preparation`, for all corpora in the same way.
"""

from __future__ import annotations

import csv
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream.errors import InputError
from stream.files import text

SHOWN = 8  # names in a message


class LayoutError(InputError):
    """A folder or file that is not as the corpus was published; the message says both."""


@dataclass(frozen=True, slots=True)
class Item:
    """One recording as a corpus lists it.

    Attributes:
        split: the set it belongs to, and the name of its manifest.
        audio: the file, which may be missing.
        text: transcript as published.
        speaker: None where the corpus does not say.
    """

    split: str
    audio: Path
    text: str
    speaker: str | None = None


@dataclass(frozen=True)
class PublishedCorpus:
    """A published corpus.

    Attributes:
        title: its full name.
        licence: under which it is published.
        source: where it comes from.
        layout: the path and the files that a reader requires, in a line.
        read: from its folder, and the number of recordings of one sentence that are wanted at most (None:
            as published), to its items.
    """

    title: str
    licence: str
    source: str
    layout: str
    read: Callable[[Path, int | None], Iterator[Item]]


def demand(root: Path, *names: str) -> list[Path]:
    """Return files or folders that have to be there.

    Raises:
        LayoutError: one is not; the message says what is.
    """
    missing = [name for name in names if not (root / name).exists()]
    if missing:
        raise LayoutError(f"{root}: expected {', '.join(missing)}; found {_listing(root)}")
    return [root / name for name in names]


def _listing(root: Path) -> str:
    """Return the first names in a folder."""
    if not root.is_dir():
        return "a file" if root.exists() else "no such folder"
    with os.scandir(root) as entries:
        names = sorted(
            entry.name + "/" * entry.is_dir() for entry in itertools.islice(entries, 1000)
        )
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "an empty folder"


def visible_folders(root: Path) -> list[Path]:
    """Return the folders in a folder, sorted, except hidden ones; none where there is no such folder."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, with their numbers from 1.

    Raises:
        LayoutError: it cannot be read or is not UTF-8.
    """
    try:
        for number, line in text.read_lines(path):
            if line.strip():
                yield number, line
    except OSError as error:
        raise LayoutError(f"{path}: cannot be read: {error.strerror}") from error
    except text.TextError as error:
        raise LayoutError(f"{path}: {error}") from error


def read_table(
    path: Path, columns: Sequence[str], *, delimiter: str, quoted: bool
) -> Iterator[dict[str, str]]:
    """Yield the rows of a table with a header, by column.

    Args:
        columns: that have to be there; others may be.
        delimiter: between fields.
        quoted: whether fields may be in quotation marks; where not, a mark is part of the text.
    Raises:
        LayoutError: a column is missing, or a row has too few fields.
    """
    csv.field_size_limit(sys.maxsize)
    lines = (line for _, line in read_lines(path))
    reader = csv.DictReader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    )
    header = reader.fieldnames or []
    if missing := [column for column in columns if column not in header]:
        raise LayoutError(
            f"{path}: expected the columns {', '.join(columns)}; {', '.join(missing)} is missing from "
            f"{', '.join(header) or 'an empty file'}"
        )
    for row in reader:
        if any(row[column] is None for column in columns):
            raise LayoutError(
                f"{path}: row {reader.line_num} has {len([v for v in row.values() if v is not None])} "
                f"fields, the header {len(header)}"
            )
        yield row
