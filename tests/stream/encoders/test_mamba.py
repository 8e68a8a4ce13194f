"""Mamba-2: the matrix form gives what the recurrence gives, and frames that are absent or to come nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.encoders.mamba import Mamba, recurrence, scan
from stream.encoders.norm import Norm
from stream.encoders.operations import PLAIN


def drawn(frames: int, seed: int = 0, decay: float = 1.0) -> list[Any]:
    """Return u, decay, b, c and the state before: 2 rows, 3 heads of size 4, a state of 5."""
    rng = np.random.default_rng(seed)
    u, b, c = (rng.standard_normal((2, frames, *shape)) for shape in ((3, 4), (5,), (5,)))
    return [
        u,
        -decay * rng.exponential(size=(2, frames, 3)),
        b,
        c,
        rng.standard_normal((2, 3, 4, 5)),
    ]


@given(frames=st.integers(1, 40), block=st.integers(1, 12), seed=st.integers(0, 9))
def test_the_scan_gives_what_the_recurrence_gives(frames: int, block: int, seed: int) -> None:
    given_ = drawn(frames, seed)
    for got, want in zip(scan(*given_, block=block), recurrence(*given_), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-11)


def test_decays_of_any_strength_are_finite_and_have_gradients() -> None:
    torch = pytest.importorskip("torch")
    for decay in (0.0, 1e-3, 1e3, 1e6):
        leaves = [torch.tensor(a, requires_grad=True) for a in drawn(40, decay=decay)]
        outputs = scan(*leaves)
        sum(output.sum() for output in outputs).backward()
        for leaf in (*leaves, *outputs):
            assert torch.isfinite(leaf).all()
        assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)


def test_the_scan_has_the_gradients_of_the_recurrence() -> None:
    torch = pytest.importorskip("torch")
    found = []
    for form in (scan, recurrence):
        leaves = [torch.tensor(a, requires_grad=True) for a in drawn(37)]
        y, after = form(*leaves)
        (y.square().sum() + after.square().sum()).backward()
        found.append([leaf.grad.numpy() for leaf in leaves])
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_absent_frames_leave_the_state_as_it_is() -> None:
    norm = Norm("m.norm", 8, "rms", PLAIN)
    mamba = Mamba("m", norm, Norm("m.output_norm", 16, "rms", PLAIN), 4, 3, PLAIN)
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 0.5, shape) for name, shape in mamba.shapes().items()}
    x = rng.standard_normal((1, 9, 8))
    present = np.arange(9)[None] < 5
    before = tuple(leaf.astype(float) for leaf in mamba.initial_state(1))
    want, (_, recurrent) = mamba.advance(arrays, x[:, :5], before, None)
    got, (frames, after) = mamba.advance(arrays, x, before, present)
    np.testing.assert_allclose(got[:, :5], want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(after, recurrent, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(frames[:, 5:], 0.0)
