"""Bundles of small models of few tokens, so that Icarus simulates their streams in a second."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

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

SYMBOLS = 4  # most tokens of a frame
MODELS: dict[str, tuple[str, dict[str, Any]]] = {  # the first three have the same weights
    "plain": ("plain", {}),
    "running": ("plain", {"symbol_counter": "running"}),
    "muting": ("bundled-like", {}),
    "deep": ("card-like", {}),
}
WIDE = 104  # units of a prediction network whose embedding has more than 2048 bytes
CELL_EXPONENT = 12


@functools.cache
def brief_bundle(name: str, folder: Path) -> Bundle:
    """Return the bundle of one of `MODELS`, or "wide", written into a folder; nobody may change it."""
    of, chosen = MODELS.get(name, ("", {}))
    network = small_network(of) if of else _wide_network()
    specification = msgspec.structs.replace(
        network.specification, symbols_per_step=SYMBOLS, **chosen
    )
    network = replace(network, specification=specification)
    write_bundle(network, folder / name, small_recordings(), {"babble": "a"})
    return Bundle(folder / name)


def _wide_network() -> Network:
    """Return a model with a wide embedding, whose first g lies one beyond both bounds of int16, and at them."""
    network = quantised(tiny_network(2, prediction_hidden=WIDE), joint=6)
    integers = to_integers(network)
    state = np.zeros((1, WIDE), np.int64)
    h, _ = lstm_step(integers.prediction[0], state, state, state)
    linear = integers.joint_prediction
    g = rhe(accumulate(linear, h), linear.shift_out)[0]
    bias = network.arrays["joint.prediction.bias"].copy()
    for row, wanted in enumerate((32768, -32769, 32767, -32768)):
        bias[row] += (wanted - g[row]) / (1 << CELL_EXPONENT)
    return replace(network, arrays={**network.arrays, "joint.prediction.bias": bias})
