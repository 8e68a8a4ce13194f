"""Checking: every fault is named at once, and a corrected copy leaves them out."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from stream.bundled import model_path
from tests.train.data.formats.sets import recording
from train.data.__main__ import main

TOKENIZER = str(model_path() / "tokenizer.model")


def line(name: str = "a.wav", **changed: Any) -> dict[str, Any]:
    return {"audio_filepath": name, "text": "one two", "duration": 0.6, "speaker": "s1"} | changed


def manifest(folder: Path, *lines: dict[str, Any], name: str = "set.jsonl") -> str:
    for number in range(9):
        recording(folder / f"{'abcdefghi'[number]}.wav", 0.1 + 0.05 * number, seconds=0.6)
    (folder / name).write_text("".join(json.dumps(each) + "\n" for each in lines))
    return str(folder / name)


def test_a_good_set_has_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = manifest(tmp_path, line(), line("b.wav", offset=0.1, duration=0.5))
    assert main(["check", path, "--tokenizer", TOKENIZER, "--audio", "decode"]) == 0
    assert capsys.readouterr().out == "2 utterances; faults: none\n"


BAD = [
    (line("b.wav", duration=1.0), "recording: .*: duration is 1.0 s, .*b.wav has 0.600 s"),
    (line("c.wav", offset=0.5), "recording: .*: offset is 0.5 s and duration 0.6 s, up to 1.100"),
    (line("none.wav"), "recording: .*none.wav: cannot be read: No such file"),
    (line("d.wav", duration=0.05, offset=0.0), "duration: .*: lasts 0.050 s, wants 0.1 to 60"),
    (line("e.wav", text="one " * 20 + "one"), "pace: .*: 21 words in 0.60 s"),
    (line("f.wav", text="Été"), "unspelt: .*: the tokenizer has no 'Éé' of 'Été'"),
    (line("g.wav", text=" one  two"), "spaces: .*: stray spaces or line ends in ' one  two'"),
    (line("h.wav", text=""), "empty text: .*: the text is empty"),
    (line("i.wav", text="one <unk>"), "tag: .*: <unk> in 'one <unk>'"),
    (line(), "duplicate: .*: is .*set.jsonl: line 1 again"),
    ({"text": "one"}, "unreadable: .*: .* missing required field `audio_filepath`"),
]


def test_every_fault_is_named_at_once_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, line(), *(bad for bad, _ in BAD))
    assert main(["check", path, "--tokenizer", TOKENIZER]) == 1
    *out, summary = capsys.readouterr().out.splitlines()
    for number, (_, message) in enumerate(BAD, 2):
        found = [each for each in out if f"set.jsonl: line {number}: " in each]
        assert any(matches(message, each) for each in found), (message, found)
    assert summary.startswith("12 utterances; faults: recording 3, ")


def matches(message: str, text: str) -> bool:

    return re.search(message, text) is not None


def test_a_corrected_copy_has_no_fault_but_what_may_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, line(), *(bad for bad, _ in BAD))
    fixed = str(tmp_path / "fixed.jsonl")
    assert main(["check", path, "--tokenizer", TOKENIZER, "--fix", fixed]) == 1
    assert f"{fixed}: 3 utterances" in capsys.readouterr().out
    assert main(["check", fixed, "--tokenizer", TOKENIZER]) == 1
    out = capsys.readouterr().out
    assert out.endswith("3 utterances; faults: empty text 1\n")
    texts = [json.loads(each)["text"] for each in Path(fixed).read_text().splitlines()]
    assert texts == ["one two", "one two", ""]


def test_a_speaker_of_two_sets_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = manifest(tmp_path, line())
    dev = manifest(tmp_path, line("b.wav"), line("c.wav"), name="dev.jsonl")
    assert main(["check", train, dev]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"speaker overlap: {dev}: line 1: b.wav: speaker s1 is in {train} too",
        "3 utterances; faults: speaker overlap 1",
    ]


def test_equal_samples_under_two_names_are_found_when_they_are_decoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, line("d.wav"), line("copy.flac"))
    recording(tmp_path / "copy.flac", 0.25, seconds=0.6)
    assert main(["check", path]) == 0
    assert main(["check", path, "--audio", "decode"]) == 1
    assert "duplicate: " in capsys.readouterr().out


def test_texts_are_spelt_as_they_are_learned(tmp_path: Path) -> None:
    path = manifest(tmp_path, line(text="One, two!"))
    assert main(["check", path, "--tokenizer", TOKENIZER]) == 1
    assert main(["check", path, "--tokenizer", TOKENIZER, "--normalise", "lowercase"]) == 0


def test_a_set_that_cannot_be_read_on_does_not_hide_the_faults_of_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(manifest(tmp_path, line(), line("b.wav", text="")))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(path.read_bytes())[:-9])
    assert main(["check", str(cut), str(path)]) == 1
    out = capsys.readouterr().out
    assert f"unreadable: {cut}: cannot be read: Compressed file ended" in out
    assert "set.jsonl: line 2: b.wav: the text is empty" in out


def test_a_file_that_is_no_tokenizer_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_text("not one")
    assert main(["check", str(path), "--tokenizer", str(path)]) == 3
    assert f"{path}: not a SentencePiece model" in capsys.readouterr().err
