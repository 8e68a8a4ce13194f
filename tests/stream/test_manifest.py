"""Manifests: what is read, and what is named when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.manifest import ManifestError, read_manifest

GOOD = '{"audio_filepath": "a.wav", "text": "one two", "duration": 1.5, "speaker": "s", "x": 1}'


def manifest(folder: Path, content: str | bytes) -> Path:
    (folder / "a.wav").write_bytes(b"")
    path = folder / "set.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_paths_count_from_the_manifest_and_other_keys_are_ignored(tmp_path: Path) -> None:
    (utterance,) = read_manifest(manifest(tmp_path, f"\n{GOOD}\n\n"))
    assert utterance.audio == tmp_path / "a.wav"
    assert (utterance.id, utterance.text, utterance.duration) == ("a.wav", "one two", 1.5)
    assert (utterance.speaker, utterance.corpus, utterance.line) == ("s", None, 2)


def test_an_empty_text_is_a_recording_without_speech(tmp_path: Path) -> None:
    line = '{"audio_filepath": "a.wav", "text": "", "duration": 1}'
    assert read_manifest(manifest(tmp_path, line))[0].text == ""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"audio_filepath": "a.wav", "duration": 1}', "missing required field `text`"),
        ('{"text": "", "duration": 1}', "missing required field `audio_filepath`"),
        ('{"audio_filepath": "a.wav", "text": null, "duration": 1}', r"Expected `str`.*\$\.text"),
        ('{"audio_filepath": "a.wav", "text": "", "duration": 0}', "duration is 0.0 s"),
        ('{"audio_filepath": "a.wav", "text": "", "duration": "1"}', "Expected `float`"),
        ('{"audio_filepath": "b.wav", "text": "", "duration": 1}', "no file .*b.wav"),
        ("one two", "JSON is malformed"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ManifestError, match=f"set.jsonl: line 3: .*{message}") as caught:
        read_manifest(manifest(tmp_path, f"{GOOD}\n{GOOD}\n{line}\n"))
    assert caught.value.line == 3


def test_text_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="line 2"):
        read_manifest(
            manifest(tmp_path, GOOD.encode() + b"\n" + GOOD.encode("latin-1")[:20] + b"\xff")
        )


def test_an_empty_or_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="names no recording"):
        read_manifest(manifest(tmp_path, "\n"))
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "nothing.jsonl")
