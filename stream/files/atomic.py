"""Replace a file in one step: after a crash at any moment it is the old one or the new one, whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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


def replace_file(path: Path, content: bytes) -> None:
    """Write a file with this content, in place of the one at `path` if there is one."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def replace_json(path: Path, content: Any) -> None:
    """Write content, such as a msgspec struct, as indented JSON; see `replace_file`."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
