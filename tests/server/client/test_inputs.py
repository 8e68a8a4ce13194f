from __future__ import annotations

from pathlib import Path

import pytest

from server.client.inputs import STANDARD_INPUT, Input, check_targets, find
from stream.errors import ArgumentError, InputError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.wav", "a.MP3", "deep/er/c.m4a", "notes.txt", ".hidden/d.wav", "x[1].wav"):
        path = tmp_path / "calls" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("calls")


def test_a_folder_is_its_recordings_by_name(folder: Path) -> None:
    found = find(["calls"])
    assert [each.name for each in found] == [
        "calls/a.MP3",
        "calls/b.wav",
        "calls/deep/er/c.m4a",
        "calls/x[1].wav",
    ]
    assert found[2].target(Path("out"), ".srt") == Path("out/deep/er/c.srt")


def test_a_pattern_is_what_it_fits_and_a_file_of_that_name_is_itself(folder: Path) -> None:
    assert [each.path.name for each in find(["calls/**/*.[wm]*"])] == ["b.wav", "c.m4a", "x[1].wav"]
    assert find(["calls/x[1].wav"]) == [
        Input(Path("calls/x[1].wav"), "calls/x[1].wav", Path("x[1]"))
    ]


def test_a_recording_that_is_named_twice_is_transcribed_once(folder: Path) -> None:
    assert [each.path.name for each in find(["calls/b.wav", "calls"])].count("b.wav") == 1


def test_a_dash_is_standard_input() -> None:
    assert find(["-"]) == [Input(STANDARD_INPUT, "standard input", Path("stdin"))]


@pytest.mark.parametrize("name", ["calls/deep", "nothing/*.wav"])
def test_nothing_to_transcribe_is_an_error(folder: Path, name: str) -> None:
    (folder / "deep" / "er" / "c.m4a").unlink()
    with pytest.raises(InputError, match="calls/deep: holds no recording|nothing fits nothing/"):
        find([name])


def test_results_that_would_be_one_file_are_refused() -> None:
    inputs = find(["x/a.wav", "y/a.flac"])
    with pytest.raises(ArgumentError, match=r"x/a.wav and y/a.flac would both be .* out/a.srt"):
        check_targets(inputs, Path("out"), ".srt")
    check_targets(find(["a.wav", "b.wav"]), Path("out"), ".srt")
