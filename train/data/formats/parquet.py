"""Parquet tables as Hugging Face writes them: recordings and texts in columns.

    audio: {bytes, path}    text: string    speaker_id: ...

The text's column is the first of `train.data.records.transcripts.TEXT_KEYS`. The package is pyarrow, of
the extra `data`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stream.manifest import ManifestError
from train.data.records.extract import heard
from train.data.records.files import write_whole
from train.data.records.record import Audio, Bytes, File, Read, Record
from train.data.records.transcripts import fields_of, record_of, said

ROWS = 64  # that are in memory at once
AUDIO_KEYS = ("audio", "file", "path")


def tables(path: Path) -> list[Path]:
    """Return the tables of a folder and below it, or the file itself."""
    return [path] if path.is_file() else sorted(path.rglob("*.parquet"))


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of a table or of a folder of tables."""
    import pyarrow
    from pyarrow import parquet

    for table in tables(path):
        folder = table.parent if root is None else root
        line = 0
        try:
            with parquet.ParquetFile(table) as file:
                for batch in file.iter_batches(ROWS):
                    for row in batch.to_pylist():
                        line += 1
                        try:
                            audio, name = _audio(row, folder)
                            identity = name or f"{table.stem}-{line}"
                            yield record_of(identity, audio, fields_of(row), str(table), line)
                        except ValueError as error:
                            yield ManifestError(table, line, str(error))
        except (pyarrow.ArrowException, OSError) as error:
            raise ManifestError(table, line, f"cannot be read: {error}") from error


def _audio(row: dict[str, Any], folder: Path) -> tuple[Audio, str]:
    """Take the recording out of a row; returns it and its name."""
    for key in AUDIO_KEYS:
        value = row.get(key)
        if isinstance(value, dict):
            content, name = value.get("bytes"), value.get("path") or ""
        else:
            content, name = None, value if isinstance(value, str) else ""
        if content or name:
            del row[key]
            return (Bytes(name, content) if content else File(str(folder / name))), name
    raise ValueError(f"no recording: has {', '.join(row)}; wants audio, with bytes or path")


def write(records: Iterable[Record], path: Path) -> int:
    """Write a table with its recordings; returns how many rows it has."""
    import pyarrow
    from pyarrow import parquet

    text = pyarrow.string()
    audio = pyarrow.struct([("bytes", pyarrow.binary()), ("path", text)])
    schema = pyarrow.schema(
        [("audio", audio), ("text", text), ("duration", pyarrow.float64())]
        + [(name, text) for name in ("speaker", "corpus", "lang")]
    )
    count, rows = 0, iter(records)
    with write_whole(path) as file, parquet.ParquetWriter(file, schema) as writer:
        while some := [_row(record) for _, record in zip(range(ROWS), rows, strict=False)]:
            writer.write_batch(pyarrow.RecordBatch.from_pylist(some, schema))
            count += len(some)
    return count


def _row(record: Record) -> dict[str, Any]:
    audio = heard(record)
    row = {"audio": {"bytes": audio.content, "path": record.id}, "text": record.text}
    return row | {key: v for key, v in said(record).items() if key not in record.extra}
