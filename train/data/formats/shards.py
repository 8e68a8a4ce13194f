"""WebDataset: tar files in which consecutive members with the same key are an utterance.

    train-000000.tar:  an4/1.flac  an4/1.txt  an4/1.json    an4/2.flac  an4/2.txt ...

1. Members with the same key are one sample; a key ends at the first dot of the last name.
2. The text is in KEY.txt, KEY.lab or KEY.json (text or transcript; duration, speaker, ...).
3. Shards are local files or objects of S3; `train-{000000..000099}.tar`, `{a,b}` and NeMo's `_OP_0..99_CL_` mean several. What they
   contain is read at its place, so a shard is never unpacked. One of S3 is read from its start to its end
   once, for its list, and then by ranges.
4. A compressed archive is `train.data.formats.archive`; `pipe:` is never run.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import msgspec

from stream.manifest import ManifestError
from train.data.records.extract import extension_of, heard
from train.data.records.files import safe_name, write_whole
from train.data.records.record import AUDIO_SUFFIXES, File, Read, Record
from train.data.records.transcripts import SIDE_SUFFIXES, fields_of, record_of, said, side_row
from train.data.storage.sources import SourceError, is_remote, open_source

PER_SHARD = 1000  # utterances
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


def expanded(name: str) -> list[Path]:
    """Return the files, or objects of S3, that a name with braces means: {000..099} and {a,b}.

    Raises:
        ManifestError: it is a command or an address, or a range ends before it begins.
    """
    try:
        is_remote(name)
    except SourceError as error:
        raise ManifestError(Path(name), 0, error.fault) from error
    name = name.replace("_OP_", "{").replace("_CL_", "}")  # as NeMo's configurations write braces
    found = _RANGE.search(name)
    if found is None:
        return [Path(name)]
    first, last, choices = found.groups()
    if choices is None:
        if int(last) < int(first):
            raise ManifestError(Path(name), 0, f"the range {found[0]} ends before it begins")
        values = [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    else:
        values = choices.split(",")
    before, after = name[: found.start()], name[found.end() :]
    return [path for value in values for path in expanded(before + value + after)]


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of shards, in the order of the shards and of their members."""
    for shard in expanded(str(path)):
        yield from _shard(shard)


def _shard(path: Path) -> Read:
    number = 0
    with opened(path, "r:") as tar:
        for key, sample in itertools.groupby(members(tar), key=lambda m: _key(m.name)):
            number += 1
            audio: File | None = None
            row: dict[str, Any] = {}
            try:
                for member in sample:
                    suffix = os.path.splitext(member.name)[1].lower()
                    if suffix in AUDIO_SUFFIXES:
                        audio = File(str(path), member.offset_data, member.size)
                    elif suffix in SIDE_SUFFIXES and (side := tar.extractfile(member)):
                        row |= side_row(suffix, side.read())
                if audio is None:
                    raise ValueError("no recording")
                fields = fields_of(row)
            except ValueError as error:
                yield ManifestError(path, 0, f"{key}: {error}")
                continue
            yield record_of(key, audio, fields, str(path), number)


@contextlib.contextmanager
def opened(path: Path, mode: Literal["r:", "r|*"]) -> Iterator[tarfile.TarFile]:
    """Open a tar file, plain and at any place ("r:"), or compressed and from its start ("r|*").

    Raises:
        ManifestError: it cannot be read, now or later.
    """
    try:
        if is_remote(str(path)):
            with (
                open_source(str(path)) as body,
                tarfile.open(None, "r|" if mode == "r:" else mode, body, tarinfo=_Member) as tar,
            ):
                yield tar
        else:
            with tarfile.open(path, mode, tarinfo=_Member) as tar:
                yield tar
    except SourceError as error:
        raise ManifestError(path, 0, error.fault) from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        compressed = " A compressed archive is --format archive." if mode == "r:" else ""
        raise ManifestError(path, 0, f"is damaged or no tar file: {error}.{compressed}") from error
    except OSError as error:
        raise ManifestError(path, 0, f"cannot be read: {error.strerror or error}") from error


def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the files of an archive, of which tarfile itself would keep a list.

    Raises:
        tarfile.ReadError: the archive is damaged or cut short, which tarfile itself takes for its end
            where that is in a header.
    """
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]
        if member.isfile():
            yield member
    if not getattr(tar, "is_complete", False):
        raise tarfile.ReadError("no mark of its end")


class _Member(tarfile.TarInfo):
    """A member whose archive says whether its end has been read."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            tar.is_complete = True  # type: ignore[attr-defined]
            raise


def _key(name: str) -> str:
    folder, base = os.path.split(name)
    return os.path.join(folder, base.partition(".")[0])


def write(records: Iterable[Record], path: Path) -> int:
    """Write shards of `PER_SHARD` utterances, PATH's name with -000000 and so on; returns how many.

    A record that is all of a recording has its bytes, others are written as they are heard, in FLAC.
    """
    count = 0
    for number, some in enumerate(_batches(records)):
        with write_whole(_named(path, f"{number:06d}")) as file:
            count += write_tar(some, file)
    return count


def written(path: Path, count: int) -> Path:
    """Return the name with braces of what `write` wrote of so many utterances."""
    return _named(path, f"{{000000..{max(0, count - 1) // PER_SHARD:06d}}}")


def _named(path: Path, number: str) -> Path:
    stem, _, suffix = path.name.partition(".")
    return path.with_name(f"{stem}-{number}.{suffix or 'tar'}")


def _batches(records: Iterable[Record]) -> Iterator[Iterator[Record]]:
    rest = iter(records)
    for first in rest:
        yield itertools.chain([first], itertools.islice(rest, PER_SHARD - 1))


def write_tar(records: Iterable[Record], file: BinaryIO) -> int:
    """Write utterances into a tar file; returns how many."""
    keys: set[str] = set()
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for record in records:
            key = safe_name(record.id)
            if key in keys:
                raise record.error(
                    f"the shard has an utterance {key} already: give each its own id"
                )
            keys.add(key)
            audio = heard(record)
            for suffix, content in (
                (extension_of(audio), audio.content),
                (".txt", record.text.encode()),
                (".json", msgspec.json.encode(said(record))),
            ):
                add_member(tar, key + suffix, content)
    return len(keys)


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file to a tar file."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
