"""The front end of a hardware bundle, frame by frame: what it computes, and what it keeps from one frame to the next.

The computation is that of the fixed front end (rule 10); here it goes one frame at a time, so that state is seen.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwckpt.hardware_bundle import ArrayEntry, Type
from stream.engine.front_end import front_end_stages
from stream.front_end.log_mel import BINS, streamed_log_mel
from stream.integer.front_end import FixedFrontEnd
from stream.integer.gain_control import STATE, FixedGain
from stream.integer.log_mel import FRACTION
from stream.integer.normaliser import MEAN, VARIANCE, FixedNormaliser
from stream.model.network import Network
from stream.model.specification import Specification
from stream.stage import Floats

Ints = NDArray[Any]  # of integers
# What is kept, in the order of the stages' states.
GAIN_STATE = ("background", "peak")
STATISTICS = ("mean", "variance")
GATE_STATE = ("level", "level_background", "frames_left")


class FixedStages(NamedTuple):
    """The fixed front end of a model: samples to log2-mel frames, gain control where there is one, normaliser."""

    log_mel: FixedFrontEnd
    gain: FixedGain | None
    normaliser: FixedNormaliser


def fixed_stages(network: Network) -> FixedStages:
    """Return the stages of a model.

    Raises:
        ModelError: its front end has no fixed form.
    """
    front_end, normaliser = front_end_stages(network, "fixed")
    if not (isinstance(front_end, FixedFrontEnd) and isinstance(normaliser, FixedNormaliser)):
        raise TypeError("the fixed front end is of another type")
    control, floor = network.specification.gain_control, network.specification.floor
    if control is None:
        return FixedStages(front_end, None, normaliser)
    without = replace(front_end, floor=control.lowest(floor), gain_control=None)
    return FixedStages(without, FixedGain(control, floor), normaliser)


def entry(
    name: str, kind: Type, row: tuple[int, ...], meaning: str, exponent: int | None = None
) -> ArrayEntry:
    """Return the entry of an array whose number of rows is not known yet."""
    return ArrayEntry(name=name, type=kind, shape=(0, *row), exponent=exponent, meaning=meaning)


def front_end_entries(specification: Specification) -> Iterator[ArrayEntry]:
    """Yield the arrays of the front end in the order of computation, a row a frame, without their numbers of rows."""
    yield entry("log2_mel", "i32", (BINS,), "log2 of mel power of each frame, 10.11", FRACTION)
    if specification.gain_control:
        yield entry("background", "i32", (), "background after each frame, 10.18", STATE)
        yield entry("peak", "i32", (), "peak after each frame, 10.18", STATE)
        yield entry("gain", "i32", (), "gain of each frame, 10.19", STATE)
    yield entry("frames", "i32", (BINS,), "the frame after gain control, 10.19", FRACTION)
    if specification.gate:
        yield entry("level", "i32", (), "level after each frame, of 80 bins, 10.20", FRACTION)
        yield entry("level_background", "i32", (), "its background, 10.20", FRACTION)
        yield entry("frames_left", "u32", (), "frames left after each frame, 10.21")
    yield entry("mean", "i32", (BINS,), "running mean after each frame, 10.12", MEAN)
    yield entry("variance", "u32", (BINS,), "running variance after each frame, 10.14", VARIANCE)


def control_frames(
    gain: FixedGain, log2_mel: Ints, background: Ints, peak: Ints
) -> dict[str, Ints]:
    """Compute one frame of gain control for each row (rules 10.17 to 10.19).

    Args:
        log2_mel: (B, 80); background, peak: (B,) before it.
    """
    frames = log2_mel[:, None]
    tones, gains, after = gain.gains(frames, (background, peak))
    lifted = gain.lifted(frames, tones, gains)
    return {
        **dict(zip(GAIN_STATE, after, strict=True)),
        "gain": gains[:, 0],
        "frames": lifted[:, 0],
    }


def normalise_frames(
    normaliser: FixedNormaliser, frames: Ints, before: dict[str, Ints]
) -> dict[str, Ints]:
    """Compute one frame of the normaliser for each row (rules 10.12 to 10.16, 10.20 and 10.21).

    Args:
        frames: (B, 80); before: the state, by the names of `STATISTICS` and `GATE_STATE`, (B, 80) and (B,).
    Returns:
        The state after it, and x, (B, 80).
    """
    gate = (tuple(before[name] for name in GATE_STATE),) if normaliser.gate else ()
    state = (*(before[name] for name in STATISTICS), *gate)
    x, after = normaliser.quantised(frames[:, None].astype(np.int64), state)
    made: dict[str, Ints] = {}
    for leaves in after[2:]:
        made |= dict(zip(GATE_STATE, leaves, strict=True))
    return {**made, **dict(zip(STATISTICS, after[:2], strict=True)), "x": x[:, 0]}


def front_end_values(network: Network, samples: Floats) -> dict[str, Ints]:
    """Return what becomes of samples, (n,): the arrays of `front_end_entries`, and x, (S, 240)."""
    stages = fixed_stages(network)
    log2_mel = streamed_log_mel(samples[None], stages.log_mel)[0]
    rows: dict[str, list[Ints]] = collections.defaultdict(list)
    kept = dict(zip(STATISTICS, stages.normaliser.initial_state(1)[:2], strict=True))
    if stages.gain:
        kept |= dict(zip(GAIN_STATE, stages.gain.initial_state(1), strict=True))
    for leaves in stages.normaliser.initial_state(1)[2:]:
        kept |= dict(zip(GATE_STATE, leaves, strict=True))
    for frame in log2_mel:
        values = {"log2_mel": frame[None], "frames": frame[None]}
        if stages.gain:
            values |= control_frames(stages.gain, frame[None], kept["background"], kept["peak"])
        values |= normalise_frames(stages.normaliser, values["frames"], kept)
        kept = values
        for name, value in values.items():
            rows[name].append(value[0])
    entries = [*front_end_entries(network.specification), entry("x", "i8", (BINS,), "")]
    found = {e.name: np.array(rows[e.name], np.int64).reshape(-1, *e.shape[1:]) for e in entries}
    stack = network.specification.encoder.stack
    x = found["x"]
    found["x"] = np.pad(x, ((0, -len(x) % stack), (0, 0))).reshape(-1, stack * BINS)
    return found
