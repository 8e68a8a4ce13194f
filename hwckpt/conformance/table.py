"""The table of all vector files, and a set of them: written, checked, and compared with its list of hashes.

A subject that needs a package beyond the core is imported only where that is installed; elsewhere its
files are recognised and skipped. All kinds whose pattern matches a file's name check it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hwckpt.checkpoint import HardwareCheckpoint
from hwckpt.conformance import (
    decoding,
    fixed_front_end,
    integer,
    integer_transducer,
    models,
    stages,
    tokens,
    transducer,
)
from hwckpt.conformance.comparison import (
    Kind,
    Row,
    VectorError,
    Vectors,
    installed,
    on_each,
    read_vectors,
)
from hwckpt.writer import write_checkpoint
from stream.files.text import read_text
from stream.model.specification import ModelError

HASHES = "SHA256SUMS"  # as `sha256sum` writes and reads it
# Package: the patterns of the subjects that need it, which cannot be imported without.
OPTIONAL = {
    "torch": (
        "loss_*.npz",
        "train_grad_*.npz",
        "melstats*.npz",
        "noise_blend*.npz",
        "lr_schedule*.npz",
        "lamb_step*.npz",
        "ema_step*.npz",
        "schedules*.npz",
    ),
    "inflect": ("text_*.json",),
}
# Read with the files that name them.
BESIDE = ("config_*.yaml", "melmeans*.pt", "melvars*.pt", "meln*.pt", "spm_*.model", "stats_*")
IGNORED = (*BESIDE, "README*", "*.md")


class Line(NamedTuple):
    """A row of the outcome, and the file that it is about."""

    file: str
    row: Row


def kinds() -> tuple[Kind, ...]:
    """Return all kinds of vector files; ours are written in this order."""
    core = (stages, fixed_front_end, integer, models, transducer, tokens, integer_transducer)
    found = [kind for subject in (*core, decoding) for kind in subject.KINDS]
    if installed("torch"):
        from hwckpt.conformance import gradients, training

        found += [*training.KINDS, *gradients.KINDS]
    if installed("inflect"):
        from hwckpt.conformance import text

        found += text.KINDS
    for package, patterns in OPTIONAL.items():
        if not installed(package):
            found += [Kind(pattern, _skip(package)) for pattern in patterns]
    return tuple(found)


def _skip(package: str) -> Callable[[Vectors], Iterator[Row]]:
    return lambda z: on_each(z.path.stem, (package,), lambda backend: iter(()))


def write_set(folder: Path, seed: int) -> list[Path]:
    """Write our vector files into a folder, and the list of their hashes.

    Files that need torch, or the text normalisers' packages, are left out where those are not
    installed. A file is a function of the seed and of its name.

    Args:
        folder: is made where it does not exist; files of the same name are replaced.
        seed: of all signals, weights and sentences.
    Returns:
        the files, the list last.
    Raises:
        FileNotFoundError: the bundled model, whose tokenizer the small networks have, is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, make in ((name, make) for kind in kinds() for name, make in kind.files.items()):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        _save(make(rng, folder), folder / name)
        files.append(folder / name)
    lines = [f"{_hash(file)}  {file.name}\n" for file in sorted(files)]
    (folder / HASHES).write_text("".join(lines), "utf-8")
    return [*files, folder / HASHES]


def _save(content: Any, path: Path) -> None:
    if isinstance(content, str):
        path.write_text(content, "utf-8")
    elif isinstance(content, HardwareCheckpoint):
        write_checkpoint(content, path)
    else:
        np.savez_compressed(path, **content)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _listed(folder: Path) -> dict[str, str]:
    """Return the hashes in the list of a folder by file; nothing where it has none."""
    if not (folder / HASHES).exists():
        return {}
    lines = [line.split() for line in read_text(folder / HASHES).splitlines()]
    wrong = next((n for n, line in enumerate(lines, 1) if len(line) != 2), None)
    if wrong:
        raise VectorError(f"{folder / HASHES}:{wrong}: wants a SHA-256 and the name of a file")
    return {name: digest for digest, name in lines}


def missing_files(folder: Path) -> list[str]:
    """Return the files of the table, and of the folder's list, that the folder lacks."""
    names = [name for kind in kinds() for name in kind.files]
    return [
        name for name in {**dict.fromkeys(names), **_listed(folder)} if not (folder / name).exists()
    ]


def check_set(
    folder: Path, progress: Callable[[int, int, str], None] | None = None
) -> Iterator[Line]:
    """Check every file of a folder, in the order of their names.

    Args:
        folder: of vector files, and perhaps the list of their hashes.
        progress: is told each file before its check: its number from 1, the count, its name.
    Raises:
        VectorError: a file is not understood.
    """
    table, listed = kinds(), _listed(folder)
    paths = sorted(path for path in folder.iterdir() if path.name != HASHES)
    for number, path in enumerate(paths, 1):
        matching = [kind for kind in table if fnmatch.fnmatch(path.name, kind.pattern)]
        if not matching and not any(fnmatch.fnmatch(path.name, each) for each in IGNORED):
            raise VectorError(f"{path}: no vector file has such a name; take it out of the folder")
        if progress:
            progress(number, len(paths), path.name)
        try:
            if path.name in listed:
                found = _hash(path)
                note = "" if found == listed[path.name] else f"is {found}, not {listed[path.name]}"
                yield Line(path.name, Row("sha256", "-", float(bool(note)), note=note))
            if not matching:
                yield Line(path.name, Row("read with the files that name it", "-"))
            for kind in matching:
                for row in kind.check(read_vectors(path)):
                    yield Line(path.name, row)
        except (ModelError, KeyError, TypeError, IndexError, ValueError, OSError) as error:
            if isinstance(error, VectorError):
                raise
            raise VectorError(f"{path}: {error}") from error
