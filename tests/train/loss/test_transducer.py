"""The transducer loss against all alignments counted one by one, gradients by gradcheck."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.places import REPOSITORY
from tests.train.compute.elsewhere import DEVICE, Elsewhere
from tests.train.compute.live_bytes import LiveBytes
from train.loss.transducer import Penalties, joint_transducer_loss, transducer_loss

LENGTHS, LABELS = torch.tensor([4, 2, 3]), torch.tensor([2, 0, 3])
TARGETS = torch.tensor([[1, 3, 0], [0, 0, 0], [2, 2, 1]])
CLASSES = 6


def logits(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 4, 4, CLASSES, generator=generator, dtype=torch.float64)


def brute_force(scores: Tensor, row: int, penalties: Penalties) -> float:
    """Sum the probability of every path through one row's lattice."""
    lp = scores[row].log_softmax(-1).numpy()
    steps, labels = int(LENGTHS[row]), int(LABELS[row])
    ids = TARGETS[row].tolist()
    blank = CLASSES - 1

    @functools.cache
    def on(t: int, u: int) -> float:
        early = (steps - 1) / 2 - t
        after_star = u > 0 and ids[u - 1] == penalties.star
        move = np.log(penalties.star_penalty) if after_star else lp[t, u, blank]
        paths = []
        if t == steps - 1 and u == labels:
            paths.append(move)
        if t < steps - 1:
            paths.append(move + on(t + 1, u))
        if u < labels:
            if ids[u] == penalties.star:
                emit = penalties.delay * early
            else:
                emit = lp[t, u, ids[u]] + penalties.delay * early
                emit += penalties.eos_penalty * early if ids[u] == penalties.eos else 0.0
            paths.append(emit + on(t, u + 1))
        return float(np.logaddexp.reduce(paths)) if paths else -np.inf

    return -on(0, 0)


@pytest.mark.parametrize(
    "penalties",
    [
        Penalties(),
        Penalties(delay=0.3),
        Penalties(eos=3, eos_penalty=0.5),
        Penalties(star=2, star_penalty=0.7),
        Penalties(0.1, 3, 0.2, 2, 0.6),
    ],
)
def test_the_loss_is_the_sum_over_all_alignments(penalties: Penalties) -> None:
    got = transducer_loss(logits(), TARGETS, LENGTHS, LABELS, CLASSES - 1, penalties)
    want = [brute_force(logits(), row, penalties) for row in range(3)]
    np.testing.assert_allclose(got.numpy(), want, atol=1e-10)


def test_the_gradient_is_the_derivative() -> None:
    def loss(scores: Tensor) -> Tensor:
        penalties = Penalties(0.1, 3, 0.2, 2, 0.6)
        return transducer_loss(scores, TARGETS, LENGTHS, LABELS, CLASSES - 1, penalties)

    assert torch.autograd.gradcheck(loss, logits().requires_grad_())


def test_the_gradient_may_take_the_place_of_the_logits() -> None:
    def gradient(*, overwrite: bool) -> Tensor:
        leaf = logits().requires_grad_()
        args = (TARGETS, LENGTHS, LABELS, CLASSES - 1)
        losses = transducer_loss(2.0 * leaf, *args, overwrite=overwrite)
        losses.sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    assert torch.equal(gradient(overwrite=True), gradient(overwrite=False))


