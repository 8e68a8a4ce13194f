"""Manifests: what is read, and what is named when it cannot be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream.audio import AudioError, Part
from stream.manifest import ManifestError, read_entries, read_manifest

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


def recording(folder: Path, rate: int = 16_000) -> Path:
    """Write four seconds of two channels: the first counts the seconds in quarters, the second is 0."""
    seconds = np.repeat([0.0, 0.25, 0.5, 0.75], rate)
    soundfile.write(folder / "a.wav", np.stack([seconds, 0 * seconds], 1), rate, subtype="FLOAT")
    return folder / "a.wav"


def write(folder: Path, *lines: dict[str, object]) -> Path:
    whole: dict[str, object] = {"audio_filepath": "a.wav", "text": "one", "duration": 4.0}
    path = folder / "set.jsonl"
    path.write_text("\n".join(json.dumps(whole | line) for line in lines))
    return path


def test_a_byte_order_mark_before_any_line_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    bom = b"\xef\xbb\xbf"
    path = manifest(tmp_path, bom + GOOD.encode() + b"\r\n" + bom + GOOD.encode() + b"\r\n")
    assert [utterance.text for utterance in read_manifest(path)] == ["one two", "one two"]


def test_a_line_separator_within_a_text_ends_no_line(tmp_path: Path) -> None:
    (utterance,) = read_manifest(manifest(tmp_path, GOOD.replace("one two", "one\u2028two")))
    assert utterance.text == "one\u2028two"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.encode("utf-16"), "set.jsonl: is UTF-16; save it as UTF-8"),
        (f"[{GOOD}]".encode(), "set.jsonl: is a JSON list, wants one object a line"),
    ],
)
def test_other_kinds_of_files_are_refused_by_name(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(manifest(tmp_path, content))


def test_offset_and_duration_are_a_part_of_a_recording(tmp_path: Path) -> None:
    recording(tmp_path)
    first, second = read_manifest(
        write(tmp_path, {"offset": 0.0, "duration": 1.0}, {"offset": 1.5, "duration": 1.0})
    )
    assert first.part == Part(0.0, 1.0)
    assert np.array_equal(first.read(), np.zeros(16_000))
    half = np.float32([0.125, 0.25])  # of both channels
    assert np.array_equal(second.read(), np.repeat(half, 8000))
    assert [first.id, second.id] == ["a.wav#0-1s", "a.wav#1.5-2.5s"]


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_a_part_is_the_same_stretch_at_any_rate(tmp_path: Path, rate: int) -> None:
    recording(tmp_path, rate)
    (utterance,) = read_manifest(write(tmp_path, {"offset": 2.25, "duration": 0.5, "channel": 0}))
    samples = utterance.read()
    assert len(samples) == 8000
    assert samples[1000:-1000] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("key", ["channel", "channel_selector"])
def test_a_channel_is_the_one_that_is_read(tmp_path: Path, key: str) -> None:
    recording(tmp_path)
    first, second, both = read_manifest(
        write(tmp_path, {key: 0}, {key: 1}, {"channel_selector": "average"})
    )
    assert [u.read()[-1] for u in (first, second, both)] == [0.75, 0.0, 0.375]
    assert [first.id, second.id] == ["a.wav#channel 0", "a.wav#channel 1"]


def test_a_channel_that_the_file_has_not_is_named(tmp_path: Path) -> None:
    recording(tmp_path)
    (utterance,) = read_manifest(write(tmp_path, {"channel": 2}))
    with pytest.raises(AudioError, match="a.wav: has 2 channels, from 0; there is no channel 2"):
        utterance.read()


@pytest.mark.parametrize(
    "key",
    ["start", "end", "startTime", "end_time", "audio_start", "begin", "segment-start", "stop"]
    + ["start_seconds", "start_ms", "offset_ms", "audio_end_sec", "clip_start", "trim_end"]
    + ["channel_id", "audio_channel", "channel_ids", "Offset", "CHANNEL"],
)
def test_a_key_that_would_mean_other_audio_is_refused_by_name(tmp_path: Path, key: str) -> None:
    recording(tmp_path)
    with pytest.raises(ManifestError, match=f"line 2: {key} changes which .* write (offset|chan)"):
        read_manifest(write(tmp_path, {}, {key: 1}))


def test_keys_that_mean_no_other_audio_are_ignored(tmp_path: Path) -> None:
    recording(tmp_path)
    others = {
        "channels": 2,
        "start": None,
        "offset": None,
        "lang": "en",
        "segments": [{"start": 1}],
    }
    (utterance,) = read_manifest(write(tmp_path, others))
    assert utterance.part == Part()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"offset": -1.0}, "offset is -1.0 s"),
        ({"offset": "1"}, r"Expected `float \| null`, got `str` - at `\$.offset`"),
        ({"channel": -1}, "channel is -1"),
        ({"channel": [0, 1]}, r"at `\$.channel`"),
        ({"channel": 0, "channel_selector": 1}, "channel is 0 and channel_selector 1: write one"),
    ],
)
def test_a_part_that_cannot_be_is_refused(
    tmp_path: Path, line: dict[str, object], message: str
) -> None:
    recording(tmp_path)
    with pytest.raises(ManifestError, match=f"line 1: .*{message}"):
        read_manifest(write(tmp_path, line))


@pytest.mark.parametrize("duration", [3.91, 4.0, 4.09])
def test_a_duration_that_is_about_right_is_taken(tmp_path: Path, duration: float) -> None:
    recording(tmp_path)
    (utterance,) = read_manifest(write(tmp_path, {"duration": duration}))
    assert len(utterance.read()) == 64_000


@pytest.mark.parametrize("duration", [2.0, 3.85, 4.15, 40.0])
def test_a_duration_that_the_file_does_not_have_is_refused(tmp_path: Path, duration: float) -> None:
    recording(tmp_path)
    *_, utterance = read_manifest(write(tmp_path, {}, {"duration": duration}))
    with pytest.raises(
        ManifestError, match=rf"line 2: duration is {duration} s, .*a.wav has 4.000 s"
    ) as caught:
        utterance.read()
    assert caught.value.line == 2


def test_a_part_that_reaches_beyond_the_file_is_refused(tmp_path: Path) -> None:
    recording(tmp_path)
    first, second = read_manifest(
        write(tmp_path, {"offset": 3.0, "duration": 1.5}, {"offset": 5.0, "duration": 1.0})
    )
    with pytest.raises(ManifestError, match=r"line 1: .* up to 4.500 s; .*a.wav ends at 4.000 s"):
        first.read()
    with pytest.raises(AudioError, match="has 4.000 s; the part begins at 5.0 s"):
        second.read()


def test_durations_of_the_speech_pack_are_those_of_its_files(speech: Path) -> None:
    for utterance in read_manifest(speech / "formats.jsonl"):
        assert len(utterance.read()) > 0


def test_a_compressed_manifest_is_read_as_the_plain_one(tmp_path: Path) -> None:
    path = manifest(tmp_path, GOOD)
    packed = tmp_path / "set.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_manifest(packed)[0].text == read_manifest(path)[0].text
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(ManifestError, match="compressed data end"):
        read_manifest(packed)


def test_nemo_s_other_spellings_are_taken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    lines = [
        {"audio_filename": "a.wav", "normalized_text": "one", "duration": 1},
        {"audio_filepath": "a.wav", "text_filepath": "a.txt", "duration": 1},
    ]
    path = manifest(tmp_path, "\n".join(map(json.dumps, lines)))
    assert [utterance.text for utterance in read_manifest(path)] == ["one", "one two"]


def test_entries_go_on_behind_a_bad_line_and_keep_unknown_keys(tmp_path: Path) -> None:
    path = manifest(tmp_path, f"{GOOD}\nno json\n{GOOD}")
    first, bad, last = read_entries(path, Path("/mnt"))
    assert isinstance(bad, ManifestError) and bad.line == 2
    assert not isinstance(first, ManifestError) and not isinstance(last, ManifestError)
    assert (first.audio, first.extra, first.line, last.line) == ("/mnt/a.wav", {"x": 1}, 1, 3)
