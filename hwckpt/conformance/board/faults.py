"""The usual faults of an implementation in integers: by what each is called, the rules that it computes instead.

A fault is another value of one field of `arithmetic.Rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

from hwckpt.conformance.board.arithmetic import GATES, ROUNDINGS, Rules
from stream.integer import fixed


def _shift_faults(name: str, what: str) -> dict[str, dict[str, Any]]:
    return {
        f"shift of {what}: {abs(n)} too {'large' if n > 0 else 'small'}": {"shifts": {name: n}}
        for n in (1, -1, 2, -2)
    }


def _faults(*groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Rules]:
    return {name: replace(Rules(), **fields) for group in groups for name, fields in group.items()}


def _rounding_faults(name: str) -> dict[str, dict[str, Any]]:
    return {
        f"rounding of {name}: {kind} in place of half to even": {name: kind}
        for kind in ROUNDINGS
        if kind != "half to even"
    }


def _wrap_fault(name: str) -> dict[str, dict[str, Any]]:
    return {f"saturation of {name}: it wraps around": {"wraps": frozenset({name})}}


_LINEAR: dict[str, dict[str, Any]] = {
    "bias: missing": {"bias": 0},
    "sign of the bias: it is subtracted": {"bias": -1},
    "sign of the weights: taken as unsigned": {"unsigned": frozenset({"weights"})},
}
LSTM_FAULTS = _faults(
    {
        f"order of gates: rows taken as {' '.join(order)}": {"gates": "".join(order)}
        for order in permutations(GATES)
        if "".join(order) != GATES
    },
    _rounding_faults("z"),
    _rounding_faults("c"),
    _rounding_faults("h"),
    _shift_faults("z", "z (the layer's shift)"),
    _shift_faults("x product", "the product with x (shift_x)"),
    _shift_faults("h product", "the product with h (shift_h)"),
    _shift_faults("c", "c (15)"),
    _shift_faults("h", "h (20)"),
    _wrap_fault("z"),
    _wrap_fault("c"),
    _wrap_fault("h"),
    _LINEAR,
    {
        "saturation of gates: 1 is 32767 in place of 32768": {"one": fixed.ONE_Q15 - 1},
        "saturation of the cell: h is of c, not of clamp(c)": {"cell_clamped": False},
        "sign of x: taken as unsigned": {"unsigned": frozenset({"x"})},
        "sign of h: taken as unsigned": {"unsigned": frozenset({"h"})},
        "order of weights: weight_hh transposed": {"transposed": True},
        "order of a pair: the newer frame first": {"newer_first": True},
        "state: the input is taken as zeros": {"without": "x"},
        "state: h before is taken as zeros": {"without": "h"},
        "state: c before is taken as zeros": {"without": "c"},
        "state: rows read h while it is being replaced": {"in_place": True},
    },
)
PROJECTION_FAULTS = _faults(
    _rounding_faults("e"),
    _shift_faults("e", "e (the layer's shift)"),
    _shift_faults("x product", "the product (shift_x)"),
    _wrap_fault("e"),
    _LINEAR,
    {"sign of h: taken as unsigned": {"unsigned": frozenset({"x"})}},
)
JOINT_FAULTS = _faults(
    _rounding_faults("a"),
    _shift_faults("a", "a (6)"),
    {
        "saturation of a: at 127 in place of 255": {"most_a": 127},
        "saturation of a: it wraps around": {"wraps": frozenset({"a"})},
        "sign: sums below 0 are not 0": {"relu": False},
    },
)
OUTPUT_FAULTS = _faults(_LINEAR, {"sign of a: taken as signed": {"signed_a": True}})
GAIN_FAULTS = _faults(
    _rounding_faults("lift"),
    _shift_faults("lift", "lift (10)"),
    {
        "saturation of the gain: it has no bounds": {"gain_bounded": False},
        "order of rules: the gain is that of the state before the frame": {"old_gain": True},
        "threshold of a tone: reached in place of exceeded": {"inclusive": True},
        "tones: they are not silenced": {"tones_silenced": False},
    },
)
INPUT_FAULTS = _faults(
    _rounding_faults("level"),
    _rounding_faults("mean"),
    _rounding_faults("variance"),
    _rounding_faults("x"),
    _shift_faults("x", "x (36 - input_exponent)"),
    _wrap_fault("x"),
    {
        "order of rules: a frame is normalised before it updates the statistics": {
            "old_statistics": True
        },
        "state: the statistics are not updated": {"updates": False},
        "state: the gate keeps no frame from the statistics": {"gated": False},
        "threshold of speech: reached in place of exceeded": {"inclusive": True},
    },
)
