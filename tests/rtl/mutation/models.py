"""Bundles of small models of few tokens, so that Icarus simulates their streams in a second."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from export.hardware.bundle import write_bundle
from hwckpt.hardware_bundle import Bundle
from stream.integer.fixed import accumulate, lstm_step, rhe
from stream.integer.network import to_integers
from stream.model.network import Network
from tests.export.hardware.models import small_network, small_recordings
from tests.tiny import quantised, tiny_network

__all__ = ["brief_bundle"]

SYMBOLS = 5  # most tokens of a frame: as many downwards are another number in three bits
BANK = 2048  # bytes of an embedding that lie in one block RAM
WIDE = 104  # units of a prediction network whose embedding has more
JOINT = 264  # rows, whose numbers take all bits of a size
CELL_EXPONENT = 12


@functools.cache
def brief_bundle(name: str, folder: Path) -> Bundle:
    """Return a bundle, written into a folder; nobody may change it.

    Args:
        name: "plain"; "muting" and "running", which have the same weights, leave out what is mute and count tokens on
            over frames; "deep" has more layers; "wide" an embedding in two block RAMs.
    """
    network = _network(name)
    specification = msgspec.structs.replace(network.specification, symbols_per_step=SYMBOLS)
    network = replace(network, specification=specification)
    write_bundle(network, folder / name, small_recordings(), {"babble": "a"})
    return Bundle(folder / name)


def _network(name: str) -> Network:
    match name:
        case "plain":
            return small_network("plain")
        case "muting":
            return small_network("bundled-like")
        case "running":
            network = small_network("plain")
            counts_on = msgspec.structs.replace(network.specification, symbol_counter="running")
            return replace(network, specification=counts_on)
        case "deep":
            layers = {"pre_layers": 2, "post_layers": 3, "prediction_layers": 2}
            return quantised(tiny_network(2, prediction_hidden=24, **layers), joint=6)
        case "wide":
            return _wide_network()
        case _:
            raise ValueError(f"{name}: no such model")


def _wide_network() -> Network:
    """Return a model with a wide embedding, whose first g has values at both bounds of int16, and one beyond.

    It says a class whose row in the embedding begins in the first 2048 bytes, and ends behind them.
    """
    network = quantised(tiny_network(2, prediction_hidden=WIDE, joint=JOINT), joint=6)
    integers = to_integers(network)
    state = np.zeros((1, WIDE), np.int64)
    h, _ = lstm_step(integers.prediction[0], state, state, state)
    linear = integers.joint_prediction
    g = rhe(accumulate(linear, h), linear.shift_out)[0]
    bias = network.arrays["joint.prediction.bias"].copy()
    for row, wanted in enumerate((32768, -32769, 32767, -32768)):
        bias[row] += (wanted - g[row]) / (1 << CELL_EXPONENT)
    said = network.arrays["joint.output.bias"].copy()
    said[BANK // WIDE] += 20.0
    arrays = {"joint.prediction.bias": bias, "joint.output.bias": said}
    return replace(network, arrays={**network.arrays, **arrays})
