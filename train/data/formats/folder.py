"""Folders of recordings with a transcript beside each: x.wav and x.txt or x.lab.

    speaker1/a.flac  speaker1/a.txt  speaker1/b.flac  speaker1/b.lab

Folders are read in the order of their names, one after the other. LibriSpeech's tables and JSON beside
recordings are read too, see `train.data.records.transcripts`; a folder with metadata.csv is
`train.data.formats.hf`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from stream.manifest import ManifestError
from train.data.records.extract import store
from train.data.records.files import write_whole
from train.data.records.record import AUDIO_SUFFIXES, File, Read, Record
from train.data.records.transcripts import Transcripts, record_of


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of a folder and all below it."""
    for folder, below, names in os.walk(path, followlinks=True):
        below.sort()
        transcripts = Transcripts()
        for name in sorted(filter(Transcripts.holds, names)):
            if os.path.splitext(name)[1] == ".json" and not _beside(name, names):
                continue  # a list of something
            try:
                transcripts.add(name, Path(folder, name).read_bytes())
            except ValueError as error:
                yield ManifestError(Path(folder, name), 0, str(error))
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() not in AUDIO_SUFFIXES or name.startswith("."):
                continue
            file = os.path.join(folder, name)
            try:
                fields = transcripts.find(name)
                if fields is None:
                    raise ValueError("has no .txt or .lab beside it")
            except ValueError as error:
                yield ManifestError(Path(file), 0, str(error))
                continue
            yield record_of(os.path.relpath(file, path), File(file), fields, file)


def _beside(name: str, names: list[str]) -> bool:
    stem = os.path.splitext(name)[0]
    return any(stem + suffix in names for suffix in AUDIO_SUFFIXES)


def write(records: Iterable[Record], path: Path) -> int:
    """Write recordings and their texts into a folder; returns how many.

    What a .txt cannot say (speaker, language, other keys) is left out.
    """
    count = 0
    for record in records:
        file = store(record, path)
        with write_whole(file.with_suffix(".txt")) as output:
            output.write(record.text.encode() + b"\n")
        count += 1
    return count
