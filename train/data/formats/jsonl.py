"""Our manifests, which are NeMo's: JSON lines, read by `stream.manifest`.

{"audio_filepath": "a/1.flac", "text": "one two", "duration": 1.62, "speaker": "s1", "lang": "en"}
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from stream.manifest import Entry, ManifestError, read_entries, shown
from train.data.records.files import listed_path, write_whole
from train.data.records.record import File, Read, Record
from train.data.records.words import listed_words, take_words
from train.data.storage.sources import source_lines


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of a manifest; relative paths count from `root`, or from the manifest."""
    source = str(path)
    for entry in read_entries(path, root, source_lines(source)):
        yield entry if isinstance(entry, ManifestError) else record_of(entry, source)


def record_of(entry: Entry, source: str) -> Record:
    """Return the record of a line of a manifest."""
    extra = entry.extra
    language = extra.pop("lang", None) or extra.pop("language", None)
    words = take_words(extra)
    return Record(
        id=entry.name + shown(entry.part),
        audio=File(entry.audio),
        text=entry.text,
        duration=entry.duration,
        part=entry.part,
        speaker=entry.speaker,
        corpus=entry.corpus,
        language=language if isinstance(language, str) else None,
        words=words,
        extra=extra,
        source=source,
        line=entry.line,
    )


def write(records: Iterable[Record], path: Path) -> int:
    """Write a manifest; returns how many lines it has.

    Raises:
        ManifestError: a record is of no file of its own.
    """
    encode, count = msgspec.json.encode, 0
    folder = path.parent.absolute()
    with write_whole(path) as file:
        for record in records:
            line: dict[str, Any] = {
                "audio_filepath": listed_path(record, folder),
                "text": record.text,
                "duration": record.duration,
            }
            if record.part.seconds is not None:
                line["offset"] = record.part.offset
            if record.part.channel is not None:
                line["channel"] = record.part.channel
            if record.speaker is not None:
                line["speaker"] = record.speaker
            if record.corpus is not None:
                line["corpus"] = record.corpus
            if record.language is not None:
                line["lang"] = record.language
            if record.words:
                line["words"] = listed_words(record.words)
            for key, value in record.extra.items():
                line.setdefault(key, value)
            file.write(encode(line) + b"\n")
            count += 1
    return count
