"""Which fault explains a difference: each of `faults` is tried on the inputs of the row that differs.

At the first difference all inputs are still those of the vectors. So a fault that gives exactly the board's row is the
answer, and more than one where the row cannot tell them apart. Where none does, the values are looked at alone: byte
order, sign, a shift, rows or columns that are out of place, the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance.board import arithmetic, front_end
from hwckpt.conformance.board.arithmetic import Rules
from hwckpt.conformance.board.differences import Difference
from hwckpt.conformance.board.faults import (
    GAIN_FAULTS,
    INPUT_FAULTS,
    JOINT_FAULTS,
    LSTM_FAULTS,
    OUTPUT_FAULTS,
    PROJECTION_FAULTS,
)
from hwckpt.hardware_bundle import DTYPES, Bundle, CaseEntry
from stream.integer.log_mel import FixedLogMel, emphasise

Ints = NDArray[Any]  # of integers
Step = Callable[[Rules], Ints]  # the row that differs, by other rules
SHIFTS = range(1, 17)


def guess(bundle: Bundle, difference: Difference) -> list[str]:
    """Return what explains a difference, the likeliest first; nothing where nothing does."""
    if difference.index is None:
        return []
    found = [
        name
        for step, faults in _steps(bundle, difference)
        for name, rules in faults.items()
        if np.array_equal(step(rules), difference.computed)
    ]
    return found or list(_patterns(bundle, difference))


def _steps(bundle: Bundle, difference: Difference) -> Iterator[tuple[Step, Mapping[str, Rules]]]:
    """Yield how the row that differs is computed, and its faults: only what gives the expected row without one."""
    for step, faults in _candidates(bundle, difference):
        if np.array_equal(step(Rules()), difference.expected):
            yield step, faults
            return


def _candidates(
    bundle: Bundle, difference: Difference
) -> Iterator[tuple[Step, Mapping[str, Rules]]]:
    case, array = difference.case, difference.array
    row, values = difference.row, difference.values
    if case.kind == "stream":
        yield from _of_stream(bundle, array, row, values)
        return
    if case.kind in ("gain", "normaliser"):
        yield from _of_frame(bundle, case, array, row, values)
        return
    layer = bundle.layer(case.layer)
    if case.kind == "lstm":
        given = (values["x"][row], values["h_before"][row], values["c_before"][row])
        yield (
            lambda rules: arithmetic.lstm(bundle, layer, *given, rules)[array],
            LSTM_FAULTS,
        )
    elif case.kind == "projection":
        yield (
            lambda rules: arithmetic.projection(bundle, layer, values["h"][row], rules)[array],
            PROJECTION_FAULTS,
        )
    else:
        yield from _of_joint(bundle, array, values["e"][row], values["g"][row])


def _of_frame(
    bundle: Bundle, case: CaseEntry, array: str, row: int, values: Mapping[str, Ints]
) -> Iterator[tuple[Step, Mapping[str, Rules]]]:
    """Yield how a frame of the front end is computed from the state that is given."""
    constants = bundle.manifest.constants
    before = {
        name.removesuffix("_before"): values[name][row]
        for name in case.given
        if name.endswith("_before")
    }
    if case.kind == "gain":
        frame, computes, faults = values["log2_mel"][row], front_end.gain_control, GAIN_FAULTS
    else:
        frame, computes, faults = values["frames"][row], front_end.normaliser, INPUT_FAULTS
    yield lambda rules: computes(constants, frame, before, rules)[array].reshape(-1), faults


def _of_joint(
    bundle: Bundle, array: str, e: Ints, g: Ints
) -> Iterator[tuple[Step, Mapping[str, Rules]]]:
    if array == "a":
        yield lambda rules: arithmetic.joint(bundle, e, g, rules)["a"], JOINT_FAULTS
    elif array == "logits":
        a = arithmetic.joint(bundle, e, g, Rules())["a"]
        layer = bundle.layer("joint.output")
        yield (
            lambda rules: arithmetic.output(bundle, layer, a, rules)["logits"],
            OUTPUT_FAULTS,
        )


def _of_stream(
    bundle: Bundle, array: str, row: int, values: Mapping[str, Ints]
) -> Iterator[tuple[Step, Mapping[str, Rules]]]:
    if array in ("background", "peak", "gain", "frames") and "gain" in values:
        frames = values["log2_mel"][: row + 1]
        yield (
            lambda rules: front_end.stream_gain(bundle, frames, rules)[array][row].reshape(-1),
            GAIN_FAULTS,
        )
    elif array in ("level", "level_background", "frames_left", "mean", "variance", "x"):
        frames = values["frames"][: 3 * (row + 1) if array == "x" else row + 1]
        yield (
            lambda rules: front_end.stream_inputs(bundle, frames, rules)[array][row].reshape(-1),
            INPUT_FAULTS,
        )
    elif array in ("e", "g"):
        name = {"e": "joint.encoder", "g": "joint.prediction"}[array]
        h = _last_h(bundle, "encoder.post" if array == "e" else "prediction.lstm", values)[row]
        layer = bundle.layer(name)
        yield (
            lambda rules: arithmetic.projection(bundle, layer, h, rules)["e"],
            PROJECTION_FAULTS,
        )
    elif array in ("a", "logits"):
        before = int(np.searchsorted(values["joints"], row, side="right")) - 1
        g = values["g"][before]
        for e in values["e"]:  # which one it is shows in the result: some frames are not decoded
            if np.array_equal(arithmetic.joint(bundle, e, g, Rules())["a"], values["a"][row]):
                yield from _of_joint(bundle, array, e, g)
    elif array.endswith((".c", ".h")):
        yield from _of_layer(bundle, array, row, values)


def _last_h(bundle: Bundle, stack: str, values: Mapping[str, Ints]) -> Ints:
    names = [layer.name for layer in bundle.manifest.layers if layer.name.startswith(stack)]
    return values[f"{names[-1]}.h"]


def _of_layer(
    bundle: Bundle, array: str, row: int, values: Mapping[str, Ints]
) -> Iterator[tuple[Step, Mapping[str, Rules]]]:
    name, part = array.rsplit(".", 1)
    layer = bundle.layer(name)
    zeros = np.zeros(layer.outputs, np.int64)
    befores = [(zeros, zeros)]  # at the start of a segment
    if row:
        befores.insert(0, (values[f"{name}.h"][row - 1], values[f"{name}.c"][row - 1]))
    for x in _inputs_of(bundle, name, row, values):
        for h, c in befores:

            def step(rules: Rules, x: Ints = x, h: Ints = h, c: Ints = c) -> Ints:
                return arithmetic.lstm(bundle, layer, x, h, c, rules)[part]

            yield step, LSTM_FAULTS


def _inputs_of(bundle: Bundle, name: str, row: int, values: Mapping[str, Ints]) -> Iterator[Ints]:
    """Yield what may be the input of a layer at a row; which one it is shows in the result."""
    stack, number = name.rsplit(".", 1)
    if int(number):
        yield values[f"{stack}.{int(number) - 1}.h"][row]
    elif stack == "encoder.pre":
        yield values["x"][row]
    elif stack == "encoder.post":
        h = _last_h(bundle, "encoder.pre", values)
        older = h[2 * row]
        newer = h[2 * row + 1] if 2 * row + 1 < len(h) else np.zeros_like(older)
        yield np.concatenate([older, newer])
    else:
        embedding = bundle.array("prediction.embedding")
        joint = int(values["joints"][row])
        if joint:
            yield embedding[int(values["best"][joint - 1])]
        yield embedding[-1]


def _patterns(bundle: Bundle, difference: Difference) -> Iterator[str]:
    """Yield what the values alone suggest."""
    want, got = difference.expected.astype(np.int64), difference.computed.astype(np.int64)
    entry = next(e for e in difference.case.arrays if e.name == difference.array)
    kind = DTYPES[entry.type]
    if kind.itemsize > 1 and np.array_equal(want.astype(kind).byteswap(), got.astype(kind)):
        yield "endianness: the bytes of each value are in reverse order"
        return
    if difference.array == "log2_mel":
        yield from _of_samples(bundle, difference)
    if np.array_equal(got, -want):
        yield "sign: every value is negated"
    if not got.any():
        yield "all values are 0: not written, or read before they were"
    yield from _shifts(want, got)
    yield from _places(difference, want, got)
    apart = got - want
    if np.abs(apart).max() == 1:
        share = 100 * np.count_nonzero(apart) / apart.size
        yield f"rounding: {share:.0f} % of the row differ by 1"
    elif apart.size > 1 and (apart == apart[0]).all():
        yield f"all values are {apart[0]:+d} off: a scale or a bias"
    limits = np.iinfo(kind)
    at = np.isin(want[apart != 0], (limits.min, limits.max))
    if at.size and at.all():
        yield "saturation: only values at an end of their range differ"


def _shifts(want: Ints, got: Ints) -> Iterator[str]:
    for n in SHIFTS:
        if want.any() and np.array_equal(got, want << n):
            yield f"shift: every value is {n} bits too far left"
        if got.any() and np.array_equal(got, want >> n):
            yield f"shift: every value is {n} bits too far right"


def _places(difference: Difference, want: Ints, got: Ints) -> Iterator[str]:
    """Yield that the right values stand in the wrong place."""
    rows = difference.values[difference.array].reshape(-1, len(want))
    for other in range(max(difference.row - 3, 0), min(difference.row + 4, len(rows))):
        if other != difference.row and len(want) > 1 and np.array_equal(got, rows[other]):
            yield f"order: it is the row {other - difference.row:+d} away"
    if len(want) > 1 and np.array_equal(np.sort(got), np.sort(want)):
        turned = next(
            (n for n in range(1, len(want)) if np.array_equal(np.roll(want, n), got)), None
        )
        kind = (
            "reversed"
            if np.array_equal(got, want[::-1])
            else f"rotated by {turned}"
            if turned
            else "permuted"
        )
        yield f"order: the values of the row are {kind}"


def _of_samples(bundle: Bundle, difference: Difference) -> Iterator[str]:
    """Yield faults of the samples that give the board's log2-mel frame (rules 10.1 to 10.11)."""
    constants = bundle.manifest.constants
    window, row = constants["window"], difference.row
    pcm = difference.values["pcm"].astype(np.int64)
    if constants["initial_padding"]:
        pcm = np.concatenate([np.zeros(window - 160, np.int64), pcm])
    swapped = pcm.astype("<i2").byteswap().astype(np.int64)
    floor = 2.0 ** (constants["lowest"] / 1024)
    for name, samples, factor in (
        ("endianness: the bytes of the samples are in reverse order", swapped, 1),
        ("order: there is no pre-emphasis", pcm, 0),
    ):
        before = np.concatenate([samples[:1], samples[:-1]])
        y = emphasise(samples, factor * before)[160 * row : 160 * row + window]
        if len(y) == window:
            frame = FixedLogMel(window, floor).values(y[None]).frames[0, 0]
            if np.array_equal(frame, difference.computed):
                yield name
