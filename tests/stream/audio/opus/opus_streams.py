"""A second of a tone as Opus: bare packets, and in the containers in which it is streamed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av", reason="PyAV is not installed: pip install rill-asr[media]")
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)


def frames() -> Iterator[Any]:
    for start in range(0, len(TONE), 320):
        frame = av.AudioFrame.from_ndarray(TONE[None, start : start + 320], "flt", "mono")
        frame.sample_rate, frame.pts = 16_000, start
        yield frame


def packets() -> list[bytes]:
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = 16_000, "flt", "mono"
    encoder.options = {"frame_duration": "20"}
    return [bytes(packet) for frame in [*frames(), None] for packet in encoder.encode(frame)]


def container(name: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=name) as output:
        stream: Any = output.add_stream("libopus", rate=16_000)
        stream.layout = "mono"
        for frame in [*frames(), None]:
            output.mux(stream.encode(frame))
    return file.getvalue()


CONTENT = {"ogg": container("ogg"), "webm": container("webm")}
