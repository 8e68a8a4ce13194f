"""Lhotse's cuts: what is read here, what is left to the package, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lhotse import CutSet

from stream.audio import Part
from stream.manifest import ManifestError
from tests.train.data.formats.sets import RATE, recording, records
from train.data.formats import cuts
from train.data.records.record import File, LhotseCut, Mix, Record, strict


def cut(path: Path, **changed: Any) -> dict[str, Any]:
    """Return a MonoCut as Lhotse writes it, of the whole of a recording of 0.3 s."""
    supervision = {"id": "c1", "recording_id": "r1", "start": 0.0, "duration": 0.3, "channel": 0}
    supervision |= {"text": "one two", "language": "French", "speaker": "s1"}
    source = {"type": "file", "channels": [0], "source": str(path)}
    of = {"id": "r1", "sources": [source], "sampling_rate": RATE, "num_samples": 4800}
    whole = {"id": "c1", "start": 0.0, "duration": 0.3, "channel": 0, "type": "MonoCut"}
    whole |= {
        "supervisions": [supervision],
        "recording": of | {"duration": 0.3, "channel_ids": [0]},
    }
    return whole | changed


def written(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "cuts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(folder: Path, *lines: dict[str, Any]) -> list[Record | ManifestError]:
    return list(cuts.read(written(folder, *lines)))


def one(folder: Path, line: dict[str, Any]) -> Record:
    (record,) = strict(read(folder, line))
    return record


def test_a_cut_is_a_record(tmp_path: Path) -> None:
    record = one(tmp_path, cut(tmp_path / "a.wav", custom={"snr": 12.5}))
    assert record.audio == File(str(tmp_path / "a.wav"))
    assert (record.id, record.text, record.duration, record.part) == ("c1", "one two", 0.3, Part())
    assert (record.speaker, record.language, record.line) == ("s1", "French", 1)
    assert record.extra == {"snr": 12.5, "sampling_rate": RATE}


def test_a_cut_of_a_part_starts_where_it_says(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", 0.5)
    record = one(tmp_path, cut(path, start=0.1, duration=0.2))
    assert record.part == Part(0.1, 0.2)
    assert np.unique(record.read()).tolist() == [0.125, 0.25]


def test_the_text_is_that_of_all_supervisions_in_the_order_of_their_starts(tmp_path: Path) -> None:
    line = cut(tmp_path / "a.wav")
    later = line["supervisions"][0] | {"start": 0.2, "text": "three", "speaker": "s2"}
    line["supervisions"] = [later, line["supervisions"][0]]
    record = one(tmp_path, line)
    assert (record.text, record.speaker) == ("one two three", None)


def test_a_channel_of_several_is_taken(tmp_path: Path) -> None:
    line = cut(recording(tmp_path / "a.wav", 0.5, 0.25), channel=1)
    line["recording"]["sources"][0]["channels"] = [0, 1]
    record = one(tmp_path, line)
    assert record.part == Part(channel=1)
    assert record.read().max() == 0.25


def mixed(folder: Path, **of_second: Any) -> dict[str, Any]:
    """Return a MixedCut: a cut of 0.3 s, padding up to 0.5 s, and a second cut from 0.1 s on."""
    first = cut(recording(folder / "a.wav", 0.5))
    second = cut(recording(folder / "b.wav", 0.25), id="c2", supervisions=[])
    padding = {"id": "p", "duration": 0.2, "sampling_rate": RATE, "feat_value": 0.0}
    padding |= {"num_samples": 3200, "type": "PaddingCut"}
    return {
        "id": "m1",
        "type": "MixedCut",
        "tracks": [
            {"cut": first, "type": "MonoCut", "offset": 0.0},
            {"cut": padding, "type": "PaddingCut", "offset": 0.3},
            {"cut": second, "type": "MonoCut", "offset": 0.1, **of_second},
        ],
    }


@pytest.mark.parametrize("track", [{}, {"snr": 10.0}])
def test_a_mix_is_heard_as_lhotse_plays_it(track: dict[str, Any], tmp_path: Path) -> None:
    line = mixed(tmp_path, **track)
    record = one(tmp_path, line)
    assert isinstance(record.audio, Mix)
    assert (record.text, record.duration) == ("one two", 0.5)
    (theirs,) = CutSet.from_jsonl(written(tmp_path, line))
    np.testing.assert_allclose(record.read(), theirs.load_audio()[0], atol=1e-6)


def test_a_mix_is_written_as_it_was_read(tmp_path: Path) -> None:
    record = one(tmp_path, mixed(tmp_path, snr=10.0))
    cuts.write([record], tmp_path / "again.jsonl")
    (again,) = strict(cuts.read(tmp_path / "again.jsonl"))
    assert (again.audio, again.text, again.duration) == (record.audio, record.text, 0.5)


def test_a_recording_with_transforms_is_played_by_lhotse(tmp_path: Path) -> None:
    line = cut(recording(tmp_path / "a.wav", 0.5), duration=0.6)
    line["recording"] |= {"duration": 0.6, "num_samples": 9600}
    line["recording"]["transforms"] = [{"name": "Speed", "kwargs": {"factor": 0.5}}]
    record = one(tmp_path, line)
    assert isinstance(record.audio, LhotseCut)
    assert len(record.read()) == 9600


def test_lhotse_reads_what_is_written(tmp_path: Path) -> None:
    given = records(tmp_path / "audio")
    given[2] = Record(**{name: getattr(given[2], name) for name in Record.__struct_fields__})
    assert cuts.write(given, tmp_path / "cuts.jsonl.gz") == 3
    theirs = list(CutSet.from_jsonl(tmp_path / "cuts.jsonl.gz"))
    for record, found in zip(given, theirs, strict=True):
        np.testing.assert_array_equal(record.read(), found.load_audio()[0])
        assert found.supervisions[0].text == record.text
        assert found.supervisions[0].speaker == record.speaker


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["recording"]["sources"][0].update(type="command"), "commands are never run"),
        (lambda c: c["recording"]["sources"][0].update(type="url"), "type 'url' is not read"),
        (lambda c: c.update(supervisions=[]), "cut c1 has no supervision with a text"),
        (lambda c: c["supervisions"][0].pop("text"), "cut c1 has no supervision with a text"),
        (lambda c: c.pop("recording"), "cut c1 has no recording"),
        (lambda c: c.update(duration=0), "duration is 0.0 s"),
        (lambda c: c.update(duration="1"), r"Expected `float`, got `str` - at `\$.duration`"),
        (lambda c: c.update(channel=1), "no source of its recording has channel 1"),
    ],
)
def test_a_cut_that_cannot_be_used_is_named_and_the_next_one_read(
    change: Any, message: str, tmp_path: Path
) -> None:
    bad = cut(tmp_path / "a.wav")
    change(bad)
    fault, good = read(tmp_path, bad, cut(tmp_path / "a.wav"))
    assert isinstance(good, Record)
    with pytest.raises(ManifestError, match=f"cuts.jsonl: line 1: .*{message}"):
        raise fault  # type: ignore[misc]
