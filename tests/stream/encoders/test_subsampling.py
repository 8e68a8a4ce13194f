"""Subsampling is a causal convolution over time and frequency."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream.encoders.operations import PLAIN
from stream.encoders.subsampling import STRIDES, Subsampling


def parts(joined: int) -> tuple[Subsampling, dict[str, Any]]:
    subsampling = Subsampling("s", joined, channels=3, size=7, operations=PLAIN)
    rng = np.random.default_rng(0)
    return subsampling, {n: rng.normal(0, 0.3, s) for n, s in subsampling.shapes().items()}


@pytest.mark.parametrize("joined", STRIDES)
def test_it_is_what_torch_convolves_after_zeros(joined: int) -> None:
    torch = pytest.importorskip("torch")
    subsampling, arrays = parts(joined)
    x = np.random.default_rng(1).standard_normal((2, 5 * joined, 80))
    state = tuple(leaf.astype(float) for leaf in subsampling.initial_state(2))
    got, _ = subsampling.step(arrays, x, state)
    y = torch.from_numpy(x)[:, None]
    for n, stride in enumerate(STRIDES[joined]):
        weight, bias = (torch.from_numpy(arrays[f"s.{n}.{key}"]) for key in ("weight", "bias"))
        y = torch.nn.functional.pad(y, (1, 1, stride - 1, 0))
        y = torch.nn.functional.silu(torch.nn.functional.conv2d(y, weight, bias, (stride, 2)))
    y = y.permute(0, 2, 3, 1).flatten(2).numpy()
    want = y @ arrays["s.output.weight"].T + arrays["s.output.bias"]
    assert got.shape == (2, 5, 7)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("joined", STRIDES)
def test_no_frame_sees_one_that_comes_after_it(joined: int) -> None:
    subsampling, arrays = parts(joined)
    x = np.random.default_rng(1).standard_normal((1, 4 * joined, 80))
    state = tuple(leaf.astype(float) for leaf in subsampling.initial_state(1))
    want, _ = subsampling.step(arrays, x, state)
    later = x.copy()
    later[:, 2 * joined :] = np.nan
    np.testing.assert_array_equal(subsampling.step(arrays, later, state)[0][:, :2], want[:, :2])
