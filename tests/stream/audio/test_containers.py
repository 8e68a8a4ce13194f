"""Containers: which formats are taken, and what is said of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.audio import AudioError, FormatError, containers, read_audio
from tests.stream.audio.files import NOISE, encoded


@pytest.mark.parametrize(
    "head, name",
    [
        (b"\0\0\0\x20ftypM4A ", "MPEG-4"),
        (b"\x1aE\xdf\xa3", "WebM"),
        (b"#!AMR\n", "AMR"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"RIFF\0\0\0\0AVI ", "not in a format that Rill reads"),
        (b"hello", "not in a format that Rill reads"),
    ],
)
def test_other_formats_are_named_with_those_that_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, name: str
) -> None:
    monkeypatch.setattr(containers, "find_spec", lambda name: None)  # PyAV is not installed
    (tmp_path / "a.wav").write_bytes(head + bytes(99))
    with pytest.raises(FormatError, match=name) as caught:
        read_audio(tmp_path / "a.wav")
    assert "WAV, FLAC" in str(caught.value)
    assert "ffmpeg -i" in str(caught.value)
    assert ("extra `media`" in str(caught.value)) == (
        "which Rill does not read" in str(caught.value)
    )


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"a\.wav: is empty"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("container", ["flac", "mp3"])
def test_a_tag_at_the_begin_is_passed_over(tmp_path: Path, container: str) -> None:
    tag = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)
    (tmp_path / "a").write_bytes(tag + encoded(NOISE, container))
    assert len(read_audio(tmp_path / "a")) == len(NOISE)


def test_the_name_of_a_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(encoded(NOISE, "flac"))
    assert len(read_audio(tmp_path / "a.mp3")) == len(NOISE)
