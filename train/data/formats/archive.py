"""Compressed archives of recordings with transcripts: .tar.gz, .tgz, .tar.bz2, .tar.xz.

A folder in one file: transcripts are beside recordings or in tables, wherever in the archive (see
`train.data.records.transcripts`), so it is read twice, first for the texts. Nothing is unpacked to disk,
and no member is reached without reading those before it: an index copies the recordings out once.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from stream.manifest import ManifestError
from train.data.formats.shards import members, opened, write_tar
from train.data.records.files import write_whole
from train.data.records.record import AUDIO_SUFFIXES, Bytes, Read, Record
from train.data.records.transcripts import Transcripts, record_of


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of an archive, in its order."""
    transcripts = Transcripts()
    with opened(path, "r|*") as tar:
        for member in members(tar):
            if transcripts.holds(member.name):
                try:
                    transcripts.add(member.name, _content(tar, member))
                except ValueError as error:
                    yield ManifestError(path, 0, f"{member.name}: {error}")
    number = 0
    with opened(path, "r|*") as tar:
        for member in members(tar):
            name = member.name
            if os.path.splitext(name)[1].lower() not in AUDIO_SUFFIXES:
                continue
            number += 1
            try:
                fields = transcripts.find(name)
                if fields is None:
                    raise ValueError("no transcript")
            except ValueError as error:
                yield ManifestError(path, 0, f"{name}: {error}")
                continue
            audio = Bytes(f"{path}/{name}", _content(tar, member))
            yield record_of(name, audio, fields, str(path), number)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # `members` yields files
    return file.read()


def write(records: Iterable[Record], path: Path) -> int:
    """Write one compressed archive, as a WebDataset's shard has it; returns how many utterances."""
    with write_whole(path) as file:
        return write_tar(records, file)
