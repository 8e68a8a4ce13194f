"""Memory images for the gateware in rtl/: the arrays of a hardware bundle as words for `$readmemh`.

docs/rtl.md describes the words. A group is `units` units of an LSTM layer, or 4 `units` rows of a linear one: what the
4 `units` lanes of `rill_layer` compute at a time. `transducer_images` has all that `rill_transducer` wants.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.hardware_bundle import Bundle, LayerEntry
from stream.errors import ArgumentError

GATES = 4
LEAST_ACC_WIDTH = 20  # the gates are clamped at 16 bits and a sign
FIELD = 32  # bits of a field of layers.hex
BANK = 2048  # bytes of the embedding in a block RAM
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """What `rill_transducer` is built with.

    Attributes:
        parameters: of the module, by name.
        files: content of its files, by name.
    """

    parameters: dict[str, int]
    files: dict[str, str]

    def write(self, folder: Path) -> None:
        """Write the files, and parameters.txt with a line NAME=VALUE each, into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{name}={value}\n" for name, value in self.parameters.items())
        for name, content in {**self.files, "parameters.txt": lines}.items():
            (folder / name).write_text(content, "ascii")


def transducer_images(bundle: Bundle, units: int, channels: int = 1) -> Images:
    """Return the parameters and memories of a whole model.

    Args:
        units: of a group; has to divide the units of every LSTM layer.
        channels: streams that share each weight that is read.
    Raises:
        ArgumentError: a layer is no whole number of groups.
    """
    constants, layers = bundle.manifest.constants, bundle.manifest.layers
    places = _places(bundle, units)
    words = [layer_words(bundle, layer, units) for layer in layers]
    biases = [layer_biases(bundle, layer, units) for layer in layers]
    width, last = acc_width(layers), places[-1]
    rows = max(layer.outputs for layer in layers) + 4 * units
    most_words = max(place.inputs + place.hidden for place in places)
    parameters = {
        "UNITS": units,
        "CHANNELS": channels,
        **{
            name.upper(): constants[name]
            for name in ("pre_layers", "post_layers", "prediction_layers")
        },
        "INPUTS": layers[0].inputs,
        **{
            name.upper(): constants[name]
            for name in ("hidden", "prediction_hidden", "joint", "classes", "symbols")
        },
        "RUNNING_SYMBOLS": constants["running_symbols"],
        "ACC_WIDTH": width,
        "OPERAND_WIDTH": 9 + max(max(layer.shift_x, layer.shift_h) for layer in layers),
        "SIZE_WIDTH": (max(rows, most_words, 2 * layers[0].inputs) + 2).bit_length(),
        "ACT_STRIDE": last.x_base + last.inputs,
        "CELL_STRIDE": last.cell_base,
        "WEIGHT_WORDS": sum(map(len, words)),
        "BIAS_WORDS": sum(map(len, biases)),
        "EMBED_BASE": next(place.x_base for place in places if place.embedded),
        "JOINT_BASE": last.x_base,
    }
    fields = np.array([place.fields() for place in places])
    return Images(
        parameters,
        {
            "layers.hex": hex_lines(fields, FIELD),
            "weights.hex": hex_lines(np.concatenate(words), 8),
            "biases.hex": hex_lines(np.concatenate(biases), width),
            "embedding.hex": hex_lines(embedding_banks(bundle.array("prediction.embedding")), 8),
        },
    )


@dataclass(frozen=True)
class _Place:
    """A line of layers.hex: what a layer is, and where it finds what it needs.

    Activations and cells are those of a channel. The h of an LSTM layer has two places, one after the other; `x_step` is
    the way from the first to the second place of x, 0 where x has one.
    """

    is_linear: bool
    is_unsigned: bool
    inputs: int
    hidden: int
    groups: int
    rows: int
    shift_x: int
    shift_h: int
    shift: int
    x_base: int
    x_step: int
    h_base: int
    cell_base: int
    weight_base: int
    bias_base: int
    embedded: bool = False  # x is a row of the embedding

    def fields(self) -> list[int]:
        """Return the fields in the order in which `rill_transducer` reads them."""
        return [
            self.is_linear + 2 * self.is_unsigned,
            *(self.inputs, self.hidden, self.groups, self.rows),
            *(self.shift_x, self.shift_h, self.shift),
            *(self.x_base, self.x_step, self.h_base),
            *(self.cell_base, self.weight_base, self.bias_base),
        ]


def _places(bundle: Bundle, units: int) -> list[_Place]:
    """Return where the layers of a model lie, in their order."""
    layers = bundle.manifest.layers
    act, cell, weight, bias = 2 * layers[0].inputs, 0, 0, 0  # the first that is free
    x_base, x_step = 0, layers[0].inputs  # both inputs of a chunk
    places = []
    for layer in layers:
        is_lstm = layer.kind == "lstm"
        embedded = layer.name == "prediction.lstm.0"
        if embedded or layer.kind == "joint":
            x_base, x_step, act = act, 0, act + layer.inputs
        elif layer.name == "encoder.post.0":
            x_step = 0  # both places of the h of the last layer before, as one x
        hidden = layer.outputs if is_lstm else 0
        rows = units if is_lstm else GATES * units
        groups = -(-layer.outputs // rows)
        places.append(
            _Place(
                is_linear=not is_lstm,
                is_unsigned=layer.kind == "joint",
                inputs=layer.inputs,
                hidden=hidden,
                groups=groups,
                rows=layer.outputs,
                shift_x=layer.shift_x,
                shift_h=layer.shift_h,
                shift=layer.shift,
                x_base=x_base,
                x_step=x_step,
                h_base=act,
                cell_base=cell,
                weight_base=weight,
                bias_base=bias,
                embedded=embedded,
            )
        )
        if is_lstm:
            x_base, x_step = act, hidden
        act, cell = act + 2 * hidden, cell + hidden
        weight, bias = weight + groups * (layer.inputs + hidden), bias + groups * units
    return places


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


def embedding_banks(embedding: NDArray[Any]) -> NDArray[Any]:
    """Return the bytes of the embedding in banks of 2048, a block RAM each: (words, banks), word n has byte n of each."""
    banks = -(-embedding.size // BANK)
    padded = np.pad(embedding.reshape(-1), (0, -embedding.size % BANK if banks > 1 else 0))
    return padded.reshape(banks, -1).T


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
        raise ArgumentError(
            f"{layer.name}: {layer.outputs} units are no whole groups of {units}; choose --units that divides them"
        )
