"""The operations of a Conformer are those of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.encoders.operations import EPSILON, PLAIN

functional: Any = torch.nn.functional


def noise(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


def close(got: Any, want: Any) -> None:
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_gates_and_norms_are_those_of_torch() -> None:
    x, scale, bias = noise(2, 3, 8), noise(8), noise(9)[1:]
    close(PLAIN.silu(x), functional.silu(x))
    close(PLAIN.glu(x), functional.glu(x))
    close(PLAIN.swiglu(x), functional.silu(x[..., :4]) * x[..., 4:])
    close(PLAIN.normalise(x, scale, None), functional.rms_norm(x, (8,), scale, EPSILON))
    close(PLAIN.normalise(x, scale, bias), functional.layer_norm(x, (8,), scale, bias, EPSILON))


@pytest.mark.parametrize("kernel", [1, 4])
def test_the_depthwise_convolution_is_that_of_torch(kernel: int) -> None:
    frames, weight = noise(2, 9, 3), noise(3, kernel)
    want = functional.conv1d(frames.mT, weight[:, None], groups=3).mT
    close(PLAIN.depthwise(frames, weight), want)


def test_attention_is_that_of_torch() -> None:
    batch, groups, blocks, block, heads, size, window = 2, 2, 3, 4, 3, 6, 7
    queries = noise(batch, groups, blocks, block, heads, size)
    keys, values = (
        noise(batch, groups, blocks, window, size),
        noise(batch, groups, blocks, window, size),
    )
    seen = noise(batch, 1, blocks, block, 1, window) > 0
    seen[..., 0] = True
    got = PLAIN.attend(queries, keys, values.flip(0), seen)
    for head in range(heads):
        want = functional.scaled_dot_product_attention(
            queries[..., head, :], keys, values.flip(0), seen[:, :, :, :, 0]
        )
        close(got[..., head, :], want)


def test_a_query_that_sees_nothing_gives_zeros_and_no_nan_to_gradients() -> None:
    queries = noise(1, 1, 1, 2, 1, 4).requires_grad_()
    keys, values = (noise(1, 1, 1, 3, 4).requires_grad_() for _ in range(2))
    seen = torch.tensor([[True, False, True], [False, False, False]]).view(1, 1, 1, 2, 1, 3)
    y = PLAIN.attend(queries, keys, values, seen)
    assert y[0, 0, 0, 1].abs().sum() == 0
    y.sum().backward()
    for leaf in (queries, keys, values):
        assert torch.isfinite(leaf.grad).all()


def test_nan_reaches_only_the_queries_that_see_it() -> None:
    keys, values = noise(1, 1, 1, 3, 4), noise(1, 1, 1, 3, 4)
    keys[..., 2, :] = values[..., 2, :] = torch.nan
    seen = torch.tensor([[True, True, False], [True, True, True]]).view(1, 1, 1, 2, 1, 3)
    y = PLAIN.attend(noise(1, 1, 1, 2, 1, 4), keys, values, seen)
    assert torch.isfinite(y[0, 0, 0, 0]).all()
    assert torch.isnan(y[0, 0, 0, 1]).all()
