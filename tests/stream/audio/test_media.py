"""What phones and browsers record, decoded by PyAV; skipped where it is not installed."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.audio import (
    AudioError,
    CutShortError,
    FormatError,
    Part,
    Recording,
    read_audio,
    read_chunks,
)
from tests.stream.audio.test_layout import pipe

av: Any = pytest.importorskip("av", reason="needs PyAV: pip install 'rill-asr[media]'")

SECONDS, RATE = 2.0, 48000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * RATE) / RATE)).astype(np.float32)
CONTAINERS = {  # what users call it -> muxer, codec
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "mov": ("mov", "aac"),
    "webm": ("webm", "libopus"),
    "mka": ("matroska", "aac"),
    "aac": ("adts", "aac"),
}


def recorded(
    container: str, samples: NDArray[np.float32] = TONE, tracks: int = 1, **options: str
) -> bytes:
    """Return samples, (n,) or (2, n) at 48 kHz, in a container."""
    muxer, codec = CONTAINERS[container]
    file = io.BytesIO()
    layout = "mono" if samples.ndim == 1 else "stereo"
    with av.open(file, "w", format=muxer, options=options) as output:
        streams = [output.add_stream(codec, rate=RATE, layout=layout) for _ in range(tracks)]
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(np.atleast_2d(samples), "fltp", layout)
            frame.sample_rate = RATE
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                output.mux(packet)
    return file.getvalue()


def written(folder: Path, content: bytes) -> Path:
    path = folder / "a"
    path.write_bytes(content)
    return path


def check_tone(samples: NDArray[np.float32], seconds: float = SECONDS) -> None:
    """Check that samples at 16 kHz are the tone."""
    assert len(samples) / 16000 == pytest.approx(seconds, abs=0.1)
    middle = samples[4000:12000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert np.abs(np.fft.rfft(middle)).argmax() * 2 == 440


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_recording_is_told_by_its_content_and_decoded(tmp_path: Path, container: str) -> None:
    path = written(tmp_path, recorded(container))
    check_tone(read_audio(path))
    check_tone(read_audio("in memory", content=path.read_bytes()))


def test_two_channels_are_mixed_and_each_can_be_meant(tmp_path: Path) -> None:
    path = written(tmp_path, recorded("m4a", np.stack([TONE, np.zeros_like(TONE)])))
    check_tone(2 * read_audio(path))
    check_tone(read_audio(path, Part(channel=0)))


def test_a_part_is_that_of_the_whole(tmp_path: Path) -> None:
    path = written(tmp_path, recorded("mp4"))
    whole, part = read_audio(path), read_audio(path, Part(0.5, 0.25))
    assert len(part) == 4000
    np.testing.assert_allclose(part[500:3500], whole[8500:11500], atol=1e-3)


@pytest.mark.parametrize("container", ["mp4", "webm", "mka"])
def test_a_recording_that_is_cut_short_is_refused(tmp_path: Path, container: str) -> None:
    content = recorded(container)
    path = written(tmp_path, content[: len(content) // 2])
    with pytest.raises(AudioError, match="is cut short: its header says|cannot be decoded"):
        read_audio(path)


def test_a_recorder_that_gives_no_length_is_read_to_the_end(tmp_path: Path) -> None:
    path = written(tmp_path, recorded("webm", live="1"))
    with Recording(path) as recording:
        assert recording.seconds is None
        check_tone(np.concatenate(list(recording.blocks())))


def test_of_several_tracks_the_first_is_heard_and_it_is_said(tmp_path: Path) -> None:
    with Recording(written(tmp_path, recorded("mka", tracks=2))) as recording:
        check_tone(np.concatenate(list(recording.blocks())))
        assert recording.notes == ["it has 2 sound tracks; the first is heard alone"]


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("mpeg4", rate=25, width=16, height=16, pix_fmt="yuv420p")
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
        for packet in [*stream.encode(picture), *stream.encode(None)]:
            output.mux(packet)
    with pytest.raises(AudioError, match="cannot be decoded: it has no sound track"):
        read_audio(written(tmp_path, file.getvalue()))


@pytest.mark.parametrize("container", ["webm", "aac"])
def test_a_pipe_is_decoded_as_it_comes(tmp_path: Path, container: str) -> None:
    content = recorded(container, **({"cluster_time_limit": "200"} if container == "webm" else {}))
    heard = threading.Event()
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            assert heard.wait(10)
            file.write(content[len(content) // 2 :])

    writer = threading.Thread(target=write)
    writer.start()
    chunks = read_chunks(path)
    first = next(chunks)
    heard.set()
    check_tone(np.concatenate([first, *chunks]))
    writer.join()


def test_a_pipe_whose_table_is_at_the_end_is_read_whole(tmp_path: Path) -> None:
    content = recorded("m4a")
    with pipe(tmp_path, content) as path:
        got = read_audio(path)
    np.testing.assert_array_equal(got, read_audio(written(tmp_path, content)))


@pytest.mark.parametrize("head", [b"#EXTM3U\nfile:///etc/passwd", b"ffconcat version 1.0\n"])
def test_lists_of_other_files_are_no_recordings(tmp_path: Path, head: bytes) -> None:
    with pytest.raises(FormatError, match="is not in a format that Rill reads"):
        read_audio(written(tmp_path, head))


DAMAGED = {name: recorded(name, TONE[:24000]) for name in ("m4a", "webm", "aac")}


@given(
    container=st.sampled_from(sorted(DAMAGED)),
    flips=st.lists(st.tuples(st.integers(12, 4000), st.integers(0, 255)), max_size=20),
)
@settings(max_examples=60)
def test_damage_is_an_error_of_the_recording_or_is_heard(
    container: str, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(DAMAGED[container])
    for at, value in flips:
        content[at % len(content)] = value if at % len(content) > 11 else content[at % len(content)]
    try:
        samples = read_audio("damaged", content=bytes(content))
    except (AudioError, CutShortError):
        return
    assert np.isfinite(samples).all()
