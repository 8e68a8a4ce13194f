"""Vector files of training's arithmetic, from our references; `hwckpt.vectors` writes them.

Float64 where a stage has no precision of its own: the loss node by node (`hwckpt.conformance.lattice`),
normalisation, statistics, noise. Whole training steps are `hwckpt.conformance.gradients`, texts `hwckpt.conformance.text`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hwckpt.conformance.gradients import GRADIENT_FILES
from hwckpt.conformance.lattice import lattice
from hwckpt.conformance.schedules import (
    linear_delay_penalty,
    noise_ranges,
    normalisation_ratio,
    wer_switch,
)
from stream.front_end.log_mel import BINS, CARD_FLOOR, SAMPLE_RATE, FrontEnd, streamed_log_mel
from stream.front_end.normaliser import utterance_normalise
from train.data.mixing import blend, lengthened
from train.loss.transducer import Penalties
from train.optimiser import Ema, Lamb, learning_rate
from train.statistics import Statistics

__all__ = ["TRAINING_FILES"]

Rng = np.random.Generator
Make = Callable[[Rng], dict[str, Any]]
EOS, STAR = 1, 2
WINDOW = 400  # samples; generation 1.14's window of 25 ms


def _loss(
    rng: Rng,
    penalties: Penalties,
    lengths: tuple[int, ...] = (7, 5, 6),
    labels: tuple[int, ...] = (4, 2, 3),
) -> dict[str, Any]:
    batch, steps, most, classes = len(lengths), max(lengths), max(max(labels), 1), 9
    logits = torch.from_numpy(rng.normal(0.0, 2.0, (batch, steps, most + 1, classes)))
    logits.requires_grad_()
    targets = rng.integers(3, classes - 1, (batch, most))
    for row, count in enumerate(labels):
        if penalties.eos is not None and count:
            targets[row, count - 1] = penalties.eos
        if penalties.star is not None and count > 1:
            targets[row, 0 if row % 2 else count - 2] = penalties.star
    alpha, beta = np.zeros((2, batch, steps, most + 1))
    losses = []
    for row, (t, u) in enumerate(zip(lengths, labels, strict=True)):
        found = lattice(logits[row, :t, : u + 1], targets[row, :u].tolist(), classes - 1, penalties)
        alpha[row, :t, : u + 1], beta[row, :t, : u + 1] = found.alpha, found.beta
        losses.append(found.loss)
    mean = torch.stack(losses).mean()
    mean.backward()
    assert logits.grad is not None
    return {
        "logits": logits.detach().numpy(),
        "targets": targets,
        "logit_lens": np.array(lengths),
        "target_lens": np.array(labels),
        "blank": classes - 1,
        "delay_penalty": penalties.delay,
        "eos_penalty": penalties.eos_penalty,
        "eos_idx": -1 if penalties.eos is None else penalties.eos,
        "star_penalty": penalties.star_penalty,
        "star_idx": -2 if penalties.star is None else penalties.star,
        "loss": torch.stack(losses).detach().numpy(),
        "mean_loss": mean.item(),
        "grad_of_mean": logits.grad.numpy(),
        "alpha": alpha,
        "beta": beta,
    }


def _norm(rng: Rng) -> dict[str, Any]:
    swell = np.abs(np.sin(np.arange(8000) / rng.uniform(500, 1500)))
    pcm = np.clip(np.rint(rng.normal(0.0, 6000.0, 8000) * swell), -32768, 32767).astype(np.int16)
    front_end = FrontEnd(WINDOW, CARD_FLOOR, initial_padding=True)
    logmel = streamed_log_mel(pcm[None] / 32768, front_end)[0].astype(np.float32)
    mean = rng.normal(-9.0, 2.0, BINS).astype(np.float32)
    variance = rng.uniform(2.0, 12.0, BINS).astype(np.float32)
    ramp, first = (100, 200), 0.25
    frames = logmel.astype(np.float64)
    fixed = (frames - mean.astype(np.float64)) / np.sqrt(variance.astype(np.float64))
    own = utterance_normalise(frames[None])[0]

    def stored(z: NDArray[np.float64]) -> NDArray[np.float32]:
        return z.T.astype(np.float32)

    arrays = {
        "pcm": pcm,
        "logmel": np.ascontiguousarray(logmel.T),
        "means": mean,
        "vars": variance,
        "ramp": np.array(ramp),
        "starting_ratio": first,
        "dataset": stored(fixed),
        "utterance": stored(own),
    }
    for step in (0, 150, 200):
        ratio = normalisation_ratio(step, start=ramp[0], end=ramp[1], first=first)
        arrays[f"blend_step{step}"] = stored(ratio * fixed + (1.0 - ratio) * own)
    return arrays


def _statistics(rng: Rng) -> dict[str, Any]:
    frames = [rng.normal(-8.0, 3.0, (BINS, n)).astype(np.float32) for n in (70, 41, 1)]
    found = Statistics()
    for of in frames:
        found.add(of.T)
    mean, variance = found.result()
    return {
        **{f"logmel_{i}": of for i, of in enumerate(frames)},
        "melmeans": mean,
        "melvars": variance,
        "meln": float(found.frames),
        "window_size": WINDOW / SAMPLE_RATE,
    }


def _noise(rng: Rng) -> dict[str, Any]:
    speech = rng.normal(0.0, 0.1, 3000).astype(np.float32)
    noise, short, tiny = (rng.normal(0.0, 0.02, n).astype(np.float32) for n in (5000, 2900, 700))
    arrays: dict[str, Any] = {"speech": speech, "noise": noise}
    arrays |= {"noise_short": short, "noise_tiny": tiny}
    for snr in (0, 15, 30):
        for place in (0, 0.37, 1):
            arrays[f"blend_snr{snr}_start{place}"] = blend(speech, noise, snr, place)
    for kind in ("short", "tiny"):
        arrays[f"dup_{kind}"] = lengthened(arrays[f"noise_{kind}"], len(speech) + 1)
    return {**arrays, "dupblend_tiny_snr10": blend(speech, tiny, 10.0, 0.5)}


def _schedule(rng: Rng) -> dict[str, Any]:
    # Peak, floor, warm-up, plateau, half-life; the defaults, no plateau, no warm-up.
    cases = ((0.004, 4e-4, 1632, 18000, 10880), (0.004, 1e-5, 10, 0, 100), (0.01, 1e-4, 0, 20, 7))
    factors = ((1.0, 1.0, 1.0, 1.0, 0.343), (1.0,), (1.0, 0.5))
    edges = {edge + d for _, _, w, h, _ in cases for edge in (w, w + h) for d in (-1, 0, 1)}
    drawn = rng.integers(1, 100_000, 12).tolist()
    steps = np.array(sorted({1, 2, *drawn, *(edge for edge in edges if edge > 0)}))
    arrays: dict[str, Any] = {
        "steps": steps,
        "num": len(cases),
        "params_fields": np.array(["peak_lr", "min_lr", "warmup", "hold", "half_life"]),
    }
    for k, (peak, low, warmup, hold, half_life) in enumerate(cases):
        rate_at = partial(
            learning_rate, min_rate=low, warmup=warmup, hold=hold, half_life=half_life
        )
        arrays[f"params_{k}"] = np.array(cases[k], np.float64)
        arrays[f"factors_{k}"] = np.array(factors[k])
        arrays[f"lr_{k}"] = np.array(
            [[rate_at(int(n), rate=peak * factor) for factor in factors[k]] for n in steps]
        )
    return arrays


def _lamb(rng: Rng, weight_decay: float, deviation: float) -> dict[str, Any]:
    """Gradients of a deviation of 2 are clipped, those of 0.01 are not."""
    shapes, groups, updates = ((6, 3), (5,), (4,)), (0, 0, 1), 4
    values = [rng.normal(0.0, 1.0, shape).astype(np.float32) for shape in shapes]
    values[2][:] = 0.0  # no norm, so no trust ratio at first
    parameters = [nn.Parameter(torch.from_numpy(value)) for value in values]
    optimiser = Lamb(
        [{"params": parameters[:2]}, {"params": parameters[2:]}],
        eps=1e-9,
        weight_decay=weight_decay,
        max_norm=1.0,
    )
    arrays: dict[str, Any] = {
        "num_params": len(shapes),
        "steps": updates,
        "group_of_param": np.array(groups),
        "betas": np.array([0.9, 0.999]),
        "eps": 1e-9,
        "weight_decay": weight_decay,
        "max_grad_norm": 1.0,
    }
    for i, parameter in enumerate(parameters):
        arrays[f"param_{i}_init"] = parameter.detach().numpy().copy()
    for step in range(updates):
        rates = arrays[f"lr_step{step}"] = np.array([0.01, 0.003]) / (step + 1)
        for group, rate in zip(optimiser.param_groups, rates.tolist(), strict=True):
            group["lr"] = rate
        for i, parameter in enumerate(parameters):
            gradient = rng.normal(0.0, deviation, shapes[i]).astype(np.float32)
            arrays[f"grad_{i}_step{step}"] = gradient
            parameter.grad = torch.from_numpy(gradient.copy())
        optimiser.step()
        for i, parameter in enumerate(parameters):
            arrays[f"param_{i}_step{step}"] = parameter.detach().numpy().copy()
            for key in ("exp_avg", "exp_avg_sq"):
                arrays[f"{key}_{i}_step{step}"] = optimiser.state[parameter][key].numpy().copy()
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


def _around(rng: Rng, *edges: int) -> list[int]:
    """Return updates: 0, both sides of each edge, some between, and one far behind."""
    near = {edge + d for edge in edges for d in (-1, 0, 1)}
    drawn = rng.integers(min(edges), max(edges), 5).tolist()
    return sorted({0, *near, *drawn, 2 * max(edges)})


def _schedules(rng: Rng) -> dict[str, Any]:
    start, end, first, last = 5000, 20_000, 0.007, 0.01
    delay_steps, noise_steps = _around(rng, start, end), _around(rng, 4896, 2 * 4896)
    ramps = ((30_512, 35_512, 0.0), (100, 200, 0.25))
    ratio_steps = sorted({*_around(rng, *ramps[0][:2]), *_around(rng, *ramps[1][:2])})
    # A WER that is the threshold does not switch; one that rises again does not switch back.
    wers = [1e6, *np.sort(rng.uniform(0.31, 0.95, 3))[::-1], 0.3, 0.29, 0.45, 0.2, 0.19, 0.5]
    switches = ((0.0, 0.01, 0.3), (0.75, 1.0, 0.2), (0.1, 0.5, 0.3))
    return {
        "linear_dp_params": np.array([start, 0.0, first, end, last]),
        "linear_dp_steps": np.array(delay_steps),
        "linear_dp_values": np.array(
            [
                linear_delay_penalty(n, start=start, end=end, first=first, last=last)
                for n in delay_steps
            ]
        ),
        "noise_steps": np.array(noise_steps),
        "noise_low_high_bg_babble": np.array([np.ravel(noise_ranges(n)) for n in noise_steps]),
        "step_schedule_wers": np.array(wers),
        "step_schedule_values": np.array([wer_switch(wers, *switch) for switch in switches]),
        "norm_ratio_params": np.array(ramps),
        "norm_ratio_steps": np.array(ratio_steps),
        "norm_ratio": np.array(
            [
                [normalisation_ratio(n, start=a, end=b, first=r) for n in ratio_steps]
                for a, b, r in ramps
            ]
        ),
    }


TRAINING_FILES: dict[str, Make] = {
    "norm_v1.14.0.npz": _norm,
    "melstats_v1.14.0.npz": _statistics,
    "noise_blend.npz": _noise,
    "loss_vanilla.npz": partial(_loss, penalties=Penalties(), lengths=(6, 4, 1)),
    "loss_vanilla_empty_target.npz": partial(
        _loss, penalties=Penalties(), lengths=(5, 3), labels=(0, 3)
    ),
    "loss_single.npz": partial(_loss, penalties=Penalties(), lengths=(1,), labels=(1,)),
    "loss_delay_penalty_0.01.npz": partial(_loss, penalties=Penalties(delay=0.01)),
    "loss_delay_penalty_0.5.npz": partial(_loss, penalties=Penalties(delay=0.5)),
    "loss_eos_penalty.npz": partial(_loss, penalties=Penalties(eos=EOS, eos_penalty=0.1)),
    "loss_delay_and_eos.npz": partial(_loss, penalties=Penalties(0.01, EOS, 0.2)),
    "loss_star.npz": partial(_loss, penalties=Penalties(star=STAR, star_penalty=0.75)),
    "loss_star_delay_eos.npz": partial(_loss, penalties=Penalties(0.01, EOS, 0.1, STAR, 0.5)),
    **GRADIENT_FILES,
    "lr_schedule.npz": _schedule,
    "lamb_step_clipped.npz": partial(_lamb, weight_decay=0.01, deviation=2.0),
    "lamb_step_unclipped.npz": partial(_lamb, weight_decay=0.01, deviation=0.01),
    "lamb_step_zero_wd.npz": partial(_lamb, weight_decay=0.0, deviation=2.0),
    "ema_step.npz": _ema,
    "schedules.npz": _schedules,
}
