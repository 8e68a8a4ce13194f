"""WebDataset's shards: braces, samples of adjacent members, places within the tar file."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from stream.manifest import ManifestError
from tests.train.data.formats.sets import recording, records
from train.data.formats import shards
from train.data.records.record import File, Record, samples_of, strict


def tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def test_a_member_is_read_at_its_place_in_the_shard(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", 0.5)
    other = recording(tmp_path / "b.flac", 0.25).read_bytes()
    shard = tar(
        tmp_path / "s.tar",
        {"d/1.txt": b"one\n", "d/1.wav": path.read_bytes(), "d/2.FLAC": other, "d/2.txt": b"two"},
    )
    first, second = strict(shards.read(shard))
    assert isinstance(first.audio, File) and first.audio.path == str(shard)
    np.testing.assert_array_equal(first.read(), samples_of(File(str(path))))
    assert second.read().max() == 0.25
    assert [(r.id, r.text, r.line) for r in (first, second)] == [
        ("d/1", "one", 1),
        ("d/2", "two", 2),
    ]


def test_json_beside_a_recording_has_its_duration_and_perhaps_its_text(tmp_path: Path) -> None:
    audio = recording(tmp_path / "a.wav", 0.5).read_bytes()
    said = b'{"text": "one", "duration": 0.3, "speaker": "s", "quality": 5}'
    shard = tar(tmp_path / "s.tar", {"1.json": said, "1.wav": audio, "1.cls": b"7"})
    (record,) = strict(shards.read(shard))
    assert (record.text, record.duration, record.speaker) == ("one", 0.3, "s")
    assert record.extra == {"quality": 5}


def test_braces_mean_several_shards(tmp_path: Path) -> None:
    assert shards.expanded("a-{098..101}.tar") == [
        Path(f"a-{n}.tar") for n in ("098", "099", "100", "101")
    ]
    assert shards.expanded("{a,b}/{0..1}.tar") == [
        Path(name) for name in ("a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar")
    ]
    audio = recording(tmp_path / "a.wav", 0.5).read_bytes()
    for n in range(3):
        tar(tmp_path / f"s-{n}.tar", {f"{n}.wav": audio, f"{n}.txt": b"one"})
    assert [r.id for r in strict(shards.read(tmp_path / "s-{0..2}.tar"))] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pipe:cat a.tar", "is a command and is not run"),
        ("gs://bucket/{000..099}.tar", "gs:// is not read; mount it"),
        ("a-{9..1}.tar", "the range {9..1} ends before it begins"),
    ],
)
def test_what_is_no_local_file_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        shards.expanded(name)


def test_a_sample_without_recording_or_text_is_named_and_the_next_one_read(tmp_path: Path) -> None:
    audio = recording(tmp_path / "a.wav", 0.5).read_bytes()
    shard = tar(
        tmp_path / "s.tar", {"1.txt": b"one", "2.wav": audio, "3.wav": audio, "3.txt": b"three"}
    )
    no_audio, no_text, good = shards.read(shard)
    assert isinstance(good, Record)
    assert str(no_audio) == f"{shard}: 1: no recording"
    assert f"{shard}: 2: no text" in str(no_text)


def test_a_shard_that_is_cut_short_or_compressed_is_refused(tmp_path: Path) -> None:
    audio = recording(tmp_path / "a.wav", 0.5).read_bytes()
    shard = tar(tmp_path / "s.tar", {"1.txt": b"one", "1.wav": audio})
    content = shard.read_bytes()
    end = content.rindex(audio) + len(audio)  # then come the mark of the end and padding
    for size in range(1, end, 311):
        shard.write_bytes(content[:size])
        with pytest.raises(ManifestError, match="damaged or no tar file"):
            list(shards.read(shard))
    packed = tar(tmp_path / "packed.tar", {"1.txt": b"one", "1.wav": audio}, "w:gz")
    with pytest.raises(ManifestError, match="compressed archive is --format archive"):
        list(shards.read(packed))


def test_shards_hold_so_many_utterances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PER_SHARD", 2)
    given = records(tmp_path / "audio")
    assert shards.write(given, tmp_path / "s.tar") == 3
    got = list(strict(shards.read(tmp_path / "s-{000000..000001}.tar")))
    assert [record.text for record in got] == [record.text for record in given]


def test_two_utterances_of_one_key_are_refused(tmp_path: Path) -> None:
    first = records(tmp_path / "audio")[0]
    with pytest.raises(ManifestError, match="has an utterance s1/a already"):
        shards.write([first, first], tmp_path / "s.tar")
