"""`prepare` prints what it wrote and the licence, and its exit codes say what was wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.data.corpora.layouts import recording, text
from train.data.__main__ import main


def speech_commands(root: Path) -> Path:
    for name in ("yes/aa_nohash_0.wav", "yes/bb_nohash_0.wav", "no/cc_nohash_1.wav"):
        recording(root / name, seconds=1.0)
    text(root / "validation_list.txt", "yes/bb_nohash_0.wav\n")
    text(root / "testing_list.txt", "no/cc_nohash_1.wav\n")
    return root


def test_sets_speakers_and_licence_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = speech_commands(tmp_path / "sc")
    assert main(["prepare", "speechcommands", str(root), "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert f"{tmp_path}/out/train.jsonl: 1 recordings, 0.00 h, 1 speakers" in printed.out
    assert "licence: CC BY 4.0" in printed.out
    assert printed.err == ""
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["dev.jsonl", "test.jsonl", "train.jsonl"]


def test_a_corpus_without_a_test_set_says_how_to_split_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording(tmp_path / "aa" / "oui.ogg")
    assert main(["prepare", "lingualibre", str(tmp_path)]) == 0
    assert "rill data split" in capsys.readouterr().err
    assert (tmp_path / "train.jsonl").is_file()


@pytest.mark.parametrize("share", ["0", "0.5"])
def test_a_missing_recording_is_refused_unless_allowed(
    share: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = speech_commands(tmp_path)
    (root / "no" / "cc_nohash_1.wav").unlink()
    code = main(["prepare", "speechcommands", str(root), "--allow", share])
    printed = capsys.readouterr().err
    assert code == (3 if share == "0" else 0)
    assert ("1 of 3 recordings are faulty" if code else "left out: 1 faulty") in printed
    assert (root / "train.jsonl").exists() == (code == 0)


def test_another_layout_is_an_input_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "an4", str(tmp_path)]) == 3
    printed = capsys.readouterr().err
    assert "expected etc/an4_train.transcription" in printed
    assert "found an empty folder" in printed
    assert "is read from an4/etc/" in printed


@pytest.mark.parametrize(
    "option", [["--allow", "2"], ["--duplicates", "0"], ["--workers", "0"]], ids=lambda o: o[0]
)
def test_options_out_of_range_are_refused(option: list[str], tmp_path: Path) -> None:
    assert main(["prepare", "an4", str(tmp_path), *option]) == 2
