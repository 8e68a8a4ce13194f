"""Spool: uploads on disk, with one budget over all of them.

A recording is kept in a folder of its own in the temporary directory ($TMPDIR) until it is recognised.
A full disk is reported like an exhausted budget.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class SpoolFullError(Exception):
    """There is no room for more; the message gives the reason."""


class Spool:
    """The recordings that are being received or recognised.

    Args:
        limit: bytes of all of them.

    Attributes:
        free: bytes that are left.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.free = limit

    def check(self, size: int) -> None:
        """Raise SpoolFullError if fewer bytes are left."""
        if size > self.free:
            raise SpoolFullError(
                f"uploads may take {self._limit} bytes together, {self.free} of which are left; "
                "try again later"
            )

    @contextmanager
    def recording(self) -> Iterator[Spooled]:
        """Yield a file for a recording, which is deleted afterwards."""
        try:
            folder = tempfile.TemporaryDirectory(prefix="rill-upload-")
        except OSError as error:
            raise _full(error) from error
        with folder as name:
            spooled = Spooled(self, Path(name) / "recording")
            try:
                yield spooled
            finally:
                spooled.close()
                self.free += spooled.size


class Spooled:
    """A recording that is being written.

    Attributes:
        path: of its file.
        size: bytes so far.
    """

    def __init__(self, spool: Spool, path: Path) -> None:
        self._spool = spool
        self.path = path
        self.size = 0
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise _full(error) from error

    async def write(self, data: bytes) -> None:
        """Add bytes, on another thread, so that a slow disk does not stop other clients.

        Raises:
            SpoolFullError: fewer bytes are left.
        """
        self._spool.check(len(data))
        self._spool.free -= len(data)
        self.size += len(data)
        try:
            await asyncio.to_thread(self._file.write, data)
        except OSError as error:
            raise _full(error) from error

    async def finish(self) -> None:
        """Write what is buffered, and close the file."""
        try:
            await asyncio.to_thread(self._file.close)
        except OSError as error:
            raise _full(error) from error

    def close(self) -> None:
        """Close the file, complete or not; a second call does nothing."""
        with suppress(OSError):  # the file is deleted next
            self._file.close()


def _full(error: OSError) -> SpoolFullError:
    return SpoolFullError(f"the recording cannot be spooled: {error.strerror or error}")
