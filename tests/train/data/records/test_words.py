"""Words' times: read as several tools write them, and kept from format to format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.train.data.formats.sets import records
from train.data.formats import cuts, jsonl, shards
from train.data.records.record import Mix, Record, Track, strict
from train.data.records.words import TimedWord, take_words

WORDS = (TimedWord("one", 0.05, 0.1), TimedWord("two", 0.15, 0.25))


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ([["one", 0.05, 0.1], ["two", 0.15, 0.25]], WORDS),
        ([{"word": "one", "start": 0.05, "end": 0.1, "score": 1}, ["two"]], ()),
        ([{"word": "one", "start": 0.05, "end": 0.1, "score": 1}], WORDS[:1]),
        ([["one", None, None]], (TimedWord("one"),)),
        (2, ()),
        ([], ()),
    ],
)
def test_words_are_read_as_lists_or_objects(given: Any, want: tuple[TimedWord, ...]) -> None:
    extra = {"words": given, "n": 1}
    assert take_words(extra) == want
    assert extra == {"n": 1} | ({} if want else {"words": given})


def mixed(folder: Path) -> Record:
    whole = records(folder)[0]
    track = Track(whole.audio, whole.part, 0.5, 0.3)  # type: ignore[arg-type]
    return Record(id="m", audio=Mix((track,)), text="one two", duration=0.8, words=WORDS)


@pytest.mark.parametrize("name", ["manifest", "cuts", "cuts of a part", "cuts of a mix", "shards"])
def test_words_are_kept_from_format_to_format(name: str, tmp_path: Path) -> None:
    whole, part, _ = (msgspec.structs.replace(r, words=WORDS) for r in records(tmp_path / "audio"))
    record = {"cuts of a part": part, "cuts of a mix": mixed(tmp_path)}.get(name, whole)
    module, path = (jsonl, tmp_path / "set.jsonl") if name == "manifest" else (cuts, tmp_path / "c")
    if name == "shards":
        shards.write([record], tmp_path / "a.tar")
        module, path = shards, tmp_path / "a-000000.tar"  # type: ignore[assignment]
    else:
        module.write([record], path)
    (back,) = strict(module.read(path))
    assert back.words == WORDS


def test_lhotse_reads_the_times_that_are_written(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    record = msgspec.structs.replace(records(tmp_path / "audio")[1], words=WORDS)
    cuts.write([record], tmp_path / "cuts.jsonl")
    (cut,) = lhotse.CutSet.from_file(tmp_path / "cuts.jsonl")
    items = cut.supervisions[0].alignment["word"]
    assert [(i.symbol, i.start, i.duration) for i in items] == [
        ("one", 0.15, 0.05),
        ("two", 0.25, 0.1),
    ]


def test_a_cut_of_which_one_supervision_is_not_aligned_has_no_words(tmp_path: Path) -> None:
    record = msgspec.structs.replace(records(tmp_path / "audio")[0], words=WORDS)
    cuts.write([record], tmp_path / "cuts.jsonl")
    line = json.loads((tmp_path / "cuts.jsonl").read_text())
    line["supervisions"].append({"id": "s", "start": 0.28, "duration": 0.01, "text": "three"})
    (tmp_path / "cuts.jsonl").write_text(json.dumps(line))
    (back,) = strict(cuts.read(tmp_path / "cuts.jsonl"))
    assert (back.text, back.words) == ("one two three", ())
