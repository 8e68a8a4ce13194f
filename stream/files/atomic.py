"""Replace a file or folder in one step: after a crash at any moment it is the old one or the new one, whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield PATH.partial, where the block writes a file that then replaces the one at `path`.

    The file is on disk (fsync) before it is moved into place. If the block raises, `path` is as it was and
    nothing is left behind; after a kill, PATH.partial may be, and the next call removes it.
    """
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time go through blocks that read a file in a folder and replace it.

    The lock ends with the process, however it ends. Windows has none of this kind: there, none is taken.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`, or as near as there is a folder: a rename does not cross file systems.

    It is removed afterwards; after a kill it may be left, and the next call removes it.
    """
    near = next(folder for folder in path.absolute().parents if folder.is_dir())
    prefix = f".{path.name}-"
    for left in [each for each in near.iterdir() if each.name.startswith(prefix)]:
        if left.is_dir() and _unlocked(left):
            shutil.rmtree(left)
    with TemporaryDirectory(prefix=prefix, dir=near) as temporary, locked(Path(temporary)):
        yield Path(temporary)


def _unlocked(folder: Path) -> bool:
    """Return whether no process holds the lock of a folder; where there are no locks, False."""
    if fcntl is None:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(handle)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file with this content, in place of the one at `path` if there is one."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def replace_json(path: Path, content: Any) -> None:
    """Write content, such as a msgspec struct, as indented JSON; see `replace_file`."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
