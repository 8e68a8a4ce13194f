"""NeMo's tarred sets: recordings in tar files, and a manifest whose lines name their members.

    DIR/tarred_audio_manifest.json            {"audio_filepath": "a_1.wav", "text": ..., "duration": ..., "shard_id": 0}
    DIR/sharded_manifests/manifest_0.json     or the same, a file for each tar file
    DIR/audio_0.tar, audio_1.tar, ...         a_1.wav a_2.wav ...

1. A path is the folder, or names the tar files as NeMo's configurations do, `DIR/audio__OP_0..511_CL_.tar`, also in
   S3. The manifests lie beside them, or in `root`.
2. `shard_id` is the number at the end of a tar file's name. Lines of tar files that are not named are left out.
3. Lines that mean parts of one member are called a_1-sub1.wav and so on; `offset` says which.
"""

from __future__ import annotations

import itertools
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stream.manifest import ManifestError
from train.data.formats import jsonl
from train.data.formats.shards import PER_SHARD, add_member, expanded, members, opened
from train.data.records.extract import extension_of, heard
from train.data.records.files import safe_name, write_whole
from train.data.records.record import File, Read, Record
from train.data.records.transcripts import said
from train.data.storage.sources import SourceError, is_remote, state_of

MANIFEST = "tarred_audio_manifest.json"
SHARDED = "sharded_manifests/manifest_{}.json"
SHARD_ID = "shard_id"
_NUMBER = re.compile(r"(\d+)\.tar$")
_PART = re.compile(r"-sub\d+(?=\.\w+$)")


def tars(path: str) -> dict[int, Path]:
    """Return the tar files that a path means, by their number (rules 1 and 2)."""
    found = sorted(Path(path).glob("audio_*.tar")) if os.path.isdir(path) else expanded(path)
    numbered = {}
    for tar in found:
        number = _NUMBER.search(tar.name)
        if number is None:
            raise ManifestError(tar, 0, "its name ends in no number, which a tarred set has")
        numbered[int(number[1])] = tar
    return dict(sorted(numbered.items()))


def manifests(path: str, root: Path | None = None) -> list[Path]:
    """Return the manifests of a tarred set; none where it has none."""
    found = tars(path)
    if not found:
        return []
    folder = root or next(iter(found.values())).parent
    sharded = [folder / SHARDED.format(number) for number in found]
    return next((some for some in ([folder / MANIFEST], sharded) if _is_there(some[0])), [])


def _is_there(file: Path) -> bool:
    if not is_remote(str(file)):
        return file.is_file()
    try:
        state_of(str(file))
    except SourceError:
        return False
    return True


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of the tar files, in the order of the manifest's lines."""
    files = tars(str(path))
    lists = manifests(str(path), root)
    if not lists:
        where = root or path
        raise ManifestError(
            where, 0, f"has no {MANIFEST} and no {SHARDED.format(0)}: name its root"
        )
    number, found = -1, dict[str, File]()
    for record in itertools.chain.from_iterable(jsonl.read(each, Path()) for each in lists):
        if isinstance(record, ManifestError):
            yield record
            continue
        wanted = record.extra.pop(SHARD_ID, None)
        if not isinstance(wanted, int):
            yield record.error(f"{SHARD_ID} is {wanted!r}, wants the number of a tar file")
        elif wanted in files:
            if wanted != number:
                number, found = wanted, _members(files[wanted])
            named = record.audio.path if isinstance(record.audio, File) else ""
            name = named.removeprefix("./")  # they count from nowhere
            audio = found.get(name) or found.get(_PART.sub("", name))
            if audio is None:
                yield record.error(f"{files[wanted]} has no {name}")
            else:
                yield msgspec.structs.replace(record, audio=audio)


def _members(tar: Path) -> dict[str, File]:
    with opened(tar, "r:") as archive:
        return {m.name: File(str(tar), m.offset_data, m.size) for m in members(archive)}


def write(records: Iterable[Record], path: Path) -> int:
    """Write a folder of tar files of `PER_SHARD` recordings each, and their manifest; returns how many.

    A record that is all of a recording has its bytes, others are written as they are heard, in FLAC.
    """
    count = 0
    with write_whole(path / MANIFEST) as lines:
        for number, some in enumerate(_batches(records)):
            with (
                write_whole(path / f"audio_{number}.tar") as file,
                tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT) as tar,
            ):
                names: set[str] = set()
                for record in some:
                    audio = heard(record)
                    name = safe_name(record.id).replace("/", "_") + extension_of(audio)
                    if name in names:
                        raise record.error(f"the tar file has {name} already: give each its own id")
                    names.add(name)
                    add_member(tar, name, audio.content)
                    line: dict[str, Any] = {"audio_filepath": name, "text": record.text}
                    line |= said(record) | {SHARD_ID: number}
                    lines.write(msgspec.json.encode(line) + b"\n")
                    count += 1
    return count


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    rest = iter(records)
    while some := list(itertools.islice(rest, PER_SHARD)):
        yield some
