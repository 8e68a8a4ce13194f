"""Gradient noise starts late, falls, and is a function of the seed."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from train.optimiser.gradient_noise import add_gradient_noise, noise_deviation


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
        parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((4, 3), (5,))]
        for p in parameters:
            p.grad = torch.zeros_like(p)
        torch.manual_seed(seed)
        add_gradient_noise(parameters, 1.0)
        drawn.append(torch.cat([p.grad.flatten() for p in parameters]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert len(drawn[0].unique()) == 17
