"""LAMB against its formula and against Adam, the learning rate, averaged weights, gradient noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.optimiser import (
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


def test_the_rate_warms_up_holds_and_halves() -> None:
    rates = [learning_rate(n, **SCHEDULE) for n in range(1, 200)]
    assert rates[0] == pytest.approx(0.004 * 2 / 11)
    assert all(a < b for a, b in zip(rates[:9], rates[1:10], strict=True))
    assert rates[9:30] == [0.004] * 21
    assert rates[34] == pytest.approx(0.002)
    assert rates[39] == pytest.approx(0.001)
    assert rates[-1] == 0.0001


@pytest.mark.parametrize(("warmup", "hold"), [(0, 0), (0, 7), (7, 0), (3, 4)])
def test_the_rate_has_no_jump_where_its_phases_meet(warmup: int, hold: int) -> None:
    schedule = {**SCHEDULE, "warmup": warmup, "hold": hold, "half_life": 1000}
    assert learning_rate(max(warmup, 1), **{**schedule, "hold": hold + 1}) == 0.004
    assert learning_rate(warmup + hold, **schedule) == 0.004
    assert learning_rate(warmup + hold + 1, **schedule) == pytest.approx(0.004, rel=1e-3)
    assert learning_rate(10**9, **schedule) == 0.0001


def test_the_floor_holds_in_warm_up_and_for_a_group_of_small_factor() -> None:
    assert learning_rate(1, **{**SCHEDULE, "min_rate": 0.003}) == 0.003
    assert learning_rate(15, **{**SCHEDULE, "rate": 0.004 * 0.01}) == 0.0001


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.995])
def test_the_average_is_the_weighted_sum_of_all_states(decay: float) -> None:
    module = torch.nn.Linear(3, 2, dtype=torch.float64)
    states = [module.weight.detach().numpy().copy()]
    average = Ema(module, decay)
    rng = np.random.default_rng(5)
    for _ in range(10):
        states.append(rng.normal(size=(2, 3)))
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(states[-1]))
        average.update(module)
    shares = np.array([decay**10, *((1 - decay) * decay ** np.arange(9, -1, -1.0))])
    assert shares.sum() == pytest.approx(1.0)
    got = average.state_dict()["weight"]
    np.testing.assert_allclose(got, np.tensordot(shares, states, 1), atol=1e-12)
    assert torch.equal(module.weight, torch.from_numpy(states[-1]))  # the module is only looked at


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


def test_gradient_noise_is_the_seed_s_and_another_for_every_weight() -> None:
    drawn = []
    for seed in (1, 1, 2):
        parameters = weights()
        give_gradients(parameters, 0, scale=0.0)
        torch.manual_seed(seed)
        add_gradient_noise(parameters, 1.0)
        drawn.append(torch.cat([p.grad.flatten() for p in parameters]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert len(drawn[0].unique()) == 17
