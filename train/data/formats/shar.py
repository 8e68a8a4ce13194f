"""Lhotse Shar: cuts, and their recordings in tar files beside them, in the same order.

    DIR/cuts.000000.jsonl.gz    cuts, whose recordings have a source of type "shar"
    DIR/recording.000000.tar    c1.flac c1.json  c2.flac c2.json ...: a recording and its manifest for each cut

1. The n-th pair of a tar file is the recording of the n-th cut of its list, and has its name.
2. A path is the folder, or names the lists: `DIR/cuts.{000000..000099}.jsonl.gz`, also in S3. The tar files are
   beside them.
3. A pair of .nodata and .nometa, for a cut without a recording, makes the cut a fault. Other fields (features,
   alignments) are not read.
"""

from __future__ import annotations

import itertools
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stream.audio import AudioError
from stream.manifest import ManifestError
from train.data.formats import cuts
from train.data.formats.shards import PER_SHARD, add_member, expanded, members, opened
from train.data.formats.written_cuts import cut_of
from train.data.records.extract import extension_of, heard
from train.data.records.files import write_whole
from train.data.records.record import File, Read, Record, length_and_rate
from train.data.storage.sources import source_lines

LISTS = "cuts.*.jsonl*"


def lists(path: str) -> list[Path]:
    """Return the lists of cuts that a path means (rule 2)."""
    return sorted(Path(path).glob(LISTS)) if os.path.isdir(path) else expanded(path)


def tar_of(listed: Path) -> Path:
    """Return the tar file of a list's recordings."""
    return listed.with_name(
        listed.name.replace("cuts.", "recording.", 1).split(".jsonl")[0] + ".tar"
    )


def is_shar(folder: Path) -> bool:
    """Tell whether a folder is one of Lhotse Shar."""
    first = next(iter(sorted(folder.glob(LISTS))), None)
    return first is not None and tar_of(first).is_file()


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of all lists, in their order."""
    found = lists(str(path))
    if not found:
        raise ManifestError(path, 0, f"has no {LISTS}")
    for listed in found:
        yield from _records(listed)


def _records(listed: Path) -> Read:
    tar = tar_of(listed)
    texts = ((n, text) for n, text in source_lines(str(listed)) if text and not text.isspace())
    with opened(tar, "r:") as archive:
        pairs = _pairs(archive, tar)
        for line, text in texts:
            pair = next(pairs, None)
            if pair is None:
                raise ManifestError(tar, 0, f"ends before the cut of {listed}: line {line}")
            try:
                yield _record(text, *pair, listed, line)
            except ValueError as error:
                yield ManifestError(listed, line, str(error))


def _pairs(archive: tarfile.TarFile, tar: Path) -> Iterator[tuple[str, File | None, bytes]]:
    """Yield (name of the cut, its recording or None, the recording's manifest) of a tar file (rule 1)."""
    found = members(archive)
    for data in found:
        meta = next(found, None)
        name = os.path.splitext(data.name)[0]
        if meta is None or os.path.splitext(meta.name)[0] != name:
            raise ManifestError(tar, 0, f"{data.name} has no manifest behind it")
        content = archive.extractfile(meta)
        if data.name.endswith(".nodata") or content is None:
            yield name, None, b""
        else:
            yield name, File(str(tar), data.offset_data, data.size), content.read()


def _record(
    text: str, name: str, audio: File | None, manifest: bytes, listed: Path, line: int
) -> Record:
    """Return the record of a cut; ValueError says why it has none."""
    cut = msgspec.json.decode(text, type=dict[str, Any])
    if str(cut.get("id")) != name:
        raise ValueError(f"cut {cut.get('id')} has the recording of {name} beside it")
    if audio is None:
        raise ValueError(f"cut {name} has no recording")
    recording = msgspec.json.decode(manifest, type=dict[str, Any])
    channels = recording.get("channel_ids") or [0]
    # A file of this place: what is in the tar file is said below.
    recording["sources"] = [{"type": "file", "channels": channels, "source": audio.path}]
    record = cuts.record_of(msgspec.json.encode(cut | {"recording": recording}), str(listed), line)
    if not isinstance(record.audio, File):
        raise ValueError(f"cut {name} has transforms, or is a mix: write it to Shar as it is heard")
    return msgspec.structs.replace(record, audio=audio)


def write(records: Iterable[Record], path: Path) -> int:
    """Write a folder of Lhotse Shar, `PER_SHARD` cuts in a list; returns how many.

    A record that is all of a recording has its bytes, others are written as they are heard, in FLAC.
    """
    count = 0
    path.mkdir(parents=True, exist_ok=True)
    rest = iter(records)
    for number in itertools.count():
        some = list(itertools.islice(rest, PER_SHARD))
        if not some and number:
            return count
        listed = path / f"cuts.{number:06d}.jsonl.gz"
        with (
            write_whole(listed) as lines,
            write_whole(tar_of(listed)) as file,
            tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT) as tar,
        ):
            for record in some:
                cut, recording, suffix, content = _written(record)
                lines.write(msgspec.json.encode(cut) + b"\n")
                add_member(tar, record.id + suffix, content)
                add_member(tar, record.id + ".json", msgspec.json.encode(recording))
                count += 1
    return count


def _written(record: Record) -> tuple[dict[str, Any], dict[str, Any], str, bytes]:
    """Return a cut, the manifest of its recording, and the recording's suffix and bytes."""
    audio = heard(record)
    try:
        seconds, rate = length_and_rate(audio)
    except AudioError as error:
        raise record.error(str(error)) from error
    channel = record.part.channel or 0
    recording = {
        "id": record.id,
        "sources": [{"type": "shar", "channels": [channel], "source": ""}],
        "sampling_rate": rate,
        "num_samples": round(seconds * rate),
        "duration": seconds,
        "channel_ids": [channel],
    }
    return cut_of(record, recording), recording, extension_of(audio), audio.content
