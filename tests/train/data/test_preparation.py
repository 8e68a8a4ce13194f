"""Manifests of a corpus: what they hold, what is left out and why, and that it is all or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream.errors import InputError
from stream.manifest import read_manifest
from tests.train.data.corpora.layouts import recording, text
from train.data.corpora.catalogue import CORPORA
from train.data.corpora.layout import LayoutError
from train.data.preparation import LEFT_OUT, FaultyError, Prepared, prepare, read_list


def training_speech(root: Path, rows: list[tuple[str, str]]) -> Path:
    """A corpus of recordings with these paths and texts, of 0.25 s, 0.35 s, ..."""
    lines = "".join(f'{path},0,"{words}"\n' for path, words in rows)
    text(root / "data.csv", f"path,duration,text\n{lines}")
    for number, (path, _) in enumerate(rows):
        recording(root / path, seconds=0.25 + 0.1 * number)
    return root


def run(root: Path, output: Path, **options: Any) -> Prepared:
    return prepare("trainingspeech", CORPORA["trainingspeech"], root, output, **options)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_manifest_has_lengths_from_headers_and_absolute_names(tmp_path: Path) -> None:
    root = training_speech(tmp_path / "ts", [("fr/a.wav", "oui"), ("fr/b.wav", "élan")])
    prepared = run(root, tmp_path / "out")
    assert lines(tmp_path / "out" / "train.jsonl") == [
        {"audio_filepath": f"{root}/fr/a.wav", "text": "oui", "duration": 0.25, "corpus": "trainingspeech"},
        {"audio_filepath": f"{root}/fr/b.wav", "text": "élan", "duration": 0.35, "corpus": "trainingspeech"},
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["train.jsonl"]
    assert prepared.sets["train"].recordings == 2
    assert prepared.sets["train"].seconds == pytest.approx(0.6)


def test_below_the_manifests_folder_names_are_relative(tmp_path: Path) -> None:
    root = training_speech(tmp_path, [("fr/a.wav", "oui")])
    run(root, root)
    assert lines(root / "train.jsonl")[0]["audio_filepath"] == "fr/a.wav"


@pytest.mark.parametrize("suffix", [".flac", ".opus", ".mp3", ".sph"])
def test_what_is_written_is_what_training_reads(suffix: str, tmp_path: Path) -> None:
    root = training_speech(tmp_path / "ts", [(f"a{suffix}", "oui"), (f"b{suffix}", "non")])
    run(root, tmp_path / "out")
    for utterance in read_manifest(tmp_path / "out" / "train.jsonl"):
        utterance.read()  # raises where the length differs


def test_speakers_are_written_and_counted(tmp_path: Path) -> None:
    for name in ("aa/oui.ogg", "aa/non.ogg", "bb/oui.ogg"):
        recording(tmp_path / "ll" / name)
    prepared = prepare("lingualibre", CORPORA["lingualibre"], tmp_path / "ll", tmp_path / "out")
    assert prepared.sets["train"].speakers == {"aa", "bb"}
    assert [line["speaker"] for line in lines(tmp_path / "out" / "train.jsonl")] == [
        "aa",
        "aa",
        "bb",
    ]


def faulty(tmp_path: Path) -> Path:
    root = training_speech(tmp_path / "ts", [(f"{n}.wav", "oui") for n in range(10)])
    (root / "1.wav").unlink()
    (root / "2.wav").write_bytes(b"")
    (root / "3.wav").write_bytes((root / "3.wav").read_bytes()[:400])
    text(root / "data.csv", (root / "data.csv").read_text().replace('4.wav,0,"oui"', "4.wav,0,"))
    return root


def test_faulty_recordings_are_listed_and_nothing_else_is_written(tmp_path: Path) -> None:
    root, out = faulty(tmp_path), tmp_path / "out"
    with pytest.raises(FaultyError, match=r"4 of 10 recordings are faulty, 40\.00%") as caught:
        run(root, out, allow=0.3)
    assert "--allow 0.4" in str(caught.value)
    assert [path.name for path in out.iterdir()] == [LEFT_OUT]
    reasons = [line.split("\t")[2] for line in (out / LEFT_OUT).read_text().splitlines()]
    assert reasons[0] == "is missing"
    assert reasons[1] == "is empty"
    assert reasons[2].startswith("is cut short")
    assert reasons[3] == "has no text"


def test_faulty_recordings_up_to_the_share_are_left_out(tmp_path: Path) -> None:
    prepared = run(faulty(tmp_path), tmp_path / "out", allow=0.4)
    assert prepared.faults == 4
    assert len(lines(tmp_path / "out" / "train.jsonl")) == 6
    assert len((tmp_path / "out" / LEFT_OUT).read_text().splitlines()) == 4


def test_a_refused_run_leaves_the_manifests_that_were_there(tmp_path: Path) -> None:
    root = training_speech(tmp_path / "ts", [("a.wav", "oui")])
    run(root, tmp_path / "out")
    before = (tmp_path / "out" / "train.jsonl").read_bytes()
    (root / "a.wav").unlink()
    with pytest.raises(FaultyError):
        run(root, tmp_path / "out")
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == before


def test_a_sentence_comes_as_often_as_allowed(tmp_path: Path) -> None:
    root = training_speech(
        tmp_path, [("a.wav", "oui"), ("b.wav", "oui"), ("c.wav", "non"), ("d.wav", "oui")]
    )
    prepared = run(root, root, duplicates=2)
    names = [line["audio_filepath"] for line in lines(root / "train.jsonl")]
    assert (names, prepared.repeated) == (["a.wav", "b.wav", "c.wav"], 1)


def test_patterns_leave_out_paths(tmp_path: Path) -> None:
    root = training_speech(tmp_path, [("read/a.wav", "oui"), ("answers/b.wav", "oui")])
    prepared = run(root, root, skip=["answers/*"])
    assert prepared.skipped == 1
    assert [line["audio_filepath"] for line in lines(root / "train.jsonl")] == ["read/a.wav"]


def test_a_list_names_recordings_and_their_sets_and_what_it_misses_is_told(tmp_path: Path) -> None:
    root = training_speech(tmp_path, [("a.wav", "oui"), ("b.wav", "non"), ("c.wav", "si")])
    listed = text(tmp_path / "list.txt", "dev a.wav\ntest c.flac\ntest d.wav\n")
    prepared = run(root, root, only=read_list(listed))
    assert {name: found.recordings for name, found in prepared.sets.items()} == {
        "dev": 1,
        "test": 1,
    }
    assert [line["audio_filepath"] for line in lines(root / "test.jsonl")] == ["c.wav"]
    assert prepared.listed == {"d"}


@pytest.mark.parametrize("line", ["a.wav", "../dev a.wav", ""])
def test_a_line_of_a_list_that_is_not_a_set_and_a_path_is_named(line: str, tmp_path: Path) -> None:
    listed = text(tmp_path / "list.txt", f"dev a.wav\n{line}\n")
    with pytest.raises(InputError, match="list.txt: line 2 is .*; want SET PATH"):
        read_list(listed)


def test_a_corpus_without_a_recording_is_refused(tmp_path: Path) -> None:
    root = training_speech(tmp_path, [("a.wav", "oui")])
    with pytest.raises(
        LayoutError, match="no recording is listed, or none that --skip and --only leave"
    ):
        run(root, root, skip=["*"])


def test_progress_counts_what_was_looked_at(tmp_path: Path) -> None:
    counts: list[int] = []
    root = training_speech(tmp_path, [("a.wav", "oui"), ("b.wav", "non")])
    run(root, root, progress=counts.append)
    assert counts == [2]