def test_logits_that_autograd_still_needs_are_not_overwritten_unnoticed() -> None:
    scores = logits().requires_grad_().exp()  # its derivative is its result
    loss = transducer_loss(scores, TARGETS, LENGTHS, LABELS, CLASSES - 1, overwrite=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.sum().backward()


def joint(seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    return draw(3, 4, 5), draw(3, 4, 5), draw(CLASSES, 5), draw(CLASSES)


def test_the_fused_loss_is_that_of_the_joint_and_its_gradient_too() -> None:
    def fused(*tensors: Tensor) -> Tensor:
        return joint_transducer_loss(*tensors, TARGETS, LENGTHS, LABELS)

    f, g, weight, bias = joint()
    scores = torch.relu(f[:, :, None] + g[:, None]) @ weight.t() + bias
    want = transducer_loss(scores, TARGETS, LENGTHS, LABELS, CLASSES - 1)
    torch.testing.assert_close(fused(f, g, weight, bias), want, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(fused, (f, g, weight, bias))


@pytest.mark.parametrize("penalties", [Penalties(), Penalties(0.1, 3, 0.2, 2, 0.6)])
def test_another_device_gives_the_same_losses_and_gradients(penalties: Penalties) -> None:
    tensors = joint()
    arguments = TARGETS, LENGTHS, LABELS
    losses = joint_transducer_loss(*tensors, *arguments, penalties=penalties)
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    want = torch.autograd.grad((losses * weights).sum(), tensors)
    scores = logits().requires_grad_()
    of_scores = transducer_loss(scores, *arguments, CLASSES - 1, penalties)
    (want_scores,) = torch.autograd.grad((of_scores * weights).sum(), scores)
    with Elsewhere():
        there = [tensor.detach().to(DEVICE).requires_grad_() for tensor in tensors]
        moved = [tensor.to(DEVICE) for tensor in arguments]
        got_losses = joint_transducer_loss(*there, *moved, penalties=penalties)
        got = torch.autograd.grad((got_losses * weights.to(DEVICE)).sum(), there)
        theirs = logits().to(DEVICE).requires_grad_()
        got_of_scores = transducer_loss(theirs, *moved, CLASSES - 1, penalties)
        (got_scores,) = torch.autograd.grad((got_of_scores * weights.to(DEVICE)).sum(), theirs)
        results = [x.cpu() for x in (got_losses, got_of_scores, got_scores, *got)]
    for one, other in zip(results, (losses, of_scores, want_scores, *want), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_joint_in_small_chunks_takes_less_memory_and_gives_the_same_gradient(
    dropout: float,
) -> None:
    generator = torch.Generator().manual_seed(0)
    f, g = torch.randn(4, 40, 64, generator=generator), torch.randn(4, 21, 64, generator=generator)
    weight, bias = torch.randn(500, 64, generator=generator), torch.zeros(500)
    targets = torch.randint(499, (4, 20), generator=generator)
    lengths, labels = torch.tensor([40, 30, 40, 20]), torch.tensor([20, 20, 3, 9])

    def run(megabytes: float) -> tuple[list[Tensor], int]:
        leaves = [x.clone().requires_grad_() for x in (f, g, weight, bias)]
        torch.manual_seed(0)
        with LiveBytes() as memory:
            losses = joint_transducer_loss(
                *leaves, targets, lengths, labels, dropout=dropout, megabytes=megabytes
            )
            losses.sum().backward()
        gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
        return [losses.detach(), *gradients], memory.peak

    whole, most = run(1024.0)
    parts, least = run(0.25)
    assert most > 4 * 500 * int((lengths * (labels + 1)).sum())  # the logits, as a whole
    assert 5 * least < most
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_dropout_has_one_mask_for_forward_and_backward() -> None:
    def seeded(*tensors: Tensor) -> Tensor:
        torch.manual_seed(5)
        return joint_transducer_loss(*tensors, TARGETS, LENGTHS, LABELS, dropout=0.4)

    assert torch.autograd.gradcheck(seeded, joint())
    plain = joint_transducer_loss(*joint(), TARGETS, LENGTHS, LABELS)
    assert not torch.equal(seeded(*joint()), plain)


def quantised_joint(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return f, g, weight and bias that are integers times powers of two; the hidden vector is cut
    off at both ends."""
    generator = torch.Generator().manual_seed(3)

    def draw(most: int, exponent: int, *shape: int) -> Tensor:
        whole = torch.randint(-most, most, shape, generator=generator).to(dtype)
        return (whole / 2.0**exponent).requires_grad_()

    e = draw(10000, 11, 3, 4, 5), draw(10000, 11, 3, 4, 5)
    return *e, draw(127, 7, CLASSES, 5), draw(1000, 12, CLASSES)


@pytest.mark.parametrize("weights", [torch.float32, torch.float64])
def test_the_fused_loss_of_a_quantised_joint_is_that_of_its_logits(weights: torch.dtype) -> None:
    f, g, weight, bias = quantised_joint(torch.float32)
    real = torch.relu(f[:, :, None] + g[:, None])
    kept = torch.where((real * 32).detach().round() <= 255, real, real.detach())
    rounded = (real * 32).round().clamp(max=255) / 32
    assert (rounded == 255 / 32).any()
    hidden = rounded.detach() + (kept - kept.detach())
    want = transducer_loss(hidden @ weight.t() + bias, TARGETS, LENGTHS, LABELS, CLASSES - 1)
    got = joint_transducer_loss(
        f, g, weight.to(weights), bias.to(weights), TARGETS, LENGTHS, LABELS, exponent=5
    )
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)
    tensors = (f, g, weight, bias)
    slow, fast = (torch.autograd.grad(loss.sum(), tensors) for loss in (want, got))
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_dropout_of_a_quantised_joint_scales_what_was_rounded() -> None:
    f, g, weight, bias = quantised_joint(torch.float32)

    def seeded(exponent: int) -> Tensor:
        torch.manual_seed(5)
        return joint_transducer_loss(
            f, g, weight, bias, TARGETS, LENGTHS, LABELS, dropout=0.4, exponent=exponent
        )

    plain = joint_transducer_loss(f, g, weight, bias, TARGETS, LENGTHS, LABELS, exponent=5)
    assert torch.equal(seeded(5), seeded(5))
    assert not torch.equal(seeded(5), plain)
    (gradient,) = torch.autograd.grad(seeded(5).sum(), f)
    assert (gradient != 0).any()


def test_padding_changes_nothing() -> None:
    scores = logits()
    changed = scores.clone()
    changed[1, 2:] = 1e3  # past row 1's steps
    changed[1, :, 1:] = torch.nan  # past its labels
    args = (TARGETS, LENGTHS, LABELS, CLASSES - 1)
    torch.testing.assert_close(transducer_loss(scores, *args), transducer_loss(changed, *args))


@pytest.mark.parametrize(
    ("steps", "labels", "targets", "message"),
    [
        ([4, 0, 3], [2, 0, 3], TARGETS, "row 1 has 0 steps"),
        ([4, 2, 3], [2, 0, 4], TARGETS, "row 2 has 3 steps .* and 4 labels"),
        ([4, 2, 3], [2, 0, 3], TARGETS + 4, r"row 0 has targets \[5, 7\]"),
        ([4, 2], [2, 0, 3], TARGETS, "3 rows of scores, 3 of targets, 2 and 3 lengths"),
    ],
)
def test_lengths_and_targets_that_do_not_fit_are_named(
    steps: list[int], labels: list[int], targets: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        transducer_loss(logits(), targets, torch.tensor(steps), torch.tensor(labels), CLASSES - 1)


MEMORY = """
import resource, torch
from train.loss.transducer import joint_transducer_loss
torch.set_num_threads(1)
def run(b, t, u, v, j):
    f, g = torch.randn(b, t, j, requires_grad=True), torch.randn(b, u + 1, j, requires_grad=True)
    w, bias = torch.randn(v, j, requires_grad=True), torch.zeros(v, requires_grad=True)
    y = torch.randint(0, v - 1, (b, u))
    lengths = torch.full((b,), t), torch.full((b,), u)
    joint_transducer_loss(f, g, w, bias, y, *lengths).sum().backward()
run(2, 4, 3, 1024, 512)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(8, 100, 30, 1024, 512)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_the_logits_never_exist_as_a_whole() -> None:
    logits_mib = 8 * 100 * 31 * 1024 * 4 / 2**20
    root = REPOSITORY
    out = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, cwd=root
    ).stdout
    assert float(out) < logits_mib / 2
