"""Data sets whose shards or recordings lie in S3 have the records of those on a disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from stream.audio import AudioError
from stream.manifest import ManifestError
from train.data.formats.table import FORMATS, detect, read_records
from train.data.lazy.index_cache import index_of
from train.data.records.record import File, Record, strict
from train.data.storage.sources import S3Access, s3_client


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder with a manifest of three recordings."""
    lines = []
    for number in range(3):
        samples = 0.1 * np.random.default_rng(number).standard_normal(4000 + 800 * number)
        soundfile.write(tmp_path / f"{number}.flac", samples, 16000)
        lines.append(
            {
                "audio_filepath": f"{number}.flac",
                "text": f"text {number}",
                "duration": 0.25 + 0.05 * number,
            }
        )
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


@pytest.fixture
def in_s3(recordings: Path, s3: S3Access, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket with the recordings, and with the same as two shards."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(s3.endpoint))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = s3_client(s3)
    client.create_bucket(Bucket="corpus")
    records = list(strict(read_records(str(recordings / "train.jsonl"))))
    for number, some in enumerate((records[:2], records[2:])):
        path = recordings / "shards" / f"{number}.tar"
        FORMATS["shards"].write(some, path)
        made = next((recordings / "shards").glob(f"{number}-*.tar"))
        client.put_object(Bucket="corpus", Key=f"shards/{number}.tar", Body=made.read_bytes())
    for path in recordings.glob("*.flac"):
        client.put_object(Bucket="corpus", Key=f"audio/{path.name}", Body=path.read_bytes())
    yield "s3://corpus"


def samples(records: list[Record]) -> list[np.ndarray]:
    return [record.read() for record in records]


def same(found: list[Record], wanted: list[Record]) -> bool:
    texts = [[record.text for record in records] for records in (found, wanted)]
    pairs = zip(samples(found), samples(wanted), strict=True)
    return texts[0] == texts[1] and all(np.array_equal(a, b) for a, b in pairs)


def test_shards_are_listed_once_and_read_by_ranges(recordings: Path, in_s3: str) -> None:
    shards = f"{in_s3}/shards/{{0..1}}.tar"
    assert detect(shards) == "shards"
    found = list(strict(read_records(shards)))
    assert same(found, list(strict(read_records(str(recordings / "train.jsonl")))))


def test_shards_have_an_index_that_changes_with_them(
    recordings: Path, in_s3: str, s3: S3Access
) -> None:
    shards, cache = f"{in_s3}/shards/{{0..1}}.tar", recordings / "cache"
    index = index_of(shards, cache=cache)
    assert same([index[n] for n in range(3)], list(strict(read_records(shards))))
    assert index_of(shards, cache=cache).folder == index.folder
    client = s3_client(s3)
    second = client.get_object(Bucket="corpus", Key="shards/1.tar")["Body"].read()
    client.put_object(Bucket="corpus", Key="shards/0.tar", Body=second)
    changed = index_of(shards, cache=cache)
    assert changed.folder != index.folder
    assert [changed[n].text for n in range(len(changed))] == ["text 2", "text 2"]


@pytest.mark.parametrize("name", ["manifest", "cuts", "myrtle"])
def test_lists_name_recordings_in_s3_and_keep_their_addresses(
    name: str, recordings: Path, in_s3: str
) -> None:
    manifest = recordings / "s3.jsonl"
    text = (recordings / "train.jsonl").read_text()
    manifest.write_text(
        text.replace('": "', f'": "{in_s3}/audio/', 1).replace(
            '\n{"audio_filepath": "', f'\n{{"audio_filepath": "{in_s3}/audio/'
        )
    )
    wanted = list(strict(read_records(str(recordings / "train.jsonl"))))
    converted = recordings / {"manifest": "m.jsonl", "cuts": "cuts.jsonl", "myrtle": "m.json"}[name]
    FORMATS[name].write(strict(read_records(str(manifest))), converted)
    assert f"{in_s3}/audio/0.flac" in converted.read_text()
    assert same(list(strict(read_records(str(converted), name))), wanted)


def test_what_is_not_there_is_an_error_of_the_recording_or_the_shard(
    recordings: Path, in_s3: str
) -> None:
    manifest = recordings / "gone.jsonl"
    line = {"audio_filepath": f"{in_s3}/audio/gone.flac", "text": "x", "duration": 1.0}
    manifest.write_text(json.dumps(line) + "\n")
    (record,) = strict(read_records(str(manifest)))
    with pytest.raises(AudioError, match="audio/gone.flac: the server answers NoSuchKey"):
        record.read()
    with pytest.raises(ManifestError, match="the server answers NoSuchKey"):
        list(read_records(f"{in_s3}/shards/9.tar"))
    with pytest.raises(ManifestError, match="train.jsonl: the server answers NoSuchKey"):
        detect(f"{in_s3}/train.jsonl")


@pytest.mark.parametrize(
    ("name", "written", "address"),
    [
        ("manifest", "train.jsonl", "train.jsonl"),
        ("cuts", "cuts.jsonl.gz", "cuts.jsonl.gz"),
        ("shar", "shar", "shar/cuts.{000000..000000}.jsonl.gz"),
        ("tarred", "tarred", "tarred/audio__OP_0..0_CL_.tar"),
    ],
)
def test_lists_in_s3_are_read_as_those_on_a_disk(
    name: str, written: str, address: str, recordings: Path, in_s3: str, s3: S3Access
) -> None:
    on_disk = list(strict(read_records(str(recordings / "train.jsonl"))))
    named = [
        msgspec.structs.replace(r, audio=File(f"s3://corpus/audio/{r.id}"), id=r.id)
        for r in on_disk
    ]
    output = recordings / "out" / written
    FORMATS[name].write(named if name in ("manifest", "cuts") else on_disk, output)
    for file in [output] if output.is_file() else output.iterdir():
        key = str(file.relative_to(recordings / "out"))
        s3_client(s3).put_object(Bucket="corpus", Key=key, Body=file.read_bytes())
    path = f"{in_s3}/{address}"
    assert detect(path) == name
    found = list(strict(read_records(path)))
    assert [r.text for r in found] == [r.text for r in on_disk]
    for got, want in zip(samples(found), samples(on_disk), strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(index_of(path, cache=recordings / "cache")) == 3
