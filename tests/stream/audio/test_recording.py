"""Audio files: formats, rates and channels, chunks, and files that are not what they should be."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.audio import AudioError, Recording, Resampler, TooLongError, read_audio, read_chunks
from stream.bundled import recordings
from tests.stream.audio.files import header

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


@pytest.mark.parametrize("value", [1e30, -2e4, np.inf])
def test_a_sample_that_is_no_audio_is_named(tmp_path: Path, value: float) -> None:
    samples = np.zeros(40_000, np.float32)
    samples[24_000] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(
        AudioError, match=rf"sample 24000 \(1.500 s\) is {value:g}".replace("+", ".")
    ):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("rate", [1, 3999, 384_001, 2_000_000_000])
def test_a_rate_that_is_no_recording_s_is_refused(tmp_path: Path, rate: int) -> None:
    (tmp_path / "a.wav").write_bytes(header(bytes(1000), rate=rate))
    with pytest.raises(AudioError, match=f"rate of {rate} Hz; want 4000 to 384000"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "fields",
    [{"channels": 0}, {"channels": 65535}, {"align": 0}, {"bits": 0}, {"tag": 0x5555}, {"rate": 0}],
    ids=str,
)
def test_a_header_that_makes_no_sense_is_an_error_of_one_line(
    tmp_path: Path, fields: dict[str, int]
) -> None:
    (tmp_path / "a.wav").write_bytes(header(bytes(1000), **fields))
    try:
        read_audio(tmp_path / "a.wav")
    except AudioError as error:
        assert len(str(error).splitlines()) == 1


def test_a_block_is_a_megabyte_at_most_however_many_channels(tmp_path: Path) -> None:
    many = np.zeros((2000, 1000), np.float32)
    soundfile.write(tmp_path / "a.wav", many, 16_000, subtype="PCM_16")
    with Recording(tmp_path / "a.wav") as recording:
        assert all(len(block) < 300 for block in recording.blocks())


def test_a_recording_that_is_too_long_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(32_001), 16000)
    with pytest.raises(TooLongError, match="longer than 2 s"):
        Recording(tmp_path / "a.wav", most_seconds=2)
    with Recording(tmp_path / "a.wav", most_seconds=2.1) as recording:
        assert sum(map(len, recording.blocks())) == 32_001


@pytest.mark.parametrize("peak, said", [(0.0, "is 0"), (0.0005, "is 66 dB below full scale")])
def test_a_recording_in_which_nothing_can_be_heard_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, peak: float, said: str
) -> None:
    soundfile.write(tmp_path / "a.wav", peak * 2 * NOISE, 16000, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        read_audio(tmp_path / "a.wav")
    (message,) = caplog.messages
    assert f"its loudest sample {said}; nothing can be heard in it" in message


def test_speech_at_its_usual_level_is_not_remarked_upon(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read_audio(recordings()[0].audio)
    assert not caplog.messages


def test_bytes_in_memory_are_decoded_as_the_file_that_holds_them(speech: Path) -> None:
    paths = sorted((speech / "audio" / "formats").iterdir())
    assert len({path.suffix for path in paths}) >= 4
    for path in paths:
        content = path.read_bytes()
        got = read_audio("archive.tar/member", content=content)
        np.testing.assert_array_equal(got, read_audio(path))


def test_bytes_that_are_no_recording_are_an_error_with_their_name() -> None:
    with pytest.raises(AudioError, match=r"archive.tar/member: is empty"):
        read_audio("archive.tar/member", content=b"")


def test_a_flac_file_shorter_than_a_tag_of_an_mp3_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.full(4000, 0.25), 16000)
    assert (tmp_path / "a.flac").stat().st_size < 128
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac"), np.full(4000, 0.25, np.float32))
