"""Directed vectors: single steps of a model's own layers that reach every tie and bound of rules 3, 5, 6 and 7.

Random inputs and states seldom end in a tie of 20 bits. So for an LSTM layer many steps are drawn, at the ends of
the ranges too, and then cells are chosen, of all 65536 for each unit, that bring about what is still missing. What
no cell brings about, in hundreds of units, the model cannot do often; where no input at all can, the reason stands
in `unreachable`. Linear layers have their inputs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.integer import fixed
from stream.integer.fixed import GATE_BITS, HIDDEN_SHIFT, JOINT_SHIFT, ONE_Q12, ONE_Q15
from stream.integer.network import IntegerLayer, IntegerLinear

Ints = NDArray[Any]  # of integers
Values = Mapping[str, Ints]

ROWS = 24  # random steps of a layer, a third of them loud
EXTREME = 0.5  # share of values at an end of their range, where they are loud
CELLS = np.arange(-32768, 32768)
UNITS_SEARCHED = 48  # whose cells are tried for an event
STEPS = 400  # in which a hidden vector is looked for


class Directed(NamedTuple):
    """Vectors of one layer.

    Attributes:
        given, computed: arrays by name, a row for each step.
        events: how often each tie and bound is reached.
        unreachable: those that no input can reach, and why.
    """

    given: dict[str, Ints]
    computed: dict[str, Ints]
    events: dict[str, int]
    unreachable: dict[str, str]


def ties(a: Ints, shift: int, name: str) -> Iterator[tuple[str, Ints]]:
    """Yield the ties of `rhe(a, shift)`: of both parities of the quotient and both signs."""
    if shift == 0:
        return
    tie = (a & ((1 << shift) - 1)) == 1 << (shift - 1)
    odd = ((a >> shift) & 1).astype(np.bool_)
    for sign, of_sign in (("positive", a >= 0), ("negative", a < 0)):
        yield f"{name}: tie, {sign}, even", tie & ~odd & of_sign
        yield f"{name}: tie, {sign}, odd", tie & odd & of_sign


def lstm_events(layer: IntegerLayer, values: Values) -> dict[str, Ints]:
    """Return where each tie and bound of rule 3 is reached, (B, 4H) or (B, H) bool."""
    acc, z, c, p, u = (values[name] for name in ("acc", "z", "c", "p", "u"))
    rounded = fixed.rhe(acc, layer.shift)
    cell, hidden = fixed.rhe(p, GATE_BITS), fixed.rhe(u, HIDDEN_SHIFT)
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
    events = dict(ties(acc, layer.shift, "z"))
    events |= {"z: above int16": rounded > 32767, "z: below int16": rounded < -32768}
    for name, of_gate in (("i", z_i), ("f", z_f), ("o", z_o)):
        events |= {
            f"{name}: 0": of_gate + fixed.HALF_Q15 <= 0,
            f"{name}: 1": of_gate + fixed.HALF_Q15 >= ONE_Q15,
        }
    events |= {"g: -1": z_g <= -ONE_Q12, "g: 1": z_g >= ONE_Q12}
    events |= dict(ties(p, GATE_BITS, "c"))
    events |= {"c: above int16": cell > 32767, "c: below int16": cell < -32768}
    events |= {"cell above 1": c > ONE_Q12, "cell below -1": c < -ONE_Q12}
    events |= dict(ties(u, HIDDEN_SHIFT, "h"))
    return events | {"h: 1 becomes 127": hidden > 127, "h: -128": hidden == -128}


def lstm_steps(layer: IntegerLayer, x: Ints, h: Ints, c: Ints) -> dict[str, Ints]:
    """Return all values of single steps (rule 3): x (B, I), h and c (B, H)."""
    acc = fixed.gate_sums(layer, x, h)
    z = fixed.gate_inputs(acc, layer.shift)
    return {"acc": acc, "z": z, **fixed.cell_values(z, c)._asdict()}


def directed_lstm(layer: IntegerLayer, rng: np.random.Generator) -> Directed:
    """Draw steps of an LSTM layer."""
    inputs, units = layer.weight_ih.shape[1], layer.weight_hh.shape[1]
    x, h = _activations(rng, inputs), _activations(rng, units)
    for row, signs in enumerate(_loudest_rows(layer)):  # the largest accumulators that there are
        x[row], h[row] = (
            _aligned(layer.weight_ih[signs.row], signs.sign),
            _aligned(layer.weight_hh[signs.row], signs.sign),
        )
    c = np.rint(rng.normal(0.0, 3000.0, (ROWS, units))).astype(np.int64).clip(-32768, 32767)
    c[1::4] = rng.choice([-32768, -4096, 4096, 32767], c[1::4].shape)
    _search_cells(layer, x, h, c)
    values = lstm_steps(layer, x, h, c)
    events = {name: int(where.sum()) for name, where in lstm_events(layer, values).items()}
    return Directed(
        {"x": x, "h_before": h, "c_before": c},
        {name: values[name] for name in ("acc", "z", "c", "h")},
        events,
        dict(_unreachable_of(layer, events)),
    )


def _activations(rng: np.random.Generator, size: int) -> Ints:
    """Draw int8 rows: quiet, loud, and the first ones of zeros and of each end."""
    drawn = np.rint(rng.normal(0.0, 40.0, (ROWS, size))).clip(-128, 127).astype(np.int64)
    loud = np.zeros((ROWS, 1), np.bool_)
    loud[::3] = True
    ends = rng.choice([-128, 127], drawn.shape)
    drawn = np.where(loud & (rng.random(drawn.shape) < EXTREME), ends, drawn)
    drawn[-3:] = np.array([[0], [-128], [127]])
    return drawn


class _Loudest(NamedTuple):
    row: int
    sign: int


def _loudest_rows(layer: IntegerLayer) -> list[_Loudest]:
    """Return, of each gate, the row with the largest bound, to be driven up and down."""
    bounds = np.split(layer.bound, 4)
    size = len(bounds[0])
    rows = [gate * size + int(of_gate.argmax()) for gate, of_gate in enumerate(bounds)]
    return [_Loudest(row, sign) for row in rows for sign in (1, -1)]


def _aligned(weights: Ints, sign: int) -> Ints:
    """Return the int8 values that make a row's product the largest, or the least."""
    return np.where(sign * weights.astype(np.int64) > 0, 127, -128)


