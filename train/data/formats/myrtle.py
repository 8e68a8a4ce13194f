"""Myrtle's lists: one JSON array of transcripts and files.

    [{"transcript": "one two", "files": [{"fname": "a/1.wav"}], "original_duration": 1.62}, ...]

The last of several files is meant. `fname` counts from the list's folder, or from `root` (Myrtle's
DATA_DIR). A duration of 0, as in their minimal lists for inference, means that the file says it.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from stream.files.text import open_bytes
from stream.manifest import ManifestError, located
from train.data.records.files import listed_path, write_whole
from train.data.records.record import File, Read, Record

BLOCK = 1 << 20  # characters that are read at once
SPACE = " \t\r\n"


class _MyrtleFile(msgspec.Struct):
    fname: str


class _Entry(msgspec.Struct):
    transcript: str
    files: list[_MyrtleFile]
    original_duration: float


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of a list, of which no more than an entry is in memory."""
    folder = str(path.parent if root is None else root)
    with open_bytes(path) as file:
        for line, value in _values(path, file):
            try:
                entry = msgspec.convert(value, _Entry)
                if not entry.files:
                    raise ValueError("files is empty - at `$.files`")
                if not entry.original_duration >= 0.0:
                    raise ValueError(
                        f"original_duration is {entry.original_duration}, want 0 or more"
                    )
            except ValueError as error:
                message = (
                    f"{error}. An entry wants transcript, files[].fname and original_duration."
                )
                yield ManifestError(path, line, message)
                continue
            extra = {key: v for key, v in value.items() if key not in _Entry.__struct_fields__}
            speaker, corpus, language = (
                v if isinstance(v := extra.pop(key, None), str) else None
                for key in ("speaker", "corpus", "lang")
            )
            name = entry.files[-1].fname
            yield Record(
                id=name,
                audio=File(located(folder, name)),
                text=entry.transcript,
                duration=entry.original_duration or None,
                speaker=speaker,
                corpus=corpus,
                language=language,
                extra=extra,
                source=str(path),
                line=line,
            )


def _values(path: Path, file: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yield the values of a JSON array with the number of the line that each begins in.

    Raises:
        ManifestError: it is not a JSON array in UTF-8.
    """
    decoder = json.JSONDecoder()
    text = codecs.getreader("utf-8-sig")(file)
    buffer, place, line, ended = "", 0, 1, False

    def skip(characters: str) -> str:
        """Go to the next character that is none of these; returns it, "" at the end."""
        nonlocal buffer, place, line, ended
        while True:
            while place < len(buffer) and buffer[place] in characters:
                line += buffer[place] == "\n"
                place += 1
            if place < len(buffer) or ended:
                return buffer[place : place + 1]
            more()

    def more() -> None:
        nonlocal buffer, place, ended
        try:
            read = text.read(BLOCK)
        except (UnicodeDecodeError, EOFError, OSError) as error:
            raise ManifestError(path, line, f"cannot be read further: {error}") from error
        buffer, place, ended = buffer[place:] + read, 0, not read

    if skip(SPACE) != "[":
        raise ManifestError(path, line, "is not a JSON array of entries")
    place += 1
    while (character := skip(SPACE + ",")) != "]":
        if not character:
            raise ManifestError(path, line, "ends before its array does")
        while True:
            try:
                value, end = decoder.raw_decode(buffer, place)
                break
            except json.JSONDecodeError as error:
                if ended:
                    raise ManifestError(path, line, f"JSON is malformed: {error.msg}") from error
                more()
        yield line, value
        line += buffer.count("\n", place, end)
        place = end


def write(records: Iterable[Record], path: Path) -> int:
    """Write a list; returns how many entries it has.

    Raises:
        ManifestError: a record is of a part of a file or of no file of its own.
    """
    encode, count = msgspec.json.encode, 0
    folder = path.parent.absolute()
    with write_whole(path) as file:
        file.write(b"[")
        for record in records:
            name = listed_path(record, folder, parts=False)
            entry: dict[str, Any] = {
                "transcript": record.text,
                "files": [{"fname": name}],
                "original_duration": record.duration,
            }
            for key, value in (
                ("speaker", record.speaker),
                ("corpus", record.corpus),
                ("lang", record.language),
                *record.extra.items(),
            ):
                if value is not None:
                    entry.setdefault(key, value)
            file.write((b",\n" if count else b"\n") + encode(entry))
            count += 1
        file.write(b"\n]\n")
    return count
