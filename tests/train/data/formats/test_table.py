"""Every format is told from the others, and gives back what was written in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.manifest import ManifestError
from tests.train.data.formats.sets import records
from train.data.formats.table import FORMATS, detect, for_output, read_records
from train.data.records.extract import extracted
from train.data.records.record import Record, strict

NAMES = {
    "manifest": "set.jsonl.gz",
    "cuts": "cuts_fr.jsonl.gz",
    "myrtle": "set.json",
    "shards": "set.tar",
    "kaldi": "kaldi",
    "folder": "folder",
    "hf": "hf",
    "parquet": "set.parquet",
    "archive": "set.tar.gz",
    "shar": "shar",
    "tarred": "tarred",
}
# Formats of paths alone, that cannot mean a channel or a part of a file.
WHOLE_FILES = ("myrtle", "kaldi")


def written(name: str, folder: Path, given: list[Record]) -> tuple[str, list[Record]]:
    path = folder / NAMES[name]
    assert FORMATS[name].write(iter(given), path) == len(given)
    found = str(path.with_name("set-000000.tar") if name == "shards" else path)
    return found, list(strict(read_records(found)))


def test_there_is_a_name_for_every_format() -> None:
    assert NAMES.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_told_apart_and_read_back(name: str, tmp_path: Path) -> None:
    given = records(tmp_path / "audio")
    if name in WHOLE_FILES:
        given = list(extracted(given, tmp_path / "copied"))
    path, got = written(name, tmp_path, given)
    assert detect(path) == name
    assert sorted(each.text for each in got) == sorted(each.text for each in given)
    for record in given:
        (same,) = (each for each in got if each.text == record.text)
        np.testing.assert_array_equal(same.read(), record.read())
        assert same.duration in (None, record.duration)


@pytest.mark.parametrize(
    "name", ["manifest", "cuts", "myrtle", "shards", "hf", "archive", "shar", "tarred"]
)
def test_speaker_language_and_unknown_keys_are_kept(name: str, tmp_path: Path) -> None:
    given = list(extracted(records(tmp_path / "audio"), tmp_path / "copied"))
    _, (first, second, third) = written(name, tmp_path, given)
    assert (first.speaker, first.language, second.speaker) == ("s1", "en", "s2")
    assert third.extra["n"] == 1


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_format_that_cannot_say_a_channel_refuses_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="write it with --audio DIR"):
        FORMATS[name].write(records(tmp_path), tmp_path / "out" / "set")
    assert not (tmp_path / "out" / "set").exists()


@pytest.mark.parametrize("name", [name for name in NAMES if FORMATS[name].names])
def test_an_ending_asks_for_a_format(name: str) -> None:
    assert for_output(NAMES[name]) == name


def test_a_name_that_says_no_format_is_refused() -> None:
    with pytest.raises(ManifestError, match="Name one with --to: archive, manifest, cuts"):
        for_output("out/train")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), (b"", "no known format"), (b"one two", "no known")],
)
def test_what_is_of_no_format_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "set"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        detect(str(path))
