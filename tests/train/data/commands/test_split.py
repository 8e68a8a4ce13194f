"""Splits: disjoint speakers, all utterances, the same parts each time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from train.data.__main__ import main
from train.data.commands.split import part_of

PARTS = ("train.jsonl=0.8", "dev.jsonl=0.1", "test.jsonl=0.1")


def line(number: int, speaker: str | None = None) -> dict[str, object]:
    speaker = f"s{number % 200}" if speaker is None else speaker
    return {"audio_filepath": f"{number}.wav", "text": "one", "duration": 1.0, "speaker": speaker}


def split(folder: Path, lines: Iterable[dict[str, object]], *options: str) -> list[list[str]]:
    path = folder / "all.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert main(["split", str(path), *(f"{folder}/{part}" for part in PARTS), *options]) == 0
    return [(folder / part.partition("=")[0]).read_text().splitlines() for part in PARTS]


def test_a_speaker_is_in_one_part_and_every_utterance_in_some(tmp_path: Path) -> None:
    parts = split(tmp_path, map(line, range(1000)))
    speakers = [{json.loads(each)["speaker"] for each in part} for part in parts]
    assert sum(map(len, parts)) == 1000
    assert sum(map(len, speakers)) == len(set().union(*speakers)) == 200
    assert [len(each) / 200 for each in speakers] == pytest.approx([0.8, 0.1, 0.1], abs=0.06)


def test_a_set_that_grows_keeps_what_it_had_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    before = split(tmp_path, map(line, range(500)), "--by", "utterance")
    after = split(tmp_path / "more", map(line, range(800)), "--by", "utterance")
    assert all(set(few) <= set(many) for few, many in zip(before, after, strict=True))


def test_another_seed_is_another_division() -> None:
    shares = [0.5, 0.5]
    names = [f"s{n}" for n in range(100)]
    one, two = ([part_of(name, shares, seed) for name in names] for seed in (1, 2))
    assert one != two
    assert one == [part_of(name, shares, 1) for name in names]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["a.jsonl=0.5"], "the shares add up to 0.5; want 1"),
        (["a.jsonl"], "a.jsonl: wants FILE=SHARE"),
        (["a.jsonl=2", "b.jsonl=-1"], "a.jsonl=2: wants FILE=SHARE"),
    ],
)
def test_shares_that_are_none_are_refused(
    parts: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["split", "all.jsonl", *parts]) == 2
    assert message in capsys.readouterr().err


def test_an_utterance_without_a_speaker_is_refused_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "all.jsonl").write_text(json.dumps(line(1) | {"speaker": None}) + "\n")
    assert main(["split", f"{tmp_path}/all.jsonl", f"{tmp_path}/a.jsonl=1"]) == 3
    assert "all.jsonl: line 1: no speaker is named" in capsys.readouterr().err
