"""Checks of training's arithmetic against vector files.

Called by `hwckpt.conformance`; see `hwckpt.conformance.comparison` for what a check is. Whole training steps are
checked by `hwckpt.conformance.gradients`, texts by `hwckpt.conformance.check_text`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from hwckpt.conformance.gradients import gradients
from hwckpt.conformance.lattice import lattice
from hwckpt.conformance.schedules import (
    linear_delay_penalty,
    noise_ranges,
    normalisation_ratio,
    wer_switch,
)
from stream.front_end.normaliser import Normaliser, utterance_normalise
from train.data.mixing import blend, lengthened
from train.loss.transducer import Penalties, transducer_loss
from train.optimiser import Ema, Lamb, learning_rate
from train.statistics import Statistics

__all__ = ["CHECKS", "Comparison"]

# (stage, got, want, allowed): hwckpt, on which train does not stand, makes a row of its table of it.
Comparison = tuple[str, Any, Any, float]
Arrays = dict[str, Any]


def loss(z: Arrays) -> Iterator[Comparison]:
    """loss: the losses and the gradient of their mean, and the lattice they come from, float64."""
    logits = torch.from_numpy(z["logits"]).requires_grad_()
    penalties = Penalties(
        z["delay_penalty"],
        z["eos_idx"] if z["eos_idx"] >= 0 else None,
        z["eos_penalty"],
        z["star_idx"] if z["star_idx"] >= 0 else None,
        z["star_penalty"],
    )
    targets, lengths, labels = (
        np.atleast_1d(z[key]) for key in ("targets", "logit_lens", "target_lens")
    )
    losses = transducer_loss(
        logits,
        torch.from_numpy(targets),
        torch.from_numpy(lengths),
        torch.from_numpy(labels),
        z["blank"],
        penalties,
    )
    losses.mean().backward()
    yield "loss", losses.detach().numpy(), np.atleast_1d(z["loss"]), 1e-9
    if "mean_loss" in z:
        yield "mean loss", losses.mean().item(), z["mean_loss"], 1e-9
    assert logits.grad is not None
    yield "loss gradient", logits.grad.numpy(), z["grad_of_mean"], 1e-9
    if "alpha" in z and "beta" in z:
        alpha, beta = np.zeros((2, *logits.shape[:3]))
        with torch.no_grad():
            for row, (t, u) in enumerate(zip(lengths, labels, strict=True)):
                nodes = logits[row, :t, : u + 1]
                found = lattice(nodes, targets[row, :u].tolist(), z["blank"], penalties)
                alpha[row, :t, : u + 1], beta[row, :t, : u + 1] = found.alpha, found.beta
        yield "forward variable", alpha, z["alpha"], 1e-9
        yield "backward variable", beta, z["beta"], 1e-9


def schedule(z: Arrays) -> Iterator[Comparison]:
    """lr_schedule: the rate of every group at every step."""
    fields = [str(name) for name in z["params_fields"]]
    for k in range(z["num"]):
        given = dict(zip(fields, np.atleast_1d(z[f"params_{k}"]).tolist(), strict=True))
        got = [
            [
                learning_rate(
                    int(step),
                    rate=given["peak_lr"] * factor,
                    min_rate=given["min_lr"],
                    warmup=given["warmup"],
                    hold=given["hold"],
                    half_life=given["half_life"],
                )
                for factor in np.atleast_1d(z[f"factors_{k}"])
            ]
            for step in z["steps"]
        ]
        yield f"learning rate {k}", got, z[f"lr_{k}"], 1e-12


def lamb(z: Arrays) -> Iterator[Comparison]:
    """lamb_step: several updates of tensors in groups."""
    parameters = [
        nn.Parameter(torch.from_numpy(z[f"param_{i}_init"])) for i in range(z["num_params"])
    ]
    groups: dict[int, list[nn.Parameter]] = {}
    for parameter, number in zip(parameters, z["group_of_param"].tolist(), strict=True):
        groups.setdefault(number, []).append(parameter)
    beta1, beta2 = z["betas"].tolist()
    optimiser = Lamb(
        [{"params": groups[number]} for number in sorted(groups)],
        betas=(beta1, beta2),
        eps=z["eps"],
        weight_decay=z["weight_decay"],
        max_norm=z["max_grad_norm"],
    )
    for step in range(z["steps"]):
        rates = np.atleast_1d(z[f"lr_step{step}"]).tolist()
        for group_, rate in zip(optimiser.param_groups, rates, strict=True):
            group_["lr"] = rate
        for i, parameter in enumerate(parameters):
            parameter.grad = torch.from_numpy(z[f"grad_{i}_step{step}"])
        optimiser.step()
        for i, parameter in enumerate(parameters):
            yield (
                f"weights {i}, update {step}",
                parameter.detach(),
                z[f"param_{i}_step{step}"],
                1e-6,
            )
            state = optimiser.state[parameter]
            for key in ("exp_avg", "exp_avg_sq"):
                if f"{key}_{i}_step{step}" in z:
                    yield f"{key} {i}, update {step}", state[key], z[f"{key}_{i}_step{step}"], 1e-6


def averaged(z: Arrays) -> Iterator[Comparison]:
    """ema_step: averaged weights after each update."""
    module = nn.ParameterDict({"w": nn.Parameter(torch.from_numpy(z["ema"][0]))})
    average = Ema(module, z["decay"])
    for step, weights in enumerate(z["weights"]):
        module["w"].data = torch.from_numpy(weights)
        average.update(module)
        yield f"average {step}", average.state_dict()["w"], z["ema"][step + 1], 1e-6


def schedules(z: Arrays) -> Iterator[Comparison]:
    """schedules: delay penalty, noise levels, switches by WER, normalisation ratio."""
    start, _, first, end, last = z["linear_dp_params"].tolist()
    got = [
        linear_delay_penalty(s, start=start, end=end, first=first, last=last)
        for s in z["linear_dp_steps"].tolist()
    ]
    yield "linear delay penalty", got, z["linear_dp_values"], 1e-12
    ranges = [np.ravel(noise_ranges(s)) for s in z["noise_steps"].tolist()]
    yield "noise ranges", ranges, z["noise_low_high_bg_babble"], 0.0
    wers = z["step_schedule_wers"].tolist()
    for row in z["step_schedule_values"]:
        # The threshold is not in the file: it lies between the last WER before and the first after.
        before, after = row[0], row[-1]
        switched = int(np.argmax(row != before))
        yield (
            f"switch to {after:g}",
            wer_switch(wers, before, after, np.nextafter(wers[switched], 1.0)),
            row,
            1e-12,
        )
    for (start, end, ratio), row in zip(z["norm_ratio_params"], z["norm_ratio"], strict=True):
        got = [
            normalisation_ratio(s, start=start, end=end, first=ratio)
            for s in z["norm_ratio_steps"].tolist()
        ]
        yield f"normalisation ratio from {ratio:g}", got, row, 1e-12


def blending(z: Arrays) -> Iterator[Comparison]:
    """norm: the blend of global and per-utterance normalisation in training."""
    frames = np.ascontiguousarray(z["logmel"].T)[None]
    normaliser = Normaliser(z["means"], z["vars"], 0.0)
    fixed = normaliser.step(frames, normaliser.initial_state(1))[0]
    own = utterance_normalise(frames)
    start, end = z["ramp"].tolist()
    for key in (k for k in z if k.startswith("blend_step")):
        ratio = normalisation_ratio(
            int(key.removeprefix("blend_step")), start=start, end=end, first=z["starting_ratio"]
        )
        yield key, (ratio * fixed + (1.0 - ratio) * own)[0].T, z[key], 1e-4


def statistics(z: Arrays) -> Iterator[Comparison]:
    """melstats: mean, variance and frames of several utterances; relative to the value."""
    found = Statistics()
    for key in (k for k in z if k.startswith("logmel_")):
        found.add(z[key].T)
    mean, variance = found.result()
    yield "statistics: mean", mean / z["melmeans"], np.ones_like(mean), 1e-5
    yield "statistics: variance", variance / z["melvars"], np.ones_like(mean), 1e-5
    yield "statistics: frames", found.frames, np.ravel(z["meln"])[0], 0.0


def noise(z: Arrays) -> Iterator[Comparison]:
    """noise_blend: mixtures at a ratio, and noises that were lengthened."""
    for key in z:
        if key.startswith("blend_snr"):
            snr, place = key.removeprefix("blend_snr").split("_start")
            yield key, blend(z["speech"], z["noise"], float(snr), float(place)), z[key], 1e-4
        elif key.startswith("dup_"):
            yield key, lengthened(z[f"noise_{key[4:]}"], len(z["speech"]) + 1), z[key], 1e-4
        elif key.startswith("dupblend_"):
            kind, snr = key.removeprefix("dupblend_").split("_snr")
            mixed = blend(z["speech"], z[f"noise_{kind}"], float(snr), 0.5)
            yield key, mixed, z[key], 1e-4


CHECKS: dict[str, Callable[[Arrays], Iterator[Comparison]]] = {
    "loss_": loss,
    "train_grad_": gradients,
    "lr_schedule": schedule,
    "lamb_step": lamb,
    "ema_step": averaged,
    "schedules": schedules,
    "norm_": blending,
    "melstats": statistics,
    "noise_blend": noise,
}
