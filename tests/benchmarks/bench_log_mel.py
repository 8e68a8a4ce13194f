"""Log-mel: seconds per second of audio, whole and in chunks of 60 ms, against the float64 definition.

The definition is what NUMERICS 1.1 says, frame by frame with a library's transform. `extra_info` has the
front end's RTF and the ratio to the definition's in the same run.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.front_end.log_mel import CARD_FLOOR, FrontEnd, hann, mel_matrix, streamed_log_mel

SECONDS = 10.0
WINDOW = 400
FRONT_END = FrontEnd(WINDOW, CARD_FLOOR, initial_padding=True)


def definition(x: NDArray[np.float32]) -> NDArray[np.float64]:
    signal = np.concatenate([np.zeros(WINDOW - 160), x.astype(np.float64)])
    emphasised = signal - 0.97 * np.concatenate([signal[:1], signal[:-1]])
    frames = []
    for start in range(0, len(signal) - WINDOW + 1, 160):
        spectrum = np.fft.rfft(emphasised[start : start + WINDOW] * hann(WINDOW), 512)
        frames.append(np.log(np.maximum(CARD_FLOOR, mel_matrix() @ np.abs(spectrum) ** 2)))
    return np.array(frames)


def in_chunks(x: NDArray[np.float32]) -> NDArray[np.float32]:
    state, frames = FRONT_END.initial_state(len(x)), []
    for begin in range(0, x.shape[1] - 959, 960):
        y, state = FRONT_END.step(x[:, begin : begin + 960], state)
        frames.append(y)
    return np.concatenate(frames, axis=1)


def whole(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(streamed_log_mel(x, FRONT_END))


@pytest.mark.parametrize("channels", [1, 16])
@pytest.mark.parametrize("way", [whole, in_chunks])
def test_log_mel_per_second_of_audio(benchmark: Any, way: Any, channels: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.0, 0.1, (channels, int(SECONDS * 16_000))).astype(np.float32)
    began = time.perf_counter()
    want = definition(x[0])
    seconds_defined = time.perf_counter() - began
    frames = way(x)
    np.testing.assert_allclose(frames[0], want[: frames.shape[1]], atol=1e-3)

    benchmark.pedantic(way, args=(x,), rounds=5, warmup_rounds=1)
    rtf = benchmark.stats.stats.min / (channels * SECONDS)
    benchmark.extra_info["rtf"] = rtf
    benchmark.extra_info["times_as_fast_as_the_definition"] = seconds_defined / SECONDS / rtf
