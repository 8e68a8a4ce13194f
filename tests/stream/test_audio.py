"""Audio files: formats, rates and channels, chunks, and files that are not what they should be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.audio import AudioError, Resampler, read_audio, read_chunks
from stream.bundled import recordings

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 30_000).astype(np.float32)


def test_16_khz_samples_pass_bit_for_bit() -> None:
    path = recordings()[0].audio
    np.testing.assert_array_equal(read_audio(path), soundfile.read(path, dtype="float32")[0])


def test_channels_are_averaged_and_floats_are_not_clipped(tmp_path: Path) -> None:
    stereo = np.stack([np.full(500, 1.5), np.full(500, 2.5)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), np.full(500, 2.0, np.float32))


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_tone_keeps_its_frequency_at_any_rate(tmp_path: Path, rate: int) -> None:
    time = np.arange(2 * rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * time), rate)
    samples = read_audio(tmp_path / "a.wav")
    assert abs(len(samples) - 32000) <= 2
    spectrum = np.abs(np.fft.rfft(samples[8000:24000]))
    assert np.argmax(spectrum) == 1000


@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=8))
@settings(max_examples=20)
def test_any_chunking_resamples_to_the_same_samples(cuts: list[int]) -> None:
    whole, pieces = Resampler(22050), Resampler(22050)
    want = np.concatenate([whole.push(NOISE), whole.finish()])
    got = [pieces.push(piece) for piece in np.split(NOISE, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate([*got, pieces.finish()]), want)


def test_chunks_are_at_most_a_second(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.tile(NOISE, 4), 16000)
    sizes = [len(chunk) for chunk in read_chunks(tmp_path / "a.wav")]
    assert max(sizes) <= 16000
    assert sum(sizes) == 120_000


def test_every_format_of_the_speech_pack_is_read(speech: Path) -> None:
    for line in (speech / "formats.jsonl").read_text().splitlines():
        entry = json.loads(line)
        seconds = len(read_audio(speech / entry["audio_filepath"])) / 16000
        assert abs(seconds - entry["duration"]) < 0.02, entry["audio_filepath"]


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
    for name, content in {"empty.wav": b"", "text.wav": b"RIFF not really audio" * 9}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AudioError, match=f"{name}: cannot be decoded"):
            read_audio(tmp_path / name)


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16000)
    with pytest.raises(AudioError, match=r"a\.wav: holds no sample"):
        read_audio(tmp_path / "a.wav")


def test_a_sample_that_is_not_finite_is_named_with_its_time(tmp_path: Path) -> None:
    samples = np.zeros(40_000, np.float32)
    samples[24_000] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"sample 24000 \(1.500 s\) is nan"):
        read_audio(tmp_path / "a.wav")


def test_a_truncated_file_is_refused_and_not_taken_for_a_short_one(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE, 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"a\.flac: (breaks off|cannot be decoded)"):
        read_audio(path)
