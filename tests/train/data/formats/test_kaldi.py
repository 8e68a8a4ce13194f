"""Kaldi's data directories: files of ids, joined; commands are never run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.audio import Part
from stream.manifest import ManifestError
from tests.train.data.formats.sets import recording, records
from train.data.formats import kaldi
from train.data.records.record import File, Record, strict


def directory(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


def test_files_without_segments_are_utterances(tmp_path: Path) -> None:
    path = directory(
        tmp_path,
        wav_scp="u1 /a/my file.wav\nu2\tb.wav\n",
        text="u1 one two\nu2\n",
        utt2spk="u1 s1\nu2 s2\n",
        utt2dur="u1 1.5\n",
    )
    first, second = strict(kaldi.read(path, Path("/root")))
    assert (first.audio, second.audio) == (File("/a/my file.wav"), File("/root/b.wav"))
    assert [(r.id, r.text, r.speaker, r.duration) for r in (first, second)] == [
        ("u1", "one two", "s1", 1.5),
        ("u2", "", "s2", None),
    ]


def test_segments_are_parts_and_those_without_a_text_are_skipped(tmp_path: Path) -> None:
    audio = recording(tmp_path / "a.wav", 0.5)
    path = directory(
        tmp_path,
        wav_scp=f"rec {audio}\n",
        segments="u1 rec 0.0 0.1\nu2 rec 0.1 0.2\nu3 rec 0.2 0.3\n",
        text="u3 three\nu1 one\n",  # in another order
    )
    first, third = strict(kaldi.read(path))
    assert (first.part, third.part) == (Part(0.0, 0.1), Part(0.2, 0.1))
    assert [np.unique(r.read()).tolist() for r in (first, third)] == [[0.5], [0.125]]


def test_a_part_is_written_as_a_segment_and_all_files_are_sorted(tmp_path: Path) -> None:
    given = records(tmp_path / "audio")[1::-1]
    assert kaldi.write(given, tmp_path / "data") == 2
    for name in ("wav.scp", "text", "segments", "utt2spk", "utt2dur"):
        lines = (tmp_path / "data" / name).read_text().splitlines()
        assert lines == sorted(lines) and len(lines) == 2
    got = list(strict(kaldi.read(tmp_path / "data")))
    for record, same in zip(given[::-1], got, strict=True):
        np.testing.assert_array_equal(same.read(), record.read())
        assert (same.text, same.speaker) == (record.text, record.speaker)


@pytest.mark.parametrize(
    ("scp", "message"),
    [
        ("u1 sph2pipe -f wav a.sph |\n", r"'sph2pipe -f wav a.sph \|' is a command and is not run"),
        ("u1 data/wav.ark:1234\n", "is in one of Kaldi's archives"),
        ("u3 a.wav\n", "u3 has no line in text"),
    ],
)
def test_what_cannot_be_used_is_named_and_the_next_line_read(
    scp: str, message: str, tmp_path: Path
) -> None:
    path = directory(tmp_path, wav_scp=scp + "u2 a.wav\n", text="u1 one\nu2 two\n")
    fault, good = kaldi.read(path)
    assert isinstance(good, Record) and good.text == "two"
    with pytest.raises(ManifestError, match=f"wav.scp: line 1: .*{message}"):
        raise fault  # type: ignore[misc]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u1 rec 1.0", "'rec 1.0': wants a recording, its begin and its end"),
        ("u1 rec 2.0 1.0", "its begin and its end"),
        ("u1 rec x 1.0", "its begin and its end"),
        ("u1 other 0.0 1.0", "other is not in wav.scp"),
    ],
)
def test_a_segment_that_cannot_be_used_is_named_and_the_next_one_read(
    line: str, message: str, tmp_path: Path
) -> None:
    path = directory(
        tmp_path, wav_scp="rec a.wav\n", segments=f"{line}\nu2 rec 0 1\n", text="u1 one\nu2 two\n"
    )
    fault, good = kaldi.read(path)
    assert isinstance(good, Record) and good.text == "two"
    with pytest.raises(ManifestError, match=f"segments: line 1: .*{message}"):
        raise fault  # type: ignore[misc]
