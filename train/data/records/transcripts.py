"""Transcripts beside recordings: one file each, or a table for a folder.

x.wav  x.txt  x.lab  x.json          one recording's text; in JSON with duration, speaker, ...
1-2.trans.txt                        lines "1-2-0003 TEXT", as LibriSpeech has them
metadata.csv  .tsv  .jsonl           columns file_name and text, as Hugging Face has them
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from typing import Any

import msgspec

from stream.files.text import decode_text
from train.data.records.record import Audio, Record
from train.data.records.words import TimedWord, listed_words, take_words

SIDE_SUFFIXES = (".txt", ".lab", ".json")
TABLES = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
TEXT_KEYS = ("text", "sentence", "transcription", "transcript", "normalized_text", "raw_text")
NAME_KEYS = ("file_name", "audio_filepath", "filename", "path")
SPEAKER_KEYS = ("speaker", "speaker_id", "client_id")
LANGUAGE_KEYS = ("lang", "language", "locale")


class Fields(msgspec.Struct, frozen=True, kw_only=True):
    """What a table or a side file says of a recording; as in `Record`."""

    text: str
    duration: float | None = None
    speaker: str | None = None
    corpus: str | None = None
    language: str | None = None
    words: tuple[TimedWord, ...] = ()
    extra: dict[str, Any] = {}


def fields_of(row: dict[str, Any]) -> Fields:
    """Return what a row says; its text stands under the first of `TEXT_KEYS` that it has.

    Raises:
        ValueError: it has no text.
    """
    rest = {key: value for key, value in row.items() if value is not None}

    def take(keys: tuple[str, ...]) -> str | None:
        key = next((key for key in keys if key in rest), None)
        return None if key is None else str(rest.pop(key))

    text = take(TEXT_KEYS)
    if text is None:
        raise ValueError(f"no text: has {', '.join(map(str, row))}; wants {', '.join(TEXT_KEYS)}")
    return Fields(
        text=text,
        duration=number_or_none(rest.pop("duration", None)),
        speaker=take(SPEAKER_KEYS),
        corpus=take(("corpus",)),
        language=take(LANGUAGE_KEYS),
        words=take_words(rest),
        extra=rest,
    )


def record_of(name: str, audio: Audio, fields: Fields, source: str, line: int = 0) -> Record:
    """Return the record of a recording and what is said of it."""
    return Record(
        id=name,
        audio=audio,
        text=fields.text,
        duration=fields.duration,
        speaker=fields.speaker,
        corpus=fields.corpus,
        language=fields.language,
        words=fields.words,
        extra=fields.extra,
        source=source,
        line=line,
    )


def said(record: Record) -> dict[str, Any]:
    """Return what a record says besides its text, as a row that `fields_of` reads back."""
    row = {
        "duration": record.duration,
        "speaker": record.speaker,
        "corpus": record.corpus,
        "lang": record.language,
        "words": listed_words(record.words) or None,
        **record.extra,
    }
    return {key: value for key, value in row.items() if value is not None}


def number_or_none(value: Any) -> float | None:
    """Return a number that a table has, above 0, or None where it has none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0.0 < number < float("inf") else None


def side_row(suffix: str, content: bytes) -> dict[str, Any]:
    """Return what a side file (`SIDE_SUFFIXES`) says, as a row.

    Raises:
        ValueError: it is not UTF-8 text or JSON.
    """
    text = decode_text(content)
    if suffix == ".json":
        return msgspec.json.decode(text, type=dict[str, Any])
    return {TEXT_KEYS[0]: " ".join(text.split())}


def table_rows(name: str, content: bytes) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield (line, file name, row) of a table (`TABLES`).

    Raises:
        ValueError: it is not UTF-8 text, a row is not JSON, or none of `NAME_KEYS` is a column.
    """
    text = decode_text(content)
    if name.endswith(".jsonl"):
        rows = (
            (number, msgspec.json.decode(line, type=dict[str, Any]))
            for number, line in enumerate(text.split("\n"), 1)
            if line.strip()
        )
    else:
        reader = csv.DictReader(io.StringIO(text), delimiter="\t" if name.endswith(".tsv") else ",")
        rows = ((reader.line_num, dict(row)) for row in reader)
    for line, row in rows:
        key = next((key for key in NAME_KEYS if key in row), None)
        if key is None:
            raise ValueError(f"line {line} has none of the keys {', '.join(NAME_KEYS)}")
        yield line, str(row.pop(key)), row


class Transcripts:
    """The transcripts of some folders, by the names of recordings without their suffixes."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}

    @staticmethod
    def holds(name: str) -> bool:
        """Whether a file of that name is one of transcripts."""
        base = os.path.basename(name).lower()
        return base in TABLES or base.endswith(SIDE_SUFFIXES)

    def add(self, name: str, content: bytes) -> None:
        """Take a file of transcripts.

        Raises:
            ValueError: it cannot be read.
        """
        folder, base = os.path.split(name)
        if base in TABLES:
            for _, file, row in table_rows(base, content):
                self._add(os.path.join(folder, os.path.splitext(file)[0]), row)
        elif base.endswith(".trans.txt"):
            for line in decode_text(content).split("\n"):
                utterance, _, text = line.strip().partition(" ")
                if utterance:
                    self._add(os.path.join(folder, utterance), {TEXT_KEYS[0]: text})
        else:
            stem, suffix = os.path.splitext(name)
            self._add(stem, side_row(suffix.lower(), content))

    def _add(self, stem: str, row: dict[str, Any]) -> None:
        self._rows.setdefault(stem, {}).update(row)

    def find(self, name: str) -> Fields | None:
        """Return what is known of a recording; None where it has no transcript.

        Raises:
            ValueError: what is known holds no text.
        """
        row = self._rows.get(os.path.splitext(name)[0])
        return None if row is None else fields_of(row)
