"""NeMo's tarred sets: lines name members of tar files, by shard_id, and parts of them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.manifest import ManifestError
from tests.train.data.formats.sets import recording
from train.data.formats import tarred
from train.data.formats.table import detect, files_of, read_records
from train.data.records.record import Record, strict

LINES: list[dict[str, Any]] = [
    {"audio_filepath": "d_0.wav", "text": "zero", "duration": 0.3, "shard_id": 0},
    {"audio_filepath": "d_1.wav", "text": "one", "duration": 0.1, "offset": 0, "shard_id": 1},
    {
        "audio_filepath": "d_1-sub1.wav",
        "text": "more",
        "duration": 0.1,
        "offset": 0.1,
        "shard_id": 1,
    },
]


def tarred_set(folder: Path, lines: list[dict[str, Any]] = LINES, *, sharded: bool = False) -> Path:
    """Write a set as NeMo's script does: one recording in each of two tar files."""
    folder.mkdir(exist_ok=True)
    for number in range(2):
        file = recording(folder / f"{number}.wav", 0.1 * (number + 1))
        with tarfile.open(folder / f"audio_{number}.tar", "w") as tar:
            tar.add(file, f"d_{number}.wav")
        file.unlink()
        if sharded:
            (folder / "sharded_manifests").mkdir(exist_ok=True)
            own = [json.dumps(line) for line in lines if line["shard_id"] == number]
            path = folder / "sharded_manifests" / f"manifest_{number}.json"
            path.write_text("\n".join(own) + "\n")
    if not sharded:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "tarred_audio_manifest.json").write_text(text)
    return folder


def heard(found: list[Record]) -> dict[str, tuple[int, float]]:
    """Return of each text the samples and the level at the start of its recording."""
    return {r.text: (len(x := r.read()), round(float(x[10]), 2)) for r in found}


WANT = {"zero": (4800, 0.1), "one": (1600, 0.2), "more": (1600, 0.1)}


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("name", ["", "audio__OP_0..1_CL_.tar", "audio_{0..1}.tar"])
def test_lines_have_their_member_whole_or_in_part(name: str, sharded: bool, tmp_path: Path) -> None:
    path = str(tarred_set(tmp_path / "set", sharded=sharded) / name)
    assert detect(path) == "tarred"
    found = list(strict(read_records(path)))
    assert heard(found) == WANT
    assert all("shard_id" not in record.extra for record in found)


def test_the_manifest_may_lie_elsewhere_and_some_tar_files_be_left_out(tmp_path: Path) -> None:
    folder = tarred_set(tmp_path / "set")
    (tmp_path / "lists").mkdir()
    manifest = folder / "tarred_audio_manifest.json"
    manifest.rename(tmp_path / "lists" / manifest.name)
    tar = str(folder / "audio_1.tar")
    assert heard(list(strict(read_records(tar, "tarred", tmp_path / "lists")))) == {
        text: want for text, want in WANT.items() if text != "zero"
    }
    named = [file.name for file in files_of(tar, "tarred", tmp_path / "lists")]
    assert named == ["tarred_audio_manifest.json", "audio_1.tar"]
    with pytest.raises(ManifestError, match="has no tarred_audio_manifest.json and no sharded_man"):
        list(read_records(tar, "tarred"))


def test_a_line_without_its_member_is_named_and_the_next_one_read(tmp_path: Path) -> None:
    bad = [{**LINES[0], "audio_filepath": "x.wav"}, {**LINES[0], "shard_id": "0"}, *LINES]
    first, second, *rest = tarred.read(tarred_set(tmp_path / "set", bad))
    assert isinstance(first, ManifestError) and isinstance(second, ManifestError)
    assert "line 1:" in str(first) and "audio_0.tar has no x.wav" in str(first)
    assert "line 2: shard_id is '0', wants the number of a tar file" in str(second)
    assert len(list(strict(rest))) == 3


def test_a_tar_file_without_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="train.tar: its name ends in no number"):
        tarred.tars(str(tmp_path / "train.tar"))


def test_samples_of_a_part_begin_at_its_offset(tmp_path: Path) -> None:
    *_, more = strict(tarred.read(tarred_set(tmp_path / "set")))
    np.testing.assert_allclose(more.read(), 0.1, atol=1e-3)
