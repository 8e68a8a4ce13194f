"""The normalisation between layers: masked statistics, folding, freezing."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from train.encoders.input_norm import InputNorm
from train.encoders.lstm_layer import LSTM


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def lengths_mask(lengths: list[int], count: int) -> Any:
    return torch.arange(count)[None, :] < torch.tensor(lengths)[:, None]


def learn(norm: InputNorm, x: Any) -> None:
    """Let the running statistics see a batch."""
    norm(x)
    norm.advance(torch.stack(norm.seen))


def test_training_normalises_the_masked_frames_and_only_they_count() -> None:
    norm, mask = InputNorm(6), lengths_mask([5, 9, 2], 9)
    x = torch.randn(3, 9, 6) * 3 + 2
    y = norm(x, mask)
    inside = y[mask]
    torch.testing.assert_close(inside.mean(0), torch.zeros(6), rtol=0, atol=1e-6)
    torch.testing.assert_close(inside.var(0, correction=0), torch.ones(6), rtol=1e-4, atol=0)
    x[~mask] = 1e3
    torch.testing.assert_close(norm(x, mask)[mask], inside, rtol=0, atol=1e-6)


def test_without_a_mask_all_frames_count() -> None:
    x = torch.randn(3, 9, 6)
    everything = torch.ones(3, 9, dtype=torch.bool)
    torch.testing.assert_close(InputNorm(6)(x), InputNorm(6)(x, everything), rtol=0, atol=1e-6)


def test_the_first_batch_sets_the_running_statistics_and_later_ones_move_them() -> None:
    norm = InputNorm(2, momentum=0.5)
    first, second = torch.randn(4, 5, 2) + 1, torch.randn(4, 5, 2) * 2
    learn(norm, first)
    torch.testing.assert_close(norm.mean, first.mean((0, 1)))
    torch.testing.assert_close(norm.variance, first.var((0, 1), correction=0))
    learn(norm, second)
    torch.testing.assert_close(norm.mean, (first.mean((0, 1)) + second.mean((0, 1))) / 2)


def test_the_parts_of_an_update_move_the_statistics_as_their_frames_together_do() -> None:
    x, mask = torch.randn(4, 5, 2) * 3 + 1, lengths_mask([5, 2, 3, 4], 5)
    parts, whole = InputNorm(2), InputNorm(2)
    learn(parts, torch.randn(2, 5, 2))
    whole.load_state_dict(parts.state_dict())
    whole(x, mask)
    whole.advance(torch.stack(whole.seen))
    for rows in (slice(0, 1), slice(1, 4)):
        parts(x[rows], mask[rows])
    parts.advance(torch.stack(parts.seen))
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.variance, whole.variance)
    assert parts.batches == whole.batches == 2


@pytest.mark.parametrize("how", ["eval", "frozen"])
def test_running_statistics_are_used_and_kept_outside_training(how: str) -> None:
    norm = InputNorm(6)
    learn(norm, torch.randn(3, 9, 6) * 3 + 2)
    if how == "eval":
        norm.eval()
    else:
        norm.frozen = True
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    x = torch.randn(2, 4, 6)
    y = norm(x, lengths_mask([1, 2], 4))
    scale, shift = norm.affine()
    torch.testing.assert_close(y, x * scale + shift, rtol=0, atol=0)
    torch.testing.assert_close(
        y, (x - before["mean"]) / (before["variance"] + norm.epsilon).sqrt(), rtol=0, atol=2e-6
    )
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_affine_map_folds_into_the_next_layer() -> None:
    norm, own = InputNorm(7), LSTM(7, 5, "hard")
    own.initialise(torch.Generator().manual_seed(0), scale=1.5)
    learn(norm, torch.randn(8, 30, 7) * 3 + 2)
    norm.eval()
    x = torch.randn(3, 12, 7)
    want, _ = own.step(norm(x), own.initial_state(3))
    scale, shift = norm.affine()
    with torch.no_grad():
        own.bias_ih += own.weight_ih @ shift
        own.weight_ih *= scale
    got, _ = own.step(x, own.initial_state(3))
    torch.testing.assert_close(got, want, rtol=0, atol=5e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_goes_through_the_statistics(masked: bool) -> None:
    norm = InputNorm(3).double()
    mask = lengths_mask([4, 2], 4) if masked else None
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)

    def inside(x: Any) -> Any:
        y = norm(x, mask)
        return y if mask is None else y[mask]

    assert torch.autograd.gradcheck(inside, (x,))


def test_the_normalisation_is_float32_under_autocast() -> None:
    norm = InputNorm(6)
    x = (torch.randn(3, 9, 6) * 3 + 200).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x)
    assert y.dtype == torch.float32
    assert norm.mean.dtype == torch.float32
    torch.testing.assert_close(y, InputNorm(6)(x.float()), rtol=0, atol=0)