def _search_cells(layer: IntegerLayer, x: Ints, h: Ints, c: Ints) -> None:
    """Choose cells, in place, that bring about the events that are missing."""
    values = lstm_steps(layer, x, h, c)
    taken = np.zeros(c.shape, np.bool_)
    missing = [
        name
        for name, where in lstm_events(layer, values).items()
        if where.shape == c.shape and name[0] in "ch" and not where.any()
    ]
    for name in missing:
        for row, unit in _likely(values, taken, name):
            step = {key: each[row, unit] for key, each in values.items() if key in "ifgo"}
            p = step["f"] * CELLS + step["i"] * step["g"]
            cell = fixed.saturate(fixed.rhe(p, GATE_BITS), 16)
            u = step["o"] * fixed.hard_tanh(cell)
            tried = {"acc": values["acc"][:1], "z": values["z"][:1], "p": p, "c": cell, "u": u}
            found = np.flatnonzero(lstm_events(layer, tried)[name])
            if found.size:
                c[row, unit] = CELLS[found[len(found) // 2]]
                taken[row, unit] = True
                break


def _likely(values: Values, taken: Ints, name: str) -> list[tuple[int, int]]:
    """Return places, row and unit, at which to look for an event.

    An odd forget gate times a cell ends in anything, so in a tie; an output gate that ends in many zeros makes one
    with many cells; bounds want wide open gates.
    """
    f, o = values["f"], values["o"]
    score = {"c: tie": f & 1, "h: tie": o & -o}.get(name[:6], o if name[0] == "h" else f)
    order = np.argsort(-np.where(taken, -1, score), axis=None, kind="stable")[:UNITS_SEARCHED]
    return [divmod(int(place), score.shape[1]) for place in order]


def _unreachable_of(layer: IntegerLayer, events: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield the events that no input of a layer reaches, by its bound."""
    most = int(layer.bound.max())
    for name, count in events.items():
        if count:
            continue
        if name in ("z: above int16", "z: below int16") and most < 32767 << layer.shift:
            yield name, f"no accumulator exceeds {most}, 2^{layer.shift + 15} would be needed"
        else:
            yield name, f"not found in {ROWS} steps, nor by any cell of the units searched"


def directed_projection(linear: IntegerLinear, rng: np.random.Generator) -> Directed:
    """Draw inputs of a projection (rule 5)."""
    h = _activations(rng, linear.weight.shape[1])
    loudest = int(linear.bound.argmax())
    h[0], h[1] = (_aligned(linear.weight[loudest], sign) for sign in (1, -1))
    acc = fixed.accumulate(linear, h)
    rounded = fixed.rhe(acc, linear.shift_out)
    found = dict(ties(acc, linear.shift_out, "e"))
    found |= {"e: above int16": rounded > 32767, "e: below int16": rounded < -32768}
    events = {name: int(where.sum()) for name, where in found.items()}
    most = int(linear.bound.max())
    unreachable = {
        name: f"no accumulator exceeds {most}, 2^{linear.shift_out + 15} would be needed"
        if most < 32767 << linear.shift_out
        else f"not found in {ROWS} inputs"
        for name, count in events.items()
        if not count
    }
    return Directed({"h": h}, {"acc": acc, "e": fixed.project(linear, h)}, events, unreachable)


def directed_joint(linear: IntegerLinear, rng: np.random.Generator) -> Directed:
    """Draw inputs of the joint (rules 6 and 7): every tie and both ends of its rounding; a row of nothing, one whose best
    class is the first, one whose logits are all below 0.
    """
    size = linear.weight.shape[1]
    half = 1 << (JOINT_SHIFT - 1)
    wanted = [(q << JOINT_SHIFT) + half + d for q in (4, 5, 126, 127, 254, 255) for d in (-1, 0, 1)]
    wanted += [0, -1, 1, half, -half, 65534, -65536, 40000, -40000]
    total = np.rint(rng.normal(2000.0, 6000.0, (ROWS, size))).astype(np.int64).clip(-65536, 65534)
    total[0] = -np.abs(total[0])  # the logits are the biases
    total[1], total[2] = (_hidden_for(linear, best) << JOINT_SHIFT for best in (0, None))
    total.reshape(-1)[3 * size : 3 * size + len(wanted)] = wanted
    e = np.clip(total // 2 + rng.integers(-9000, 9000, total.shape), total - 32767, total + 32768)
    e = e.clip(-32768, 32767)
    a = fixed.joint_hidden(e, total - e)
    logits = fixed.logits(linear, a)
    positive = np.maximum(total, 0)
    rounded = fixed.rhe(positive, JOINT_SHIFT)
    found: dict[str, Ints] = {
        name: where for name, where in ties(positive, JOINT_SHIFT, "a") if "negative" not in name
    }
    found |= {
        "a: above u8": rounded > fixed.UNSIGNED_MOST,
        "a: above int8": (rounded > 127) & (rounded <= fixed.UNSIGNED_MOST),
        "sum below 0": total < 0,
        "sum beyond int16": np.abs(total) > 1 << 15,
        "best: the first class": fixed.best_class(logits) == 0,
        "logits: all below 0": (logits.max(axis=1) < 0) & (fixed.best_class(logits) > 0),
    }
    events = {name: int(where.sum()) for name, where in found.items()}
    unreachable = {name: f"not found in {ROWS} inputs" for name, n in events.items() if not n}
    values = {"a": a, "logits": logits, "best": fixed.best_class(logits)}
    return Directed({"e": e, "g": total - e}, values, events, unreachable)


def _hidden_for(linear: IntegerLinear, best: int | None) -> Ints:
    """Look for a hidden vector of the joint, (J,), whose best class is that one; None: whose logits are all below 0."""
    weight = linear.weight.astype(np.float64)
    a = np.full(weight.shape[1], fixed.UNSIGNED_MOST / 2)
    for n in range(STEPS):
        logits = fixed.logits(linear, np.rint(a).astype(np.int64)[None])[0]
        largest = int(logits.argmax())
        if largest == best or (best is None and logits[largest] < 0):
            break
        uphill = (0.0 if best is None else weight[best]) - weight[largest]
        a += uphill * (fixed.UNSIGNED_MOST / (4 + n / 4) / max(np.abs(uphill).max(), 1.0))
        a = a.clip(0, fixed.UNSIGNED_MOST)
    found: Ints = np.rint(a).astype(np.int64)
    return found


DIRECTED: Mapping[str, Callable[..., Directed]] = {
    "lstm": directed_lstm,
    "projection": directed_projection,
    "joint": directed_joint,
}
