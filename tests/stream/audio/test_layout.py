"""Where recordings end: cut short, never finished, of odd sizes, the same in every container."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.audio import (
    AudioError,
    CutShortError,
    Recording,
    containers,
    read_audio,
    read_chunks,
)
from stream.audio.source import TAIL_BYTES, Source
from tests.stream.audio.files import CONTAINERS, NOISE, PIPED, encoded, header, pcm, piped

LOSSY = ("ogg", "opus", "mp3", "adpcm.wav")
AUDIO = pcm(NOISE)


@contextmanager
def pipe(folder: Path, *pieces: bytes) -> Iterator[Path]:
    """Yield a named pipe into which pieces are written."""
    path = folder / "pipe"
    os.mkfifo(path)

    def write() -> None:
        try:
            with path.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
        except BrokenPipeError:
            pass  # the reader has seen enough

    writer = threading.Thread(target=write)
    writer.start()
    yield path
    writer.join()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("missing", ["half", "one byte", "100 bytes"])
def test_a_recording_that_is_cut_short_is_refused(
    tmp_path: Path, container: str, missing: str
) -> None:
    raw = encoded(NOISE, container)
    count = {"half": len(raw) // 2, "one byte": 1, "100 bytes": 100}[missing]
    path = tmp_path / f"a.{container}"
    path.write_bytes(raw[:-count])
    with pytest.raises(CutShortError, match=r"a\..*: is cut short: .*(only|not whole|marked)"):
        read_audio(path)


@pytest.mark.parametrize("container", ["flac", "ogg", "opus"])
@given(kept=st.integers(100, 20_000))
@settings(max_examples=25)
def test_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, container: str, kept: int
) -> None:
    raw = encoded(NOISE, container)
    path = tmp_path_factory.mktemp("cut") / "a"
    path.write_bytes(raw[: min(kept, len(raw) - 1)])
    with pytest.raises(AudioError):
        read_audio(path)


@pytest.mark.parametrize("container", PIPED)
def test_a_recording_that_went_through_a_pipe_reaches_to_the_end(
    tmp_path: Path, container: str
) -> None:
    (tmp_path / "whole").write_bytes(encoded(NOISE, container))
    (tmp_path / "piped").write_bytes(piped(container))
    want, got = read_audio(tmp_path / "whole"), read_audio(tmp_path / "piped")
    if container in LOSSY:
        assert 0 <= len(got) - len(want) < 3000  # the encoder's own delay is not known any more
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("container", ["flac", "mp3"])
def test_a_last_frame_that_is_cut_tells_where_no_size_does(tmp_path: Path, container: str) -> None:
    (tmp_path / "a").write_bytes(piped(container)[:-20])
    with pytest.raises(CutShortError, match="last frame is not whole"):
        read_audio(tmp_path / "a")


@pytest.mark.parametrize("container", [*PIPED, "ogg", "opus", "sph", "adpcm.wav"])
@pytest.mark.parametrize("finished", [True, False], ids=["with sizes", "without"])
def test_a_pipe_is_read_as_the_file_is(tmp_path: Path, container: str, finished: bool) -> None:
    raw = encoded(NOISE, container) if finished else piped(container)
    (tmp_path / "a").write_bytes(raw)
    with pipe(tmp_path, raw) as path:
        got = read_audio(path)
    want = read_audio(tmp_path / "a")
    if container in ("ogg", "opus", "mp3"):  # of a pipe FFmpeg is the decoder
        assert abs(len(got) - len(want)) < 1000
        if container != "mp3":  # whose delay it may not know
            assert np.corrcoef(got[: len(want)], want)[0, 1] > 0.95
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("container", ["flac", "ogg", "opus", "mp3"])
@pytest.mark.parametrize("media", [True, False], ids=["PyAV", "libsndfile"])
def test_a_pipe_is_decoded_as_it_comes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    container: str,
    media: bool,
) -> None:
    if media:
        pytest.importorskip("av")
    else:
        monkeypatch.setattr(containers, "find_spec", lambda name: None)
    raw = encoded(np.tile(NOISE, 8), container)
    half, heard = len(raw) // 2, threading.Event()
    path = tmp_path / "pipe"
    os.mkfifo(path)
    live = media or container == "flac"

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            file.write(raw[:half])
            assert not live or heard.wait(10)
            file.write(raw[half:])

    writer = threading.Thread(target=write)
    writer.start()
    chunks = read_chunks(path)
    first = next(chunks)
    heard.set()
    count = len(first) + sum(map(len, chunks))
    writer.join()
    assert 0 <= count - 8 * len(NOISE) < 1500
    assert ("it is transcribed when the pipe ends" in caplog.text) == (not live)


@pytest.mark.parametrize("container", ["flac", "ogg", "opus"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_a_pipe_that_breaks_off_is_cut_short_after_what_could_be_decoded(
    tmp_path: Path, container: str, kept: float
) -> None:
    pytest.importorskip("av")
    raw = encoded(np.tile(NOISE, 8), container)
    heard = 0
    with pipe(tmp_path, raw[: int(kept * len(raw))]) as path, pytest.raises(AudioError) as raised:
        for chunk in read_chunks(path):
            heard += len(chunk)
    assert heard > (kept - 0.2) * 8 * len(NOISE)
    assert re.search("is cut short|cannot be decoded after .* s, before byte", str(raised.value))


def test_what_is_remembered_of_a_pipe_is_bounded(tmp_path: Path) -> None:
    with pipe(tmp_path, b"OggS" + bytes(3 << 20)) as path:
        source = Source(path)
        source.peek(0, 16)
        while source.take(100_000):
            assert len(source.tail) <= 2 * TAIL_BYTES
        assert source.received == 4 + (3 << 20)
        assert bytes(source.tail[-TAIL_BYTES:]) == bytes(TAIL_BYTES)
        source.close()


def test_a_pipe_that_ends_too_early_is_cut_short(tmp_path: Path) -> None:
    with pipe(tmp_path, header(AUDIO)[:-1001]) as path, pytest.raises(CutShortError, match="58999"):
        read_audio(path)


def test_wav_is_decoded_from_a_pipe_as_it_comes(tmp_path: Path) -> None:
    heard = threading.Event()
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            file.write(header(AUDIO[:8000], 0xFFFFFFFF))
            assert heard.wait(10)
            file.write(AUDIO[8000:])

    writer = threading.Thread(target=write)
    writer.start()
    chunks = read_chunks(path)
    first = next(chunks)
    heard.set()
    np.testing.assert_array_equal(np.concatenate([first, *chunks]), NOISE_16)
    writer.join()


NOISE_16 = np.frombuffer(AUDIO, "<i2").astype(np.float32) / 32768


@pytest.mark.parametrize(
    "data, riff",
    [(0, 36), (0, 0), (0, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF000, 0x7FFFF024)]
    + [(0x80000000, 0x80000024), (0xFFFFFFDB, 0xFFFFFFFF)],
)
@pytest.mark.parametrize("odd", [b"", b"\1"])
def test_wav_whose_size_was_never_written(tmp_path: Path, data: int, riff: int, odd: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(header(AUDIO + odd, data, riff))
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), NOISE_16)


@pytest.mark.parametrize("odd", [1, 2, 3])
def test_half_a_frame_at_the_end_does_not_count(tmp_path: Path, odd: int) -> None:
    stereo = header(AUDIO + bytes(odd), channels=2)
    (tmp_path / "a.wav").write_bytes(stereo)
    assert len(read_audio(tmp_path / "a.wav")) == len(NOISE) // 2
    (tmp_path / "b.wav").write_bytes(header(AUDIO, len(AUDIO) + odd, channels=2))
    assert len(read_audio(tmp_path / "b.wav")) == len(NOISE) // 2


def test_an_empty_recording_with_a_note_behind_it_is_empty(tmp_path: Path) -> None:
    note = b"LIST\x0a\0\0\0INFOISFT\0\0"
    (tmp_path / "a.wav").write_bytes(header(b"", riff=36 + len(note)) + note)
    with pytest.raises(AudioError, match="holds no sample"):
        read_audio(tmp_path / "a.wav")


def test_what_stands_behind_the_audio_is_no_audio(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(header(AUDIO) + b"LIST\x04\0\0\0INFO")
    (tmp_path / "a.flac").write_bytes(encoded(NOISE, "flac") + b"TAG" + bytes(125))
    (tmp_path / "a.mp3").write_bytes(encoded(NOISE, "mp3") + b"TAG" + bytes(125))
    for name in ("a.wav", "a.flac"):
        np.testing.assert_array_equal(read_audio(tmp_path / name), NOISE_16)
    assert len(read_audio(tmp_path / "a.mp3")) == len(NOISE)


@pytest.mark.parametrize("container", ["wav", "flac", "ogg", "opus"])
@pytest.mark.parametrize("times", [1, 20])
def test_recordings_one_behind_the_other_are_refused(
    tmp_path: Path, container: str, times: int
) -> None:
    other = encoded(np.tile(NOISE, times), container)
    (tmp_path / "a").write_bytes(encoded(NOISE, container) + other)
    with pytest.raises(AudioError, match="holds several recordings"):
        read_audio(tmp_path / "a")


def test_mp3_files_one_behind_the_other_are_heard_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(2 * encoded(NOISE, "mp3"))
    assert 0 <= len(read_audio(tmp_path / "a")) - 2 * len(NOISE) < 5000


def test_a_file_of_nothing_but_empty_chunks_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF\xff\xff\xff\x7fWAVE" + b"junk\0\0\0\0" * 100_000)
    with pytest.raises(AudioError):
        read_audio(tmp_path / "a.wav")


def test_the_length_is_known_before_anything_is_decoded(tmp_path: Path) -> None:
    for container in CONTAINERS:
        (tmp_path / container).write_bytes(encoded(NOISE, container))
        with Recording(tmp_path / container) as recording:
            assert recording.seconds == pytest.approx(len(NOISE) / 16000, abs=0.04), container
    with pipe(tmp_path, header(AUDIO)) as path, Recording(path) as recording:
        assert recording.seconds is None


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
@given(flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=40)
def test_no_damaged_header_is_more_than_an_audio_error(
    tmp_path_factory: pytest.TempPathFactory, container: str, flips: list[tuple[int, int]]
) -> None:
    raw = bytearray(encoded(NOISE, container))
    for offset, value in flips:
        raw[offset] = value
    path = tmp_path_factory.mktemp("damaged") / "a"
    path.write_bytes(raw)
    try:
        samples = sum(map(len, read_chunks(path)))
    except AudioError:
        return
    # 4 kHz at the least: nothing is made longer than its frames.
    assert samples <= 4 * 16 * len(raw) + 16000
