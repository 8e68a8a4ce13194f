"""The front end against an independent float64 evaluation of its definition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.front_end.log_mel import (
    CARD_FLOOR,
    FrontEnd,
    frame_count,
    hann,
    mel_matrix,
    streamed_log_mel,
)
from stream.front_end.stacking import stack

GENERATIONS = {"1.4": False, "1.14": True}


def definition(x: NDArray[np.float32], front_end: FrontEnd) -> NDArray[np.float64]:
    """Evaluate NUMERICS 1.1 sample by sample, frame by frame, in float64."""
    padding = front_end.window - 160 if front_end.initial_padding else 0
    signal = np.concatenate([np.zeros(padding), x.astype(np.float64)])
    emphasised = signal - 0.97 * np.concatenate([signal[:1], signal[:-1]])
    if front_end.window - 160 < len(signal) < front_end.window:
        emphasised = np.pad(emphasised, (0, front_end.window - len(signal)))
    frames = []
    for start in range(0, len(emphasised) - front_end.window + 1, 160):
        windowed = emphasised[start : start + front_end.window] * hann(front_end.window)
        k = np.arange(257)[:, None] * np.arange(front_end.window)[None, :]
        spectrum = (windowed * np.exp(-2j * np.pi * k / 512)).sum(axis=1)
        frames.append(np.log(np.maximum(front_end.floor, mel_matrix() @ np.abs(spectrum) ** 2)))
    return np.array(frames).reshape(-1, 80)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("window", [320, 400])
@pytest.mark.parametrize("samples", [1, 159, 160, 161, 240, 241, 319, 399, 400, 559, 560, 4000])
def test_log_mel_is_the_definition(generation: str, window: int, samples: int) -> None:
    x = np.random.default_rng(samples).uniform(-0.5, 0.5, samples).astype(np.float32)
    front_end = FrontEnd(window, CARD_FLOOR, GENERATIONS[generation])
    want = definition(x, front_end)
    assert frame_count(samples, front_end) == len(want)
    np.testing.assert_allclose(streamed_log_mel(x[None], front_end)[0], want, atol=1e-3)


def test_torch_computes_the_frames_of_numpy() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(0.0, 0.1, (2, 5000)).astype(np.float32)
    front_end = FrontEnd(400, 2.0**-23, initial_padding=False)
    got = streamed_log_mel(torch.from_numpy(x), front_end)
    np.testing.assert_allclose(got.numpy(), streamed_log_mel(x, front_end), atol=1e-5)


def test_digital_silence_gives_the_log_of_the_floor() -> None:
    for floor in (CARD_FLOOR, 2.0**-23):
        frames = streamed_log_mel(np.zeros((1, 1600), np.float32), FrontEnd(400, floor, True))
        np.testing.assert_array_equal(frames, np.full((1, 10, 80), np.log(np.float32(floor))))


def test_final_padding_lengthens_the_utterance_by_zeros() -> None:
    x = np.random.default_rng(1).normal(0.0, 0.1, (1, 1600)).astype(np.float32)
    longer = np.concatenate([x, np.zeros((1, 3840), np.float32)], axis=1)
    padded = streamed_log_mel(x, FrontEnd(400, CARD_FLOOR, True, final_padding=3840))
    np.testing.assert_array_equal(padded, streamed_log_mel(longer, FrontEnd(400, CARD_FLOOR, True)))


def test_a_step_of_a_broken_hop_is_refused() -> None:
    front_end = FrontEnd(400, CARD_FLOOR, True)
    with pytest.raises(ValueError, match="161 samples are not a multiple of the hop, 160"):
        front_end.step(np.zeros((1, 161), np.float32), front_end.initial_state(1))


def test_stack_joins_three_frames_oldest_first() -> None:
    frames = np.arange(6 * 80, dtype=np.float32).reshape(1, 6, 80)
    np.testing.assert_array_equal(stack(frames)[0, 1], np.arange(240, 480))
