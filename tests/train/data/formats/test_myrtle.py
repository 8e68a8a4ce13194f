"""Myrtle's lists: entries are read one by one, whatever the layout of the JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream.manifest import ManifestError
from train.data.formats import myrtle
from train.data.records.record import File, Record, strict

# The minimal list for inference of their documentation.
MINIMAL = """[
  {
    "transcript": "dummy",
    "files": [
      {
        "fname": "relative-path/to/stem1.wav"
      }
    ],
    "original_duration": 0.0
  },
  {
    "transcript": "dummy",
    "files": [
      {
        "fname": "relative-path/to/stem2.wav"
      }
    ],
    "original_duration": 0.0
  }
]
"""


def entry(name: str = "a.wav", **changed: Any) -> dict[str, Any]:
    files = [{"channels": 1, "sample_rate": 16000, "duration": 1.5, "fname": name, "speed": 1}]
    return {"transcript": "one", "files": files, "original_duration": 1.5} | changed


def read(folder: Path, content: str, root: Path | None = None) -> list[Record | ManifestError]:
    (folder / "set.json").write_text(content)
    return list(myrtle.read(folder / "set.json", root))


def test_the_minimal_list_is_read_and_its_durations_are_the_files(tmp_path: Path) -> None:
    first, second = strict(read(tmp_path, MINIMAL, Path("/data")))
    assert (first.audio, first.line) == (File("/data/relative-path/to/stem1.wav"), 2)
    assert (second.audio, second.line) == (File("/data/relative-path/to/stem2.wav"), 11)
    assert (first.text, first.duration) == ("dummy", None)


def test_the_last_file_is_meant_and_counts_from_the_list(tmp_path: Path) -> None:
    several = entry(files=[{"fname": "slow.wav"}, {"fname": "b.wav"}], original_num_samples=24000)
    (record,) = strict(read(tmp_path, json.dumps([several])))
    assert record.audio == File(str(tmp_path / "b.wav"))
    assert (record.duration, record.extra) == (1.5, {"original_num_samples": 24000})


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("indent", [None, 2])
def test_entries_may_end_anywhere_in_a_block(
    block: int, indent: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(myrtle, "BLOCK", block)
    texts = ["one", 'a "quoted" ] one', "", "é\u2028"]
    content = json.dumps([entry(transcript=text) for text in texts], indent=indent)
    assert [record.text for record in strict(read(tmp_path, content))] == texts
    assert read(tmp_path, "[]") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": []}, "files is empty"),
        ({"transcript": None}, "Expected `str`, got `null` - at `\\$.transcript`"),
        ({"original_duration": -1.0}, "original_duration is -1.0, want 0 or more"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    bad, good = read(tmp_path, json.dumps([entry(**change), entry()], indent=1))
    assert isinstance(good, Record)
    with pytest.raises(ManifestError, match=f"set.json: line 2: {message}"):
        raise bad  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"transcript": "one"', "JSON is malformed"),
        ("[" + json.dumps(entry()), "ends before its array does"),
        ("{}", "is not a JSON array"),
        ("[nonsense]", "JSON is malformed"),
    ],
)
def test_a_list_that_is_no_json_array_is_refused(
    content: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=message):
        read(tmp_path, content)
