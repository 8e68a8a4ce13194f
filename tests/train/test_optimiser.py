"""LAMB against its formula and against Adam, the learning rate, averaged weights, gradient noise."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from train.optimiser import (  # noqa: E402
    Ema,
    Lamb,
    add_gradient_noise,
    learning_rate,
    noise_deviation,
)

SCHEDULE = {"rate": 0.004, "min_rate": 0.0001, "warmup": 10, "hold": 20, "half_life": 5}


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


def test_the_rate_warms_up_holds_and_halves() -> None:
    rates = [learning_rate(n, **SCHEDULE) for n in range(1, 200)]
    assert rates[0] == pytest.approx(0.004 * 2 / 11)
    assert all(a < b for a, b in zip(rates[:9], rates[1:10], strict=True))
    assert rates[9:30] == [0.004] * 21
    assert rates[34] == pytest.approx(0.002)
    assert rates[39] == pytest.approx(0.001)
    assert rates[-1] == 0.0001


def test_averaged_weights_follow_every_tensor_of_the_state() -> None:
    module = torch.nn.BatchNorm1d(2, dtype=torch.float64)
    module.num_batches_tracked = torch.zeros(())  # the average wants floating tensors
    average = Ema(module, 0.9)
    start = {k: v.clone() for k, v in module.state_dict().items()}
    with torch.no_grad():
        module.weight.add_(1.0)
        module.running_mean.add_(2.0)
    average.update(module)
    average.update(module)
    now = average.state_dict()
    torch.testing.assert_close(now["weight"], start["weight"] + 1.0 - 0.9**2)
    torch.testing.assert_close(now["running_mean"], start["running_mean"] + 2.0 * (1.0 - 0.9**2))
    other = Ema(module, 0.9)
    other.load_state_dict(now)
    average.update(module)
    torch.testing.assert_close(other.state_dict()["weight"], start["weight"] + 1.0 - 0.9**2)


def test_gradient_noise_starts_late_falls_and_has_its_deviation() -> None:
    assert noise_deviation(1999, 0.15) == 0.0
    assert noise_deviation(2000, 0.15) == 0.15
    assert noise_deviation(4000, 0.15) == pytest.approx(0.15 / 2001**0.55)
    parameter = torch.nn.Parameter(torch.zeros(20_000))
    unused = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.ones(20_000)
    torch.manual_seed(0)
    add_gradient_noise([parameter, unused], 0.5)
    assert parameter.grad.std() == pytest.approx(0.5, rel=0.02)
    assert parameter.grad.mean() == pytest.approx(1.0, abs=0.02)
    assert unused.grad is None
    before = parameter.grad.clone()
    add_gradient_noise([parameter], 0.0)
    assert torch.equal(parameter.grad, before)
