"""Vector files of training's arithmetic, from our references; `hwckpt.vectors` writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from train.data.mixing import blend, lengthened
from train.loss import Penalties, transducer_loss
from train.optimiser import Ema, Lamb, learning_rate
from train.statistics import Statistics

__all__ = ["TRAINING_FILES"]

Rng = np.random.Generator


def _loss(rng: Rng, penalties: Penalties) -> dict[str, Any]:
    batch, steps, labels, classes = 3, 7, 4, 9
    logits = torch.from_numpy(rng.normal(0.0, 1.0, (batch, steps, labels + 1, classes)))
    logits.requires_grad_()
    targets = rng.integers(0, classes - 1, (batch, labels))
    lengths, target_lengths = np.array([7, 5, 6]), np.array([4, 0, 3])
    losses = transducer_loss(
        logits,
        torch.from_numpy(targets),
        torch.from_numpy(lengths),
        torch.from_numpy(target_lengths),
        classes - 1,
        penalties,
    )
    losses.mean().backward()
    assert logits.grad is not None
    return {
        "logits": logits.detach().numpy(),
        "targets": targets,
        "logit_lens": lengths,
        "target_lens": target_lengths,
        "blank": classes - 1,
        "delay_penalty": penalties.delay,
        "eos_penalty": penalties.eos_penalty,
        "eos_idx": -1 if penalties.eos is None else penalties.eos,
        "star_penalty": penalties.star_penalty,
        "star_idx": -2 if penalties.star is None else penalties.star,
        "loss": losses.detach().numpy(),
        "grad_of_mean": logits.grad.numpy(),
    }


def _schedule(rng: Rng) -> dict[str, Any]:
    steps = np.unique(rng.integers(1, 40_000, 25))
    peak, low, warmup, hold, half_life = params = (0.004, 4e-4, 1000.0, 8000.0, 5000.0)
    factors = np.array([1.0, 0.343])
    rates = [
        [
            learning_rate(
                int(step),
                rate=peak * factor,
                min_rate=low,
                warmup=int(warmup),
                hold=int(hold),
                half_life=int(half_life),
            )
            for factor in factors
        ]
        for step in steps
    ]
    return {
        "steps": steps,
        "num": 1,
        "params_0": np.array(params),
        "params_fields": np.array(["peak_lr", "min_lr", "warmup", "hold", "half_life"]),
        "factors_0": factors,
        "lr_0": np.array(rates),
    }


def _lamb(rng: Rng, weight_decay: float) -> dict[str, Any]:
    shapes = ((6, 3), (5,))
    parameters = [
        nn.Parameter(torch.from_numpy(rng.normal(0, 1, s).astype(np.float32))) for s in shapes
    ]
    optimiser = Lamb(
        [{"params": [p]} for p in parameters], eps=1e-9, weight_decay=weight_decay, max_norm=1.0
    )
    arrays: dict[str, Any] = {
        "num_params": len(shapes),
        "steps": 3,
        "group_of_param": np.arange(len(shapes)),
        "betas": np.array([0.9, 0.999]),
        "eps": 1e-9,
        "weight_decay": weight_decay,
        "max_grad_norm": 1.0,
    }
    for i, parameter in enumerate(parameters):
        arrays[f"param_{i}_init"] = parameter.detach().numpy().copy()
    for step in range(3):
        rates = np.array([0.01, 0.003]) / (step + 1)
        arrays[f"lr_step{step}"] = rates
        for i, (group, parameter) in enumerate(
            zip(optimiser.param_groups, parameters, strict=True)
        ):
            group["lr"] = float(rates[i])
            gradient = rng.normal(0.0, 2.0, shapes[i]).astype(np.float32)
            arrays[f"grad_{i}_step{step}"] = gradient
            parameter.grad = torch.from_numpy(gradient.copy())
        optimiser.step()
        for i, parameter in enumerate(parameters):
            arrays[f"param_{i}_step{step}"] = parameter.detach().numpy().copy()
    return arrays


def _ema(rng: Rng) -> dict[str, Any]:
    weights = rng.normal(0.0, 1.0, (5, 7)).astype(np.float32)
    module = nn.ParameterDict({"w": nn.Parameter(torch.zeros(7))})
    average, averages = Ema(module, 0.99), [np.zeros(7, np.float32)]
    for row in weights:
        module["w"].data = torch.from_numpy(row)
        average.update(module)
        averages.append(average.state_dict()["w"].numpy().copy())
    return {"decay": 0.99, "weights": weights, "ema": np.stack(averages)}


def _statistics(rng: Rng) -> dict[str, Any]:
    frames = [rng.normal(-8.0, 3.0, (80, n)).astype(np.float32) for n in (70, 41)]
    found = Statistics()
    for of in frames:
        found.add(of.T)
    mean, variance = found.result()
    arrays: dict[str, Any] = {f"logmel_{i}": of for i, of in enumerate(frames)}
    return {**arrays, "melmeans": mean, "melvars": variance, "meln": float(found.frames)}


def _noise(rng: Rng) -> dict[str, Any]:
    speech = rng.normal(0.0, 0.1, 3000).astype(np.float32)
    noise, short = (rng.normal(0.0, 0.02, n).astype(np.float32) for n in (5000, 1100))
    arrays: dict[str, Any] = {"speech": speech, "noise": noise, "noise_short": short}
    for snr, place in ((0, 0), (12, 0.25), (30, 1)):
        arrays[f"blend_snr{snr}_start{place}"] = blend(speech, noise, snr, place)
    return {**arrays, "dup_short": lengthened(short, len(speech) + 1)}


TRAINING_FILES: dict[str, Callable[[Rng], dict[str, Any]]] = {
    "loss_vanilla.npz": lambda rng: _loss(rng, Penalties()),
    "loss_delay.npz": lambda rng: _loss(rng, Penalties(delay=0.1)),
    "loss_star_eos.npz": lambda rng: _loss(rng, Penalties(0.01, 1, 0.2, 2, 0.75)),
    "lr_schedule.npz": _schedule,
    "lamb_step_decay.npz": lambda rng: _lamb(rng, 0.01),
    "lamb_step_zero_wd.npz": lambda rng: _lamb(rng, 0.0),
    "ema_step.npz": _ema,
    "melstats.npz": _statistics,
    "noise_blend.npz": _noise,
}
