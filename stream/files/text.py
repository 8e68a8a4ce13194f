"""Text files that people write: UTF-8, with or without a byte order mark, lines ended as on any system.

Windows editors put a byte order mark before the first character and end lines with CR LF; neither is
part of the text. Every reader of manifests, configurations, lists and tables takes its text from here.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

GZIP = b"\x1f\x8b"
MARKS = {  # UTF-32's begins as UTF-16's does, so it is looked for first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class TextError(ValueError):
    """Content that is not UTF-8 text.

    Attributes:
        reason: what is wrong with it, and what to do.
        line: number of the line, from 1; 0 where it is the file as a whole.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.line, self.reason = line, reason


def decode_text(content: bytes) -> str:
    """Return the text of a file's content, without a byte order mark, every line ended by "\\n".

    Raises:
        TextError: it is UTF-16, UTF-32 or binary, or a byte is not part of a UTF-8 character.
    """
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            raise TextError(0, f"is {encoding}; save it as UTF-8")
    if b"\0" in content:
        raise TextError(0, "holds zero bytes, so it is UTF-16 or no text; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        raise TextError(
            before.count(b"\n") + 1,
            f"byte 0x{content[error.start]:02X} is not part of a UTF-8 character; save it as UTF-8",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading; its content decompressed where it is gzip, whatever its name."""
    file = path.open("rb")
    if file.read(2) == GZIP:
        file.close()
        return cast(BinaryIO, gzip.open(path))
    file.seek(0)
    return file


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file, also of a compressed one, with their numbers from 1.

    A line has no line end; the memory is that of one line.

    Raises:
        OSError: it cannot be read.
        TextError: it is not UTF-8 text, or its compressed data are damaged.
    """
    with open_bytes(path) as file:
        yield from lines_of(file)


def lines_of(file: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Yield the lines of an open text file with their numbers; see `read_lines`."""
    number = 0
    try:
        for raw in file:
            for part in raw.rstrip(b"\r\n").split(b"\r"):
                number += 1
                try:
                    yield number, decode_line(part, first=number == 1)
                except TextError as error:
                    raise TextError(error.line and number, error.reason) from error
    except (EOFError, zlib.error) as error:
        raise TextError(
            number, f"the compressed data end too early or are damaged after it ({error})"
        ) from error


def decode_line(line: bytes, *, first: bool) -> str:
    """Return the text of a line; the first of a file may begin with its byte order mark.

    Raises:
        TextError: see `decode_text`.
    """
    if first:
        return decode_text(line)
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return decode_text(line)  # which says why
    return decode_text(line) if "\0" in text else text


def read_text(path: Path) -> str:
    """Read a text file; see `decode_text`.

    Raises:
        OSError: it cannot be read.
        TextError: it is not UTF-8 text.
    """
    return decode_text(path.read_bytes())
