"""Gain control, gate and normaliser by the constants of a bundle, with the choices of `arithmetic.Rules` open.

One frame at a time from a given state, or all frames of a stream. Rules by number: docs/integer-front-end.md.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping

import numpy as np

from hwckpt.conformance.board.arithmetic import Ints, Rules
from hwckpt.hardware_bundle import Bundle
from stream.integer import fixed
from stream.integer.gain_control import STATE
from stream.integer.log_mel import FRACTION
from stream.integer.normaliser import (
    ALPHA,
    DIFFERENCE,
    MEAN,
    ROOT_SHIFT,
    VARIANCE,
    inverse_root,
)

BINS, STACK = 80, 3
Constants = Mapping[str, int]  # of a bundle
Values = Mapping[str, Ints]


def gain_control(c: Constants, frame: Ints, before: Values, rules: Rules) -> dict[str, Ints]:
    """Compute a frame of gain control, (80,) (rules 10.17 to 10.19): background, peak, gain, frames.

    Args:
        before: background and peak.
    """
    wide = frame.astype(np.int64)
    floored = np.maximum(wide, c["floor"])
    crest = int(BINS * floored.max() - floored.sum())
    tone = crest >= c["tone"] if rules.inclusive else crest > c["tone"]
    most, lowest = int(wide.max()) << (STATE - FRACTION), c["lowest"] << (STATE - FRACTION)
    high = lowest if tone else most
    low = c["gain_loudest"] if tone or most == lowest else most
    old = int(before["background"]), int(before["peak"])
    background = min(old[0] + c["gain_rise"], low)
    peak = max(old[1] - c["gain_release"], min(old[1] + c["gain_attack"], high))
    of_background, of_peak = old if rules.old_gain else (background, peak)
    gain = min(c["gain_background"] - of_background, c["gain_speech"] - max(of_peak, high))
    if rules.gain_bounded:
        gain = min(max(gain, 0), c["gain_most"])
    lifted = np.maximum(wide + rules.rounded("lift", np.array(gain), STATE - FRACTION), c["floor"])
    silenced = np.full_like(wide, c["floor"])
    return {
        "background": np.array(background),
        "peak": np.array(peak),
        "gain": np.array(gain),
        "frames": silenced if tone and rules.tones_silenced else lifted,
    }


def normaliser(c: Constants, frame: Ints, before: Values, rules: Rules) -> dict[str, Ints]:
    """Compute a frame of the normaliser, (80,) (rules 10.12 to 10.16, 10.20 and 10.21): the gate's state, mean, variance, x.

    Args:
        before: mean and variance, (80,), and the gate's state where there is one.
    """
    wide, mean, variance = (
        each.astype(np.int64) for each in (frame, before["mean"], before["variance"])
    )
    made = _gate(c, wide, before, rules) if c["gate"] else {}
    counts = rules.updates and (not made or not rules.gated or int(made["frames_left"]) > 0)
    weight = c["alpha"] if counts else 0
    difference = (wide << (MEAN - FRACTION)) - mean
    d = fixed.rhe(difference, MEAN - DIFFERENCE)
    growth = rules.rounded("variance", weight * d * d, 2 * DIFFERENCE + ALPHA - VARIANCE)
    grown = variance + growth
    after = (
        mean + rules.rounded("mean", weight * difference, ALPHA),
        np.maximum(grown - rules.rounded("variance", weight * grown, ALPHA), 1),
    )
    of_mean, of_variance = (mean, variance) if rules.old_statistics else after
    root, k = inverse_root(of_variance)
    d = fixed.rhe((wide << (MEAN - FRACTION)) - of_mean, MEAN - DIFFERENCE)
    x = rules.narrow("x", rules.rounded("x", (d * root) << k, ROOT_SHIFT - c["input_exponent"]), 8)
    return {**made, "mean": after[0], "variance": after[1], "x": x}


def _gate(c: Constants, frame: Ints, before: Values, rules: Rules) -> dict[str, Ints]:
    level, background, left = (
        int(before[name]) for name in ("level", "level_background", "frames_left")
    )
    level += int(rules.rounded("level", np.array(int(frame.sum()) - level), 2))
    background = min(background + c["gate_rise"], level)
    above = level - background - c["gate_margin"]
    speech = above >= 0 if rules.inclusive else above > 0
    left = c["gate_hold"] if speech else max(left - 1, 0)
    return {
        "level": np.array(level),
        "level_background": np.array(background),
        "frames_left": np.array(left),
    }


def stream_gain(bundle: Bundle, log2_mel: Ints, rules: Rules) -> dict[str, Ints]:
    """Compute gain control over the frames of a stream, (F, 80), a row each."""
    c = bundle.manifest.constants
    before: Values = {
        "background": np.array(c["gain_loudest"]),
        "peak": np.array(c["lowest"] << (STATE - FRACTION)),
    }
    rows = collections.defaultdict(list)
    for frame in log2_mel:
        before = gain_control(c, frame, before, rules)
        for name, value in before.items():
            rows[name].append(value)
    return {name: np.array(values) for name, values in rows.items()}


def stream_inputs(bundle: Bundle, frames: Ints, rules: Rules) -> dict[str, Ints]:
    """Normalise the frames of a stream, (F, 80): a row each of state, and x in threes, (S, 240)."""
    c = bundle.manifest.constants
    before: Values = {name: bundle.array(name) for name in ("mean", "variance")}
    if c["gate"]:
        loudest = np.array(c["gate_loudest"])
        left = np.array(c["gate_hold"])
        before = {**before, "level": loudest, "level_background": loudest, "frames_left": left}
    rows = collections.defaultdict(list)
    for frame in frames:
        before = normaliser(c, frame, before, rules)
        for name, value in before.items():
            rows[name].append(value)
    made = {name: np.array(values) for name, values in rows.items()}
    made["x"] = np.pad(made["x"], ((0, -len(frames) % STACK), (0, 0))).reshape(-1, STACK * BINS)
    return made
