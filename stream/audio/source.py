"""Source: the bytes of a recording, from a file or a pipe, with header fields that can be corrected.

Header readers look at any place (`peek`), the decoder reads it as a file. A pipe remembers what was
peeked at and is read on from there, so that a live recording is decoded as it comes; `spool` makes a
file of a pipe whose format is read from its end.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

KEPT_BYTES = 1 << 20  # most that is remembered of a pipe
TAIL_BYTES = 1 << 17  # of what `take` took of it, in which two pages of Ogg fit


class Source(io.RawIOBase):
    """Bytes of a recording.

    Args:
        path: of a file, or of a pipe (/dev/stdin).
        content: bytes that are read in place of the file's: a member of an archive. The path is a name.

    Attributes:
        size: bytes of a file; of a pipe what `declare` said, None before.
        live: whether it is a pipe.
        received: bytes that came from a pipe.
        tail: the last of them that `take` returned.
        fault: of a read that failed in the decoder's hands, which cannot raise it.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        super().__init__()
        self._file: BinaryIO = path.open("rb") if content is None else io.BytesIO(content)
        self._in_memory = content is not None
        self.live = not self._file.seekable()
        self.size = None if self.live else self._file.seek(0, io.SEEK_END)
        self._kept = bytearray()
        self.received = 0
        self.tail = bytearray()
        self.fault: OSError | None = None
        self._spooled = False
        self._position = 0
        self._prefix, self._behind = b"", 0
        self._fields: dict[int, bytes] = {}

    @property
    def plain(self) -> bool:
        """Whether the file at the path has the same bytes, so that it may be read itself."""
        return not (self.live or self._in_memory or self._spooled or self._fields or self._prefix)

    def peek(self, offset: int, count: int) -> bytes:
        """Return the bytes at a place, fewer where it ends before; of a pipe, only near its start."""
        if not self.live:
            if offset >= (self.size or 0):
                return b""
            self._file.seek(offset)
            return self._file.read(count)
        missing = min(offset + count, KEPT_BYTES) - len(self._kept)
        if missing > 0:
            self._kept += self._file.read(missing)
            self.received = len(self._kept)
        return bytes(self._kept[offset : offset + count])

    def take(self, count: int) -> bytes:
        """Return the next bytes of a pipe, as many as have come, at least one before the end."""
        data = bytes(self._kept[self._position : self._position + count])
        if not data:
            data = cast(io.BufferedReader, self._file).read1(count)
            self.received += len(data)
        self._position += len(data)
        self.tail += data
        if len(self.tail) > 2 * TAIL_BYTES:
            del self.tail[:-TAIL_BYTES]
        return data

    def spool(self) -> None:
        """Copy a pipe into a temporary file, which then stands for it."""
        if not self.live:
            return
        file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  closed with the source
        file.write(self._kept)
        shutil.copyfileobj(self._file, file)
        self._file.close()
        self._file, self.live, self._spooled = file, False, True
        self.size = file.tell()
        self._kept.clear()

    def declare(self, size: int) -> None:
        """Say how long a pipe would be at most; the decoder wants to know."""
        self.size = size

    def patch(self, fields: Mapping[int, bytes]) -> None:
        """Let the decoder see other bytes at some offsets."""
        self._fields.update(fields)

    def begin_with(self, prefix: bytes, offset: int) -> None:
        """Let the decoder see other bytes instead of those before an offset, of a file."""
        self._prefix, self._behind = prefix, offset

    # The file that the decoder reads.

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._seen}
        self._position = max(0, base[whence] + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = self._read(self._position, len(view))
        except OSError as error:
            self.fault = error
            return 0
        view[: len(data)] = data
        for offset, field in self._fields.items():
            begin = max(offset, self._position)
            end = min(offset + len(field), self._position + len(data))
            if begin < end:
                view[begin - self._position : end - self._position] = field[
                    begin - offset : end - offset
                ]
        self._position += len(data)
        return len(data)

    @property
    def _seen(self) -> int:
        """Bytes that the decoder sees."""
        return (self.size or 0) - self._behind + len(self._prefix)

    def _read(self, offset: int, count: int) -> bytes:
        count = min(count, max(0, self._seen - offset))
        if offset < len(self._prefix):
            return self._prefix[offset : offset + count]
        offset += self._behind - len(self._prefix)
        data = self.peek(offset, count)
        if self.live and len(data) < count and offset + len(data) == self.received:
            more = self._file.read(count - len(data))
            self.received += len(more)
            data += more
        return data

    def close(self) -> None:
        self._file.close()
        super().close()
