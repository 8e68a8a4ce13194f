"""Recordings with the times of their words: CTM files, and the end of the sound of single words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from server.load.recordings import (
    TimedRecording,
    joined,
    read_recordings,
)
from stream.audio import AudioError
from stream.ctm import CtmError
from stream.manifest import ManifestError


def burst(until: float, seconds: float = 1.0) -> NDArray[np.float32]:
    """Return a loud noise that ends at `until`, in a quiet one."""
    samples = np.random.default_rng(0).normal(0.0, 1e-4, int(16000 * seconds))
    samples[4000 : int(16000 * until)] *= 1000
    return samples.astype(np.float32)


def record(path: Path, samples: NDArray[np.float32]) -> Path:
    soundfile.write(path, samples, 16000)
    return path


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return record(tmp_path / "one.wav", burst(0.6))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["one", "one.wav"])
def test_a_ctm_names_a_recording_by_stem_or_name(audio: Path, tmp_path: Path, name: str) -> None:
    ctm = write(tmp_path / "a.ctm", f"{name} 1 0.25 0.25 cat 1\n")
    (recording,) = read_recordings([audio], ctm)
    assert recording.words == (("cat", 0.5),)
    assert recording.seconds == 1.0


def test_a_ctm_of_other_recordings_is_refused(audio: Path, tmp_path: Path) -> None:
    ctm = write(tmp_path / "a.ctm", "other 1 0.25 0.25 cat 1\n")
    with pytest.raises(CtmError, match="names none of the recordings; one is one of them"):
        read_recordings([audio], ctm)


@pytest.mark.parametrize("text, timed", [("cat", True), ("the cat", False), ("", False)])
def test_a_manifests_single_word_ends_with_its_sound(
    audio: Path, tmp_path: Path, text: str, timed: bool
) -> None:
    entry = {"audio_filepath": audio.name, "text": text, "duration": 1.0}
    manifest = write(tmp_path / "m.jsonl", json.dumps(entry) + "\n")
    (recording,) = read_recordings([manifest])
    assert recording.words == ((("cat", pytest.approx(0.6, abs=0.011)),) if timed else None)


def test_files_that_are_no_audio_or_no_manifest_are_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"notes\.txt"):
        read_recordings([write(tmp_path / "notes.txt", "no audio")])
    with pytest.raises(ManifestError, match=r"m\.jsonl"):
        read_recordings([write(tmp_path / "m.jsonl", "{}\n")])


def test_joined_recordings_follow_each_other_and_words_move_along() -> None:
    parts = [
        TimedRecording("a", np.full(8000, 1.0, np.float32), (("one", 0.4),)),
        TimedRecording("b", np.full(16000, 2.0, np.float32), (("two", 0.5), ("three", 0.9))),
        TimedRecording("c", np.full(4000, 3.0, np.float32), None),
    ]
    a, b, c = joined(parts, 1.2)
    assert [each.name for each in (a, b, c)] == ["a", "b", "c"]
    assert (a.seconds, b.seconds, c.seconds) == (1.5, 1.25, 1.75)
    assert a.words == (("one", 0.4), ("two", 1.0), ("three", 1.4))
    assert b.words is None and c.words is None
    assert c.samples[3999:4001].tolist() == [3.0, 1.0]


def test_a_part_of_a_recording_is_streamed_alone_and_has_not_the_times_of_the_whole(
    audio: Path, tmp_path: Path
) -> None:
    line = {"audio_filepath": "one.wav", "text": "the cat", "offset": 0.25, "duration": 0.5}
    path = write(tmp_path / "set.jsonl", json.dumps(line))
    ctm = write(tmp_path / "a.ctm", "one 1 0.25 0.25 cat 1\none.wav#0.25-0.75s 1 0.1 0.2 the 1\n")
    (recording,) = read_recordings([path], ctm)
    assert recording.seconds == 0.5
    assert recording.words == (("the", pytest.approx(0.3)),)
