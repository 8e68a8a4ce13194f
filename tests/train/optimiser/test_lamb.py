"""LAMB against its formula and against Adam."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.optimiser.lamb import Lamb


def weights(seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        for shape in ((4, 3), (5,))
    ]


def give_gradients(parameters: list[torch.nn.Parameter], seed: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in parameters:
        p.grad = scale * torch.randn(p.shape, generator=generator, dtype=p.dtype)


def test_without_decay_lamb_is_adam() -> None:
    ours, theirs = weights(), weights()
    lamb = Lamb(ours, lr=0.01, weight_decay=0.0, eps=1e-8, max_norm=1e9)
    adam = torch.optim.Adam(theirs, lr=0.01, eps=1e-8)
    for seed in range(20):
        give_gradients(ours, seed)
        give_gradients(theirs, seed)
        lamb.step()
        adam.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_without_its_trust_ratio_lamb_is_adamw(decay: float) -> None:
    ours, theirs = weights(), weights()
    lamb = Lamb(ours, lr=0.01, weight_decay=decay, eps=1e-8, max_norm=1e9, trust_ratio=False)
    adamw = torch.optim.AdamW(theirs, lr=0.01, weight_decay=decay, eps=1e-8)
    for seed in range(20):
        give_gradients(ours, seed)
        give_gradients(theirs, seed)
        lamb.step()
        adamw.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def by_the_book(
    w: list[np.ndarray],
    gradients: list[list[np.ndarray]],
    rates: list[float],
    decay: float,
    max_norm: float,
) -> list[np.ndarray]:
    """LAMB as its formula is printed: one list of gradients and one rate per tensor."""
    w, m, v = [x.copy() for x in w], [0.0 * x for x in w], [0.0 * x for x in w]
    for t, step in enumerate(gradients, 1):
        norm = np.sqrt(sum((g * g).sum() for g in step))
        for k, g in enumerate(step):
            g = g * min(1.0, max_norm / norm)
            m[k] = 0.9 * m[k] + 0.1 * g
            v[k] = 0.98 * v[k] + 0.02 * g * g
            u = m[k] / (1 - 0.9**t) / (np.sqrt(v[k] / (1 - 0.98**t)) + 1e-9) + decay * w[k]
            of_weight, of_update = np.linalg.norm(w[k]), np.linalg.norm(u)
            trust = of_weight / of_update if decay and of_weight and of_update else 1.0
            w[k] = w[k] - rates[k] * trust * u
    return w


@pytest.mark.parametrize("decay", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_many_steps_of_groups_are_those_of_the_book(decay: float, max_norm: float) -> None:
    rng = np.random.default_rng(4)
    start = [rng.normal(size=(4, 3)), np.zeros(5), rng.normal(size=(2,))]  # a bias starts at zero
    gradients = [[rng.normal(0, 10.0**-k, w.shape) for w in start] for k in (0, 0, 1, 1, 3, 3, 0)]
    parameters = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in start]
    lamb = Lamb(
        [{"params": parameters[:2]}, {"params": parameters[2:]}],
        betas=(0.9, 0.98),
        weight_decay=decay,
        max_norm=max_norm,
    )
    for step in gradients:
        lamb.param_groups[0]["lr"], lamb.param_groups[1]["lr"] = 0.02, 0.005
        for p, g in zip(parameters, step, strict=True):
            p.grad = torch.from_numpy(g.copy())
        lamb.step()
    want = by_the_book(start, gradients, [0.02, 0.02, 0.005], decay, max_norm)
    for p, w in zip(parameters, want, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), w, rtol=0, atol=1e-12)


def test_a_step_leaves_the_gradients_and_what_has_none_as_they_are() -> None:
    parameters = weights()
    give_gradients(parameters, 1, scale=100.0)
    gradient, parameters[1].grad = parameters[0].grad.clone(), None
    before = [p.detach().clone() for p in parameters]
    lamb = Lamb(parameters)
    assert lamb.step() == pytest.approx(float(gradient.norm()))
    assert torch.equal(parameters[0].grad, gradient)
    assert not torch.equal(parameters[0], before[0])
    assert torch.equal(parameters[1], before[1])
    parameters[0].grad = None
    assert lamb.step() == 0.0


def test_gradients_whose_squares_overflow_float32_still_make_a_step() -> None:
    large, small = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    large.grad, small.grad = torch.tensor([3e30, -4e30]), torch.tensor([0.6, -0.8])
    assert Lamb([large]).step() == pytest.approx(5e30, rel=1e-6)
    Lamb([small]).step()
    assert bool(large.detach().isfinite().all())
    torch.testing.assert_close(large, small)


def test_two_steps_are_those_of_the_formula() -> None:
    parameters = weights()
    lamb = Lamb(parameters, lr=0.01, weight_decay=0.1, max_norm=1e9)
    want = [p.detach().clone() for p in parameters]
    m = [torch.zeros_like(p) for p in want]
    v = [torch.zeros_like(p) for p in want]
    for t in (1, 2):
        give_gradients(parameters, t)
        for k, p in enumerate(parameters):
            g = p.grad
            m[k] = 0.9 * m[k] + 0.1 * g
            v[k] = 0.999 * v[k] + 0.001 * g * g
            u = (m[k] / (1 - 0.9**t)) / ((v[k] / (1 - 0.999**t)).sqrt() + 1e-9) + 0.1 * want[k]
            want[k] = want[k] - 0.01 * want[k].norm() / u.norm() * u
        lamb.step()
    for p, w in zip(parameters, want, strict=True):
        torch.testing.assert_close(p.detach(), w, rtol=0, atol=1e-12)


def test_the_norm_is_clipped_over_all_tensors_together() -> None:
    clipped, small = weights(), weights()
    give_gradients(clipped, 3, scale=50.0)
    norm = math.sqrt(sum(float((p.grad**2).sum()) for p in clipped))
    for p, q in zip(clipped, small, strict=True):
        q.grad = p.grad / norm
    first, second = Lamb(clipped, eps=1.0, max_norm=1.0), Lamb(small, eps=1.0, max_norm=1e9)
    assert first.step() == pytest.approx(norm)
    second.step()
    for p, q in zip(clipped, small, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(bad: float) -> None:
    parameters = weights()
    before = [p.detach().clone() for p in parameters]
    lamb = Lamb(parameters)
    give_gradients(parameters, 0)
    parameters[1].grad[2] = bad
    assert not math.isfinite(lamb.step())
    assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))
    assert not lamb.state


def test_a_saved_optimiser_goes_on_bit_for_bit() -> None:
    straight, halves = weights(), weights()
    one, two = Lamb(straight), Lamb(halves)
    for seed in range(3):
        give_gradients(straight, seed)
        give_gradients(halves, seed)
        one.step()
        two.step()
    fresh = [torch.nn.Parameter(p.detach().clone()) for p in halves]
    resumed = Lamb(fresh)
    resumed.load_state_dict(two.state_dict())
    give_gradients(straight, 9)
    give_gradients(fresh, 9)
    one.step()
    resumed.step()
    assert all(torch.equal(a, b) for a, b in zip(straight, fresh, strict=True))
