"""Hugging Face audio folders: metadata.csv, .tsv or .jsonl that names recordings and their texts.

    file_name,transcription,speaker_id
    train/1.wav,one two,s1

Tables are found in the folder and in those right below it (a folder a split). The text's column is the
first of `train.data.records.transcripts.TEXT_KEYS`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from stream.manifest import ManifestError
from train.data.records.extract import store
from train.data.records.files import write_whole
from train.data.records.record import File, Read, Record
from train.data.records.transcripts import TABLES, fields_of, record_of, said, table_rows


def tables(path: Path) -> list[Path]:
    """Return the tables of a folder."""
    folders = [path, *sorted(each for each in path.iterdir() if each.is_dir())]
    return [folder / name for folder in folders for name in TABLES if (folder / name).is_file()]


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of a folder; names count from their table, or from `root`."""
    found = tables(path)
    if not found:
        raise ManifestError(path, 0, f"has no {', '.join(TABLES)}")
    for table in found:
        folder = str(table.parent if root is None else root)
        try:
            for line, name, row in table_rows(table.name, table.read_bytes()):
                try:
                    fields = fields_of(row)
                except ValueError as error:
                    yield ManifestError(table, line, str(error))
                    continue
                identity = os.path.relpath(os.path.join(folder, name), path)
                audio = File(os.path.join(folder, name))
                yield record_of(identity, audio, fields, str(table), line)
        except ValueError as error:
            raise ManifestError(table, 0, str(error)) from error


def write(records: Iterable[Record], path: Path) -> int:
    """Write recordings and metadata.jsonl into a folder; returns how many."""
    count = 0
    with write_whole(path / "metadata.jsonl") as output:
        for record in records:
            file = store(record, path)
            row = {"file_name": file.relative_to(path).as_posix(), "text": record.text}
            output.write(msgspec.json.encode(row | said(record)) + b"\n")
            count += 1
    return count
