"""Memory images for the gateware in rtl/: the arrays of a hardware bundle as words for `$readmemh`.

docs/rtl.md describes the words. A group is `units` units of an LSTM layer, or 4 `units` rows of a linear one: what the
4 `units` lanes of `rill_layer` compute at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from hwckpt.hardware_bundle import Bundle, LayerEntry

GATES = 4
LEAST_ACC_WIDTH = 20  # the gates are clamped at 16 bits and a sign
Ints = NDArray[np.int64]


def layer_words(bundle: Bundle, layer: LayerEntry, units: int) -> NDArray[np.int8]:
    """Return the weights of a layer in the order in which they are read: (words, 4 units) int8, lane 0 first.

    For each group a word for each input, then one for each unit of h. In an LSTM layer lane 4 u + g is gate g of unit u
    of the group; in a linear layer lane n is row n of the group, and rows of zeros fill the last group.
    """
    if layer.kind == "lstm":
        _require_whole_groups(layer, units)
        of_x, of_h = (bundle.array(f"{layer.name}.weight_{part}") for part in ("ih", "hh"))
        rows = np.concatenate([of_x, of_h], axis=1)
        # (gate, group, unit) to (group, unit, gate): the gates of a unit lie side by side.
        rows = rows.reshape(GATES, -1, units, rows.shape[1]).transpose(1, 2, 0, 3)
    else:
        rows = _whole_rows(bundle.array(f"{layer.name}.weight"), units)
    words = rows.reshape(-1, GATES * units, rows.shape[-1]).transpose(0, 2, 1)
    return words.reshape(-1, GATES * units)


def layer_biases(bundle: Bundle, layer: LayerEntry, units: int) -> Ints:
    """Return the biases of a layer, four a word: (words, 4), the gates i, f, g, o of a unit, or four rows."""
    bias = bundle.array(f"{layer.name}.bias").astype(np.int64)
    if layer.kind == "lstm":
        return bias.reshape(GATES, -1).T
    return _whole_rows(bias[:, None], units).reshape(-1, GATES)


def acc_width(layers: Iterable[LayerEntry]) -> int:
    """Return the bits of an accumulator that holds every sum of these layers (rule 9)."""
    return max(LEAST_ACC_WIDTH, *(layer.bound.bit_length() + 1 for layer in layers))


def hex_lines(rows: NDArray[Any], bits: int) -> str:
    """Return rows of integers as words for `$readmemh`, a line each: the first value in the lowest bits."""
    mask, digits = (1 << bits) - 1, -(-bits * rows.shape[1] // 4)
    lines = []
    for row in rows.tolist():
        word = 0
        for value in reversed(row):
            word = word << bits | (value & mask)
        lines.append(f"{word:0{digits}x}\n")
    return "".join(lines)


def _whole_rows(rows: NDArray[Any], units: int) -> NDArray[Any]:
    return np.pad(rows, ((0, -len(rows) % (GATES * units)), (0, 0)))


def _require_whole_groups(layer: LayerEntry, units: int) -> None:
    if layer.outputs % units:
        raise ExportError(
            f"{layer.name}: {layer.outputs} units are no whole groups of {units}; choose --units that divides them"
        )
