"""The LSTM family: its sizes, and one set of lines for NumPy and torch."""

from __future__ import annotations

import numpy as np
import pytest

from stream.encoders.lstm import LSTM
from stream.stage import map_state

RNG = np.random.default_rng(0)


def test_a_chunk_is_a_pair_of_stacked_frames() -> None:
    encoder = LSTM(1, 2, 8)
    assert (encoder.inputs, encoder.chunk_inputs, encoder.chunk_frames, encoder.size) == (
        240,
        2,
        1,
        8,
    )
    assert (encoder.chunk_samples, encoder.frame_samples) == (960, 960)
    assert encoder.chunk_seconds == encoder.frame_seconds == 0.06
    assert [encoder.frames(n) for n in (0, 1, 2, 3)] == [0, 1, 1, 2]
    assert encoder.layers() == ("encoder.pre.0", "encoder.post.0", "encoder.post.1")


@pytest.mark.torch
@pytest.mark.parametrize("number_format", ["float32", "bfp16"])
@pytest.mark.parametrize("activation", ["hard", "soft"])
def test_torch_computes_the_same_lines_and_has_gradients(
    activation: str, number_format: str
) -> None:
    import torch

    encoder = LSTM(1, 1, 8, activation, number_format)  # type: ignore[arg-type]
    arrays = {n: RNG.normal(0, 0.3, s).astype(np.float32) for n, s in encoder.shapes().items()}
    x = RNG.normal(0, 1, (2, 6, 240)).astype(np.float32)
    present = np.ones((2, 6), np.bool_)
    present[1, 3:] = False
    want, want_state = encoder.step(encoder.prepare(arrays), x, encoder.initial_state(2), present)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    got, state = encoder.step(
        encoder.prepare(tensors),
        torch.tensor(x),
        map_state(torch.from_numpy, encoder.initial_state(2)),
        torch.tensor(present),
    )
    np.testing.assert_allclose(
        got.detach().numpy(), want, rtol=0, atol=1e-2 if number_format == "bfp16" else 1e-6
    )
    map_state(
        lambda a, b: np.testing.assert_allclose(a.detach().numpy(), b, rtol=0, atol=1e-2),
        state,
        want_state,
    )
    if number_format == "float32":
        got.sum().backward()
        assert all(bool(tensor.grad.abs().sum() > 0) for tensor in tensors.values())
