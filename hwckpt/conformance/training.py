"""Vectors of training's arithmetic: schedules, optimiser, averages, statistics and noise.

Losses and whole training steps are in `hwckpt.conformance.gradients`, the blend of normalisations is in
`hwckpt.conformance.stages`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hwckpt.conformance.comparison import Arrays, Kind, Rng, Row, Vectors, compare, computed
from stream.front_end.log_mel import BINS, SAMPLE_RATE
from train.config.duration import Linear, WerSwitch
from train.config.learning import Optimiser
from train.data.effects.noise_schedule import scheduled_snr
from train.data.mixing import blend, lengthened
from train.optimiser.average import Ema
from train.optimiser.lamb import Lamb
from train.schedules.calendar import Calendar
from train.schedules.learning_rate import LearningRate
from train.schedules.penalties import penalty_at, stream_share
from train.statistics import Statistics

WINDOW = 400  # samples; generation 1.14's window of 25 ms
SCHEDULE, WEIGHTS, STATISTICS, SAMPLES = 1e-12, 1e-6, 1e-5, 1e-4
MOMENTS = ("exp_avg", "exp_avg_sq")
# Of any run: half-lives are counted in updates.
CALENDAR = Calendar(epoch=1, end=1, validate_every=1, checkpoint_every=1)
NOISE = 4896, 4896  # updates before the ratios fall, and over which they do


def _learning_rates(z: Arrays) -> dict[str, Any]:
    values = {}
    for k in range(z["num"]):
        fields = (str(name) for name in z["params_fields"])
        given = dict(zip(fields, np.atleast_1d(z[f"params_{k}"]).tolist(), strict=True))
        config = Optimiser(
            rate=given["peak_lr"],
            min_rate=given["min_lr"],
            warmup=int(given["warmup"]),
            hold=int(given["hold"]),
            half_life=int(given["half_life"]),
        )
        rate = LearningRate.of(config, CALENDAR)
        values[f"lr_{k}"] = [
            [rate.at(int(step), factor) for factor in np.atleast_1d(z[f"factors_{k}"])]
            for step in z["steps"]
        ]
    return values


def _cases(rng: Rng) -> dict[str, Any]:
    """Return the defaults, no plateau, no warm-up."""
    # Peak, floor, warm-up, plateau, half-life.
    cases = ((0.004, 4e-4, 1632, 18000, 10880), (0.004, 1e-5, 10, 0, 100), (0.01, 1e-4, 0, 20, 7))
    factors = ((1.0, 1.0, 1.0, 1.0, 0.343), (1.0,), (1.0, 0.5))
    edges = {edge + d for _, _, w, h, _ in cases for edge in (w, w + h) for d in (-1, 0, 1)}
    drawn = rng.integers(1, 100_000, 12).tolist()
    inputs: dict[str, Any] = {
        "steps": np.array(sorted({1, 2, *drawn, *(edge for edge in edges if edge > 0)})),
        "num": len(cases),
        "params_fields": np.array(["peak_lr", "min_lr", "warmup", "hold", "half_life"]),
    }
    for k, case in enumerate(cases):
        inputs |= {f"params_{k}": np.array(case, np.float64), f"factors_{k}": np.array(factors[k])}
    return inputs


def _lamb(z: Arrays) -> dict[str, Any]:
    """Make the updates of tensors in groups; returns weights and moments after each."""
    count = range(z["num_params"])
    parameters = [nn.Parameter(torch.tensor(z[f"param_{i}_init"])) for i in count]
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
    values = {}
    for step in range(z["steps"]):
        rates = np.atleast_1d(z[f"lr_step{step}"]).tolist()
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        for i, parameter in enumerate(parameters):
            parameter.grad = torch.tensor(z[f"grad_{i}_step{step}"])
        optimiser.step()
        for i, parameter in enumerate(parameters):
            state = optimiser.state[parameter]
            moments = {key: state[key] for key in ("exp_avg", "exp_avg_sq")}
            for name, value in {"param": parameter.detach(), **moments}.items():
                values[f"{name}_{i}_step{step}"] = value.numpy().copy()
    return values


def _updates(rng: Rng, weight_decay: float, deviation: float) -> dict[str, Any]:
    """Draw four updates; gradients of a deviation of 2 are clipped, those of 0.01 are not."""
    shapes, updates = ((6, 3), (5,), (4,)), 4
    inputs: dict[str, Any] = {
        "num_params": len(shapes),
        "steps": updates,
        "group_of_param": np.array([0, 0, 1]),
        "betas": np.array([0.9, 0.999]),
        "eps": 1e-9,
        "weight_decay": weight_decay,
        "max_grad_norm": 1.0,
    }
    for i, shape in enumerate(shapes):
        inputs[f"param_{i}_init"] = rng.normal(0.0, 1.0, shape).astype(np.float32)
    inputs["param_2_init"][:] = 0.0  # no norm, so no trust ratio at first
    for step in range(updates):
        inputs[f"lr_step{step}"] = np.array([0.01, 0.003]) / (step + 1)
        for i, shape in enumerate(shapes):
            gradient = rng.normal(0.0, deviation, shape)
            inputs[f"grad_{i}_step{step}"] = gradient.astype(np.float32)
    return inputs


def _averages(z: Arrays, first: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    module = nn.ParameterDict({"w": nn.Parameter(torch.tensor(first))})
    average, averages = Ema(module, z["decay"]), [first]
    for weights in z["weights"]:
        module["w"].data = torch.tensor(weights)
        average.update(module)
        averages.append(average.state_dict()["w"].numpy().copy())
    return np.stack(averages)


def _make_ema(rng: Rng, folder: Path) -> dict[str, Any]:
    """Draw five updates from zeros."""
    inputs = {"decay": 0.99, "weights": rng.normal(0.0, 1.0, (5, 7)).astype(np.float32)}
    return inputs | {"ema": _averages(inputs, np.zeros(7, np.float32))}


def _check_ema(z: Vectors) -> Iterator[Row]:
    for step, average in enumerate(_averages(z, z["ema"][0])[1:], 1):
        yield compare(f"ema {step}", "torch", average, z["ema"][step], WEIGHTS)


def _switched(wers: list[float], before: float, after: float, below: float) -> list[float]:
    """Return a penalty after each validation."""
    switch = WerSwitch(before=before, after=after, below=below)
    return [penalty_at(switch, 1, wers[: n + 1], 1) for n in range(len(wers))]


def _schedules(z: Arrays) -> dict[str, Any]:
    start, before, first, end, last = z["linear_dp_params"].tolist()
    penalty = Linear(first=first, last=last, start=int(start), ramp=int(end - start), before=before)
    ratios = [partial(stream_share, start=a, end=b, first=r) for a, b, r in z["norm_ratio_params"]]
    return {
        "linear_dp_values": np.array(
            [penalty_at(penalty, n, (), 1) for n in z["linear_dp_steps"].tolist()]
        ),
        "norm_ratio": np.array([[ratio(n) for n in z["norm_ratio_steps"]] for ratio in ratios]),
    }


def _noise_levels(z: Arrays) -> dict[str, Any]:
    """Return the ranges of the signal-to-noise ratio of background noise and of babble (NUMERICS 1.7)."""
    ranges = [
        [
            *scheduled_snr(n, (30, 60), (0, 30), *NOISE),
            *scheduled_snr(n, (30, 60), (15, 30), *NOISE),
        ]
        for n in z["noise_steps"].tolist()
    ]
    return {"noise_low_high_bg_babble": np.array(ranges)}


def _around(rng: Rng, *edges: int) -> list[int]:
    """Return updates: 0, both sides of each edge, some between, and one far beyond."""
    near = {edge + d for edge in edges for d in (-1, 0, 1)}
    drawn = rng.integers(min(edges), max(edges), 5).tolist()
    return sorted({0, *near, *drawn, 2 * max(edges)})


def _make_schedules(rng: Rng, folder: Path) -> dict[str, Any]:
    """Draw updates around the edges of every schedule."""
    start, end, first, last = 5000, 20_000, 0.007, 0.01
    delay_steps, noise_steps = _around(rng, start, end), _around(rng, 4896, 2 * 4896)
    ramps = ((30_512, 35_512, 0.0), (100, 200, 0.25))
    ratio_steps = sorted({*_around(rng, *ramps[0][:2]), *_around(rng, *ramps[1][:2])})
    # A WER that is the threshold does not switch; one that rises again does not switch back.
    wers = [1e6, *np.sort(rng.uniform(0.31, 0.95, 3))[::-1], 0.3, 0.29, 0.45, 0.2, 0.19, 0.5]
    switches = ((0.0, 0.01, 0.3), (0.75, 1.0, 0.2), (0.1, 0.5, 0.3))
    arrays = {
        "linear_dp_params": np.array([start, 0.0, first, end, last]),
        "linear_dp_steps": np.array(delay_steps),
        "noise_steps": np.array(noise_steps),
        "step_schedule_wers": np.array(wers),
        "step_schedule_values": np.array([_switched(wers, *switch) for switch in switches]),
        "norm_ratio_params": np.array(ramps),
        "norm_ratio_steps": np.array(ratio_steps),
    }
    return arrays | _schedules(arrays) | _noise_levels(arrays)


def _check_schedules(z: Vectors) -> Iterator[Row]:
    yield from z.close("torch", _noise_levels(z))
    yield from z.close("torch", _schedules(z), SCHEDULE)
    wers = z["step_schedule_wers"].tolist()
    for row in z["step_schedule_values"]:
        # The threshold is not in the file: it lies between the last WER before and the first after.
        before, after = row[0], row[-1]
        threshold = np.nextafter(wers[int(np.argmax(row != before))], 1.0)
        got = _switched(wers, before, after, threshold)
        yield compare(f"switch to {after:g}", "torch", got, row, SCHEDULE)


def _summed(z: Arrays) -> Statistics:
    found = Statistics()
    for name, frames in z.items():
        if name.startswith("logmel_"):
            found.add(frames.T)
    return found


def _make_statistics(rng: Rng, folder: Path) -> dict[str, Any]:
    """Draw three utterances, one of a single frame."""
    arrays: dict[str, Any] = {
        f"logmel_{i}": rng.normal(-8.0, 3.0, (BINS, n)).astype(np.float32)
        for i, n in enumerate((70, 41, 1))
    }
    found = _summed(arrays)
    arrays["melmeans"], arrays["melvars"] = found.result()
    return arrays | {"meln": float(found.frames), "window_size": WINDOW / SAMPLE_RATE}


def _check_statistics(z: Vectors) -> Iterator[Row]:
    """Check mean and variance of several utterances, relative to the value, and their frames."""
    found = _summed(z)
    for name, value in zip(("melmeans", "melvars"), found.result(), strict=True):
        yield compare(name, "torch", value / z[name], np.ones_like(value), STATISTICS)
    yield compare("meln", "torch", found.frames, np.ravel(z["meln"])[0], 0.0)


def _noisy(z: Arrays, names: Iterable[str]) -> dict[str, Any]:
    """Return mixtures at a ratio, and noises that were lengthened, by their names."""
    values = {}
    for name in names:
        if name.startswith("blend_snr"):
            snr, place = name.removeprefix("blend_snr").split("_start")
            values[name] = blend(z["speech"], z["noise"], float(snr), float(place))
        elif name.startswith("dup_"):
            values[name] = lengthened(z[f"noise_{name[4:]}"], len(z["speech"]) + 1)
        elif name.startswith("dupblend_"):
            kind, snr = name.removeprefix("dupblend_").split("_snr")
            values[name] = blend(z["speech"], z[f"noise_{kind}"], float(snr), 0.5)
    return values


def _make_noise(rng: Rng, folder: Path) -> dict[str, Any]:
    """Draw speech, and noises that are longer and shorter than it."""
    inputs: dict[str, Any] = {"speech": rng.normal(0.0, 0.1, 3000).astype(np.float32)}
    for name, samples in (("noise", 5000), ("noise_short", 2900), ("noise_tiny", 700)):
        inputs[name] = rng.normal(0.0, 0.02, samples).astype(np.float32)
    blends = [f"blend_snr{snr}_start{place}" for snr in (0, 15, 30) for place in (0, 0.37, 1)]
    return inputs | _noisy(inputs, [*blends, "dup_short", "dup_tiny", "dupblend_tiny_snr10"])


KINDS = (
    Kind("melstats*.npz", _check_statistics, {"melstats_v1.14.0.npz": _make_statistics}),
    Kind(
        "noise_blend*.npz",
        lambda z: z.close("torch", _noisy(z, z), SAMPLES),
        {"noise_blend.npz": _make_noise},
    ),
    computed("lr_schedule*.npz", "torch", _learning_rates, SCHEDULE, {"lr_schedule.npz": _cases}),
    computed(
        "lamb_step*.npz",
        "torch",
        _lamb,
        WEIGHTS,
        {
            "lamb_step_clipped.npz": partial(_updates, weight_decay=0.01, deviation=2.0),
            "lamb_step_unclipped.npz": partial(_updates, weight_decay=0.01, deviation=0.01),
            "lamb_step_zero_wd.npz": partial(_updates, weight_decay=0.0, deviation=2.0),
        },
        optional=MOMENTS,
    ),
    Kind("ema_step*.npz", _check_ema, {"ema_step.npz": _make_ema}),
    Kind("schedules*.npz", _check_schedules, {"schedules.npz": _make_schedules}),
)
