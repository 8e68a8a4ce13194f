"""The formats that data may come in, and how one is told from another."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import msgspec

from stream.files.text import GZIP, open_bytes
from stream.manifest import ManifestError
from train.data.formats import (
    archive,
    cuts,
    folder,
    hf,
    jsonl,
    kaldi,
    myrtle,
    parquet,
    shar,
    shards,
    tarred,
)
from train.data.records.record import Read, Record
from train.data.storage.sources import SourceError, is_remote, open_source


@dataclass(frozen=True)
class Format:
    """One of `FORMATS`.

    Attributes:
        read: (path, root) -> records; relative names count from root where it is not None.
        write: (records, path) -> how many.
        names: endings of an output path, by which the format is chosen.
        title: in a few words.
    """

    read: Callable[[Path, Path | None], Read]
    write: Callable[[Iterable[Record], Path], int]
    names: tuple[str, ...]
    title: str


HEAD = 1 << 16  # bytes by which a format is told
IN_SHAR = b'"type":"shar"'  # of a source

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        # Before shards, whose ending it has too.
        "archive": Format(
            archive.read,
            archive.write,
            (".tar.gz", ".tgz"),
            "a compressed archive of recordings and transcripts",
        ),
        "manifest": Format(jsonl.read, jsonl.write, (".jsonl",), "our and NeMo's JSON lines"),
        "cuts": Format(cuts.read, cuts.write, (), "Lhotse's cuts"),
        "myrtle": Format(myrtle.read, myrtle.write, (".json",), "Myrtle's JSON list"),
        "shards": Format(shards.read, shards.write, (".tar",), "WebDataset's tar files"),
        "shar": Format(shar.read, shar.write, (), "Lhotse Shar: cuts with tar files of recordings"),
        "tarred": Format(tarred.read, tarred.write, (), "NeMo's tarred sets"),
        "kaldi": Format(kaldi.read, kaldi.write, (), "a Kaldi data directory"),
        "folder": Format(folder.read, folder.write, (), "recordings with .txt or .lab beside them"),
        "hf": Format(hf.read, hf.write, (), "a Hugging Face audio folder"),
        "parquet": Format(parquet.read, parquet.write, (".parquet",), "Parquet with recordings"),
    }
)


def detect(path: str) -> str:
    """Return the name of the format that a path has, told by what is there.

    Raises:
        ManifestError: there is nothing, or nothing that is known.
    """
    first = shards.expanded(path)[0]
    if not is_remote(str(first)) and first.is_dir():
        return _of_folder(first)
    if path.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
        return "archive"
    head = _head(first)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head[257:262] == b"ustar":
        return "tarred" if tarred.manifests(path) else "shards"
    line = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if line.startswith(b"["):
        return "myrtle"
    if line.startswith(b"{"):
        return _of_line(line.partition(b"\n")[0])
    raise ManifestError(
        first,
        0,
        "is of no known format. Name one, with --format or as `format` in a configuration: "
        f"{', '.join(FORMATS)}",
    )


def _head(path: Path) -> bytes:
    """Return the first bytes of a file or an object, decompressed."""
    try:
        if is_remote(str(path)):
            with open_source(str(path)) as body:
                head = body.read(HEAD)
            if head.startswith(GZIP):
                return zlib.decompressobj(wbits=31).decompress(head)
            return head
        with open_bytes(path) as file:
            return file.read(HEAD)
    except SourceError as error:
        raise ManifestError(path, 0, error.fault) from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ManifestError(path, 0, f"cannot be read: {reason}") from error


def _of_folder(path: Path) -> str:
    if (path / "wav.scp").is_file():
        return "kaldi"
    if shar.is_shar(path):
        return "shar"
    if (path / tarred.MANIFEST).is_file() or (path / tarred.SHARDED.format(0)).is_file():
        return "tarred"
    if hf.tables(path):
        return "hf"
    return "parquet" if parquet.tables(path) else "folder"


def _of_line(line: bytes) -> str:
    """Return the format of a line of JSON, of which the end may be cut off."""
    try:
        content = msgspec.json.decode(line, type=dict[str, object])
    except msgspec.DecodeError:
        content = {key: None for key in ("recording", "tracks") if f'"{key}"'.encode() in line}
    if not ("recording" in content or "tracks" in content or "Cut" in str(content.get("type"))):
        return "manifest"
    return "shar" if IN_SHAR in line.replace(b" ", b"") else "cuts"


def files_of(path: str, name: str, root: Path | None = None) -> list[Path]:
    """Return the files that list what a data set holds, without the recordings that they name."""
    first = Path(path)
    match name:
        case "shards":
            return shards.expanded(path)
        case "kaldi":
            return [first / file for file in kaldi.FILES if (first / file).exists()]
        case "shar":
            return [file for each in shar.lists(path) for file in (each, shar.tar_of(each))]
        case "tarred":
            return [*tarred.manifests(path, root), *tarred.tars(path).values()]
        case "hf":
            return hf.tables(first)
        case "parquet":
            return parquet.tables(first)
        case "folder":
            return sorted(file for file in first.rglob("*") if file.is_file())
    return [first]


def for_output(path: str) -> str:
    """Return the name of the format to write to a path, by its ending.

    Raises:
        ManifestError: it is that of no format.
    """
    base = os.path.basename(path).lower()
    if "cuts" in base and ".jsonl" in base:
        return "cuts"
    for name, found in FORMATS.items():
        if base.endswith(found.names) or base.removesuffix(".gz").endswith(found.names):
            return name
    raise ManifestError(
        Path(path), 0, f"its name shows no format. Name one with --to: {', '.join(FORMATS)}"
    )


def read_records(path: str, name: str | None = None, root: Path | None = None) -> Read:
    """Yield the records of a data set, and of what cannot be used its error.

    Args:
        path: of the data set.
        name: of its format; None: told by what is there.
        root: folder from which relative names count; None: as its format has it.
    Raises:
        ManifestError: it cannot be read (on).
    """
    return FORMATS[name or detect(path)].read(Path(path), root)
