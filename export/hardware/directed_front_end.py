"""Directed vectors of the front end: single frames, from given states, that reach every bound of rules 10.12 to 10.21.

Recordings seldom end on a threshold: that a frame is just no tone, that a level is just no speech, that a gain is just
0. Gain control has few inputs, its strongest bin and its state, so each frame is made for what it is to reach. For the
normaliser, whose bins do not know of each other, many bins are drawn, and those that reach something are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from export.hardware.directed import Directed, Ints, Values, ties
from export.hardware.front_end import GATE_STATE, control_frames, normalise_frames
from stream.front_end.log_mel import BINS
from stream.integer.fixed import rhe
from stream.integer.gain_control import STATE, FixedGain
from stream.integer.log_mel import FRACTION, LOUDEST
from stream.integer.normaliser import (
    ALPHA,
    DIFFERENCE,
    INT8_LEAST,
    INT8_MOST,
    MEAN,
    ROOT_SHIFT,
    VARIANCE,
    FixedNormaliser,
    inverse_root,
)

MOST = LOUDEST << FRACTION  # of a bin
LIFT = STATE - FRACTION  # bits by which a gain is rounded
GAINS = (-1, 0, 1, 511, 512, 513, 1536, 1537)  # none, the least, and ties of that rounding
QUIET = 1000  # crest of frames that are no tones
DRAWN = 1 << 17  # bins of the normaliser, among which events are looked for
EACH = 4  # bins that are taken for an event
ROWS = 24  # frames of the normaliser


class _Frame(NamedTuple):
    """A frame of gain control and the state before it.

    Attributes:
        most: its strongest bin.
        crest: how far that lies above all of them, 80 max f - sum f of rule 10.17.
    """

    most: int
    crest: int
    background: int
    peak: int


def directed_gain(
    gain: FixedGain, constants: Mapping[str, int], rng: np.random.Generator
) -> Directed:
    """Make frames of gain control (rules 10.17 to 10.19).

    Args:
        constants: of the bundle.
    """
    made = [frame for frame in _gain_frames(constants, rng) if _possible(frame, constants)]
    given = {
        "log2_mel": np.stack([_bins(frame, constants, rng) for frame in made]),
        "background_before": np.array([frame.background for frame in made]),
        "peak_before": np.array([frame.peak for frame in made]),
    }
    computed = control_frames(gain, *given.values())
    found = dict(_gain_events(constants, given, computed))
    return _directed(given, computed, found, f"not found in {len(made)} frames")


def _directed(
    given: dict[str, Ints], computed: dict[str, Ints], found: Mapping[str, Ints], reason: str
) -> Directed:
    events = {name: int(where.sum()) for name, where in found.items()}
    unreachable = {name: reason for name, count in events.items() if not count}
    return Directed(given, computed, events, unreachable)


def _gain_frames(c: Mapping[str, int], rng: np.random.Generator) -> Iterator[_Frame]:
    """Yield frames for each event of `_gain_events`; what a model cannot do is left out by `_possible`."""
    lowest, loudest = c["lowest"] << LIFT, c["gain_loudest"]
    middle = (c["lowest"] + MOST) // 2
    quiet = min(c["tone"], QUIET)
    for crest in (c["tone"] - 1, c["tone"], c["tone"] + 1, c["tone"] + 77):
        for most in (0, 777, -1025, MOST - 1):
            yield _Frame(most, crest, middle << LIFT, middle << LIFT)
    for background in (loudest, loudest - c["gain_rise"] // 2, lowest, lowest + 12345):
        yield _Frame(c["lowest"], 0, background, lowest)  # digital silence
        yield _Frame(0, c["tone"] + 77, background, lowest)  # a tone
        for most in (c["lowest"] + 1, c["floor"], c["floor"] + 1, middle):
            yield _Frame(most, 0, background, lowest + 5)
    for most in (c["floor"] + 100, middle, 0):
        of_frame = most << LIFT
        speeds = c["gain_attack"], c["gain_release"], c["gain_rise"]
        for apart in (0, 1, *speeds, *(2 * speed for speed in speeds)):
            yield _Frame(most, quiet, of_frame - apart, of_frame - apart)
            yield _Frame(most, quiet, of_frame + apart, of_frame + apart)
    for wanted in (*GAINS, *(c["gain_most"] + apart for apart in (-1, 0, 1))):
        # By the background, which rises to what is wanted below a strongest bin that allows more.
        background = c["gain_background"] - wanted - c["gain_rise"]
        most = (background + c["gain_rise"] + c["gain_speech"] - wanted) >> LIFT + 1
        yield _Frame(most, quiet, background, lowest)
        # By the peak, which falls to what is wanted.
        peak = c["gain_speech"] - wanted + c["gain_release"]
        yield _Frame(c["floor"] - 3, 0, lowest, peak)
        yield _Frame(c["floor"] + 3, quiet, lowest, peak)
    for _ in range(16):
        most = int(rng.integers(c["lowest"], MOST))
        background, peak = (int(rng.integers(lowest, loudest)) for _ in range(2))
        yield _Frame(most, int(rng.integers(0, 2 * quiet + 1)), background, peak)


def _possible(frame: _Frame, c: Mapping[str, int]) -> bool:
    """Return whether there is a frame with such bins, and a state that some stream has."""
    most = max(frame.most, c["floor"])
    inside = c["lowest"] << LIFT <= min(frame.background, frame.peak)
    inside &= max(frame.background, frame.peak) <= c["gain_loudest"]
    return (
        inside and c["lowest"] <= frame.most < MOST and 0 <= frame.crest <= 79 * (most - c["floor"])
    )


def _bins(frame: _Frame, c: Mapping[str, int], rng: np.random.Generator) -> Ints:
    """Return 80 bins with that strongest one and crest; those at the floor lie anywhere below it."""
    floor, most = c["floor"], max(frame.most, c["floor"])
    above = np.zeros(BINS - 1, np.int64)  # the floor
    room = 79 * (most - floor) - frame.crest  # that is spread over the other bins
    if room:
        count = max(-(-room // (most - floor)), min(BINS - 1, room, 50))
        above[:count] = room // count
        above[: room % count] += 1
        for one, other in rng.permutation(count)[: count // 2 * 2].reshape(-1, 2):
            step = int(rng.integers(0, min(above[one], most - floor - above[other]) + 1))
            above[one], above[other] = above[one] - step, above[other] + step
    bins = floor + above
    below = rng.integers(c["lowest"], min(floor, frame.most) + 1, BINS - 1)
    bins = rng.permutation(np.where(above == 0, below, bins))
    return np.insert(bins, int(rng.integers(0, BINS)), frame.most)


def _gain_events(
    c: Mapping[str, int], given: Values, computed: Values
) -> Iterator[tuple[str, Ints]]:
    """Yield where each threshold and bound is reached, (B,) bool."""
    frames = given["log2_mel"]
    most, floored = frames.max(axis=1), np.maximum(frames, c["floor"])
    crest = BINS * floored.max(axis=1) - floored.sum(axis=1)
    tone, silence = crest > c["tone"], most == c["lowest"]
    peak = most << LIFT
    heard = ~tone & ~silence
    risen = given["background_before"] + c["gain_rise"]
    fallen = given["peak_before"] - c["gain_release"]
    attacked = given["peak_before"] + c["gain_attack"]
    of_background = c["gain_background"] - computed["background"]
    high = np.where(tone, c["lowest"] << LIFT, peak)
    of_peak = c["gain_speech"] - np.maximum(computed["peak"], high)
    wanted = np.minimum(of_background, of_peak)
    between = (wanted > 0) & (wanted < c["gain_most"])
    yield "tone: just not", crest == c["tone"]
    yield "tone: just", crest == c["tone"] + 1
    yield "tone: bins below the floor", tone & (frames < c["floor"]).any(axis=1)
    yield "silence", silence
    yield "just no silence", heard & (most == c["lowest"] + 1)
    yield "background: falls", heard & (peak < given["background_before"])
    yield "background: rises", heard & (risen < peak)
    yield (
        "background: rises to the frame's",
        heard & (risen > peak) & (peak > given["background_before"]),
    )
    yield "background: the most", ~heard & (risen > c["gain_loudest"])
    yield "peak: rises", heard & (attacked < peak)
    yield "peak: rises to the frame's", heard & (peak > given["peak_before"]) & (peak < attacked)
    yield "peak: falls", heard & (peak < fallen)
    yield "peak: falls to the frame's", heard & (peak < given["peak_before"]) & (peak > fallen)
    yield "peak: the least", tone & (computed["peak"] == c["lowest"] << LIFT)
    yield "gain: just 0", wanted == -1
    yield "gain: just not 0", wanted == 1
    yield "gain: just the most", wanted == c["gain_most"] + 1
    yield "gain: just not the most", wanted == c["gain_most"] - 1
    yield "gain: by the background", between & (of_background < of_peak)
    yield "gain: by the peak", between & (of_peak < of_background) & (computed["peak"] > peak)
    yield "gain: by the frame", between & (of_peak < of_background) & (computed["peak"] < peak)
    for name, where in ties(computed["gain"], LIFT, "lift"):
        if "negative" not in name:
            yield name, where
    yield (
        "lift: stays below the floor",
        heard & (frames + (computed["gain"] >> LIFT)[:, None] < c["floor"]).any(axis=1),
    )


def directed_normaliser(
    normaliser: FixedNormaliser, constants: Mapping[str, int], rng: np.random.Generator
) -> Directed:
    """Make frames of the normaliser and its gate (rules 10.12 to 10.16, 10.20 and 10.21).

    The first half of the frames count; the second half do not where there is a gate.

    Args:
        constants: of the bundle.
    """
    alpha, gate = constants["alpha"], normaliser.gate
    weights = alpha, 0 if gate else alpha
    halves = [_chosen_bins(constants, weight, rng) for weight in weights]
    given = {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
    found = dict(_bin_events(constants, given, np.repeat(weights, ROWS // 2)[:, None]))
    if gate:
        given |= _gate_states(constants, given["frames"].sum(axis=1))
        found |= dict(_gate_events(constants, given))
    before = {name.removesuffix("_before"): values for name, values in given.items()}
    computed = normalise_frames(normaliser, given["frames"], before)
    return _directed(given, computed, found, f"not found in {DRAWN} bins; alpha is {alpha} / 2^20")


def _chosen_bins(c: Mapping[str, int], weight: int, rng: np.random.Generator) -> dict[str, Ints]:
    """Draw many bins and their states; return half the rows of them, with some for each event that any reaches."""
    mean = rng.integers(c["floor"] << (MEAN - FRACTION), LOUDEST << MEAN, DRAWN)
    half = 1 << (MEAN - DIFFERENCE - 1)
    mean[::2] = mean[::2] & -2 * half | half  # so that differences are ties
    variance = np.exp2(rng.uniform(0.0, 31.0, DRAWN)).astype(np.int64)
    variance[::3] = 1 << rng.integers(0, 32, len(variance[::3]))  # whose roots have many zeros
    deviation = np.sqrt(variance / (1 << VARIANCE))
    level = mean / (1 << MEAN) + rng.normal(0.0, 3.0, DRAWN) * deviation
    frames = np.rint(level * (1 << FRACTION)).clip(c["floor"], MOST - 1).astype(np.int64)
    drawn = {"frames": frames, "mean_before": mean, "variance_before": variance}
    chosen = [np.flatnonzero(where)[:EACH] for _, where in _bin_events(c, drawn, weight)]
    wanted = np.unique(np.concatenate(chosen))
    others = rng.integers(0, DRAWN, ROWS // 2 * BINS - len(wanted))
    taken = rng.permutation(np.concatenate([wanted, others]))
    return {name: values[taken].reshape(-1, BINS) for name, values in drawn.items()}


def _bin_events(
    c: Mapping[str, int], given: Values, weight: Ints | int
) -> Iterator[tuple[str, Ints]]:
    """Yield where each tie and bound of rules 10.12 to 10.16 is reached, for bins of any shape."""
    of_growth = 2 * DIFFERENCE + ALPHA - VARIANCE  # bits by which each is shifted right
    of_d, of_x = MEAN - DIFFERENCE, ROOT_SHIFT - c["input_exponent"]
    difference = (given["frames"] << (MEAN - FRACTION)) - given["mean_before"]
    d = rhe(difference, of_d)
    growth = weight * d * d
    grown = given["variance_before"] + rhe(growth, of_growth)
    shrunk = grown - rhe(weight * grown, ALPHA)
    root, k = inverse_root(np.maximum(shrunk, 1))
    after = difference - rhe(weight * difference, ALPHA)
    scaled = (rhe(after, of_d) * root) << k
    x = rhe(scaled, of_x)
    yield from ties(difference, of_d, "d")
    yield from ties(weight * difference, ALPHA, "mean")
    for name, a, shift in (("growth", growth, of_growth), ("decay", weight * grown, ALPHA)):
        yield from ((key, where) for key, where in ties(a, shift, name) if "negative" not in key)
    yield "variance: 1 at least", shrunk < 1
    yield from ((f"root: shifted by {n}", k == n) for n in range(16))
    yield from ties(scaled, of_x, "x")
    yield "x: above int8", x > INT8_MOST
    yield "x: below int8", x < INT8_LEAST


def _gate_states(c: Mapping[str, int], sums: Ints) -> dict[str, Ints]:
    """Return a state before each frame: those of the first half count, those of the second do not."""
    apart = np.resize(
        [2, 6, -2, -6, 4001, -3999, 30000, -30000], ROWS
    )  # the first are ties of a quarter
    level = sums - apart
    after = level + rhe(apart, 2)
    speech = after - c["gate_margin"] - c["gate_rise"] - 1  # of a frame that just is
    of_frame = np.resize([0, 0, 1, 2, 3], ROWS // 2), np.resize([1, 2, 3], ROWS - ROWS // 2)
    choices = [speech, speech + 1, after + 777, after - c["gate_rise"] // 2]
    left = np.resize([0, 1, 2, 3, c["gate_hold"]], ROWS // 2), np.resize([0, 1], ROWS - ROWS // 2)
    kind = np.concatenate(of_frame)
    counted = np.concatenate(left)
    first = np.arange(ROWS) < ROWS // 2
    return {
        "level_before": level,
        "level_background_before": np.choose(kind, choices),
        "frames_left_before": np.where(first & (kind > 0), np.maximum(counted, 2), counted),
    }


def _gate_events(c: Mapping[str, int], given: Values) -> Iterator[tuple[str, Ints]]:
    """Yield where each tie and threshold of rules 10.20 and 10.21 is reached, (B,) bool."""
    level, background, left = (given[f"{name}_before"] for name in GATE_STATE)
    apart = given["frames"].sum(axis=1) - level
    after = level + rhe(apart, 2)
    yield from ties(apart, 2, "level")
    risen = background + c["gate_rise"]
    above = after - np.minimum(risen, after) - c["gate_margin"]
    yield "level background: falls", after < background
    yield "level background: rises", risen < after
    yield "level background: rises to the level", (background < after) & (after < risen)
    yield "speech: just", above == 1
    yield "speech: just not", above == 0
    yield "frames left: the last one", (above <= 0) & (left == 1)
    yield "frames left: none", (above <= 0) & (left == 0)
