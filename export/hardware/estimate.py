"""How many real-time streams of a model a device carries, and what limits them: a model of cycles and memory.

Arithmetic, not a simulation of a design. Its assumptions:

1. All multipliers work on one layer, as many as the cells around them allow: `CELLS_OF_MULTIPLIER` for each, and
   `CELLS_BESIDE` for the rest, as measured on an ECP5, which adds in cells what larger chips add in the multiplier.
   A step takes its multiply-accumulates over the products of a cycle, rounded up, and `OVERHEAD` cycles for the
   pipeline: so was a layer of 32 lanes in simulation, 1175 cycles for 9216 products a gate.
2. Weights and states lie on the chip, of whose memory `SHARE` is to be had, or outside; of the four ways the best is taken.
3. Weights outside are read past all streams at once. A pass serves every stream with a chunk that is complete; it reads layers
   before the pairs twice, and the decoder once. Streams are out of step with each other, so a chunk waits for the
   pass that is under way and takes the next one: the delay is two passes. With 120 ms there is a pass each 60 ms.
4. States outside (h, c, statistics) are read and written once each 60 ms, stream by stream.
5. A stream emits `tokens` a second. Front end on the host or beside: its few multiplications are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from export.hardware.devices import Device
from stream.model.specification import Specification

OVERHEAD = 20  # cycles of a layer's step besides its products
CELLS_OF_MULTIPLIER, CELLS_BESIDE = 110, 770  # 4283 cells with 32 lanes, 14,800 with 128
SHARE = 0.9  # of a chip's memory, that is to be had: blocks do not fill up
CHUNKS = 1 / 0.06  # a second
STATISTICS = 640  # bytes of running statistics
TOKENS = 3.0  # a second
DELAY = 0.12  # seconds, from the end of a chunk to its tokens
# What lies on the chip.
PLACES: tuple[tuple[str, ...], ...] = (("weights", "states"), ("weights",), ("states",), ())


@dataclass(frozen=True)
class Layer:
    """A layer's multiply-accumulates, which are its weights, and how often a second a stream needs it."""

    macs: int
    rate: float


@dataclass(frozen=True)
class Estimate:
    """What a device carries of a model.

    Attributes:
        streams: the least of the bounds, whole ones.
        bound: the name of that.
        bounds: streams by what limits them: "multipliers" or "cells", "memory", "bandwidth".
        on_chip: what lies on the chip: "weights", "states", both or neither.
        weights: bytes; state: bytes of a stream; macs: of a stream, a second.
    """

    streams: int
    bound: str
    bounds: Mapping[str, float]
    on_chip: tuple[str, ...]
    weights: int
    state: int
    macs: float


def lanes_of(device: Device) -> tuple[int, str]:
    """Return the products of a cycle, and what limits them: "multipliers" or "cells"."""
    surrounded = max(device.cells - CELLS_BESIDE, 0) // CELLS_OF_MULTIPLIER
    limit = "multipliers" if device.multipliers <= surrounded else "cells"
    return min(device.multipliers, surrounded) * device.products, limit


def layers_of(specification: Specification, tokens: float) -> list[Layer]:
    """Return the layers of a model, 8-bit weights, for a rate of tokens a second."""
    s = specification
    hidden, unit, joint = s.hidden, s.prediction_hidden, s.joint
    classes = s.blank + 1
    found = []
    for inputs, layers, rate in (
        (240, s.pre_layers, 2 * CHUNKS),
        (2 * hidden, s.post_layers, CHUNKS),
    ):
        sizes = [inputs, *[hidden] * (layers - 1)]
        found += [Layer(4 * hidden * (size + hidden), rate) for size in sizes]
    found += [Layer(4 * unit * (unit + unit), tokens)] * s.prediction_layers
    return [
        *found,
        Layer(joint * hidden, CHUNKS),
        Layer(joint * unit, tokens),
        Layer(classes * joint, CHUNKS + tokens),
    ]


def estimate(
    specification: Specification, device: Device, tokens: float = TOKENS, delay: float = DELAY
) -> Estimate:
    """Return how many real-time streams a device carries.

    Args:
        specification: of the model.
        device: the chip and its memory.
        tokens: of a stream, a second.
        delay: seconds from the end of a chunk to its tokens, 0.12 at most, which weights outside have to be read in twice.
    """
    s = specification
    specification.require_lstm("a chip's estimate")
    layers = layers_of(s, tokens)
    embedding = (s.blank + 1) * s.prediction_hidden
    weights = sum(layer.macs for layer in layers) + embedding
    encoder = s.hidden * (s.pre_layers + s.post_layers)
    prediction = s.prediction_hidden * s.prediction_layers
    state = 3 * (encoder + prediction) + 2 * s.joint + STATISTICS
    lanes, limit = lanes_of(device)
    cycles = (
        sum((math.ceil(layer.macs / lanes) + OVERHEAD) * layer.rate for layer in layers)
        if lanes
        else math.inf
    )
    passes = 2 / delay
    read = passes * sum(layer.macs * max(layer.rate / CHUNKS, 1.0) for layer in layers)
    ways = {
        on_chip: {
            limit: device.clock / cycles,
            **_memory_bounds(device, on_chip, weights, state, read),
        }
        for on_chip in PLACES
    }

    def worth(way: tuple[str, ...]) -> tuple[float, int]:
        """Rank a way: by streams, then by what stays on the chip; without streams bandwidth is the reason."""
        streams = min(ways[way].values())
        return streams, len(way) if streams else -len(way)

    on_chip = max(ways, key=worth)
    bounds = ways[on_chip]
    bound = min(bounds, key=lambda name: bounds[name])
    macs = sum(layer.macs * layer.rate for layer in layers)
    return Estimate(int(bounds[bound]), bound, bounds, on_chip, weights, state, macs)


def _memory_bounds(
    device: Device, on_chip: tuple[str, ...], weights: int, state: int, read: float
) -> dict[str, float]:
    """Return the streams that a chip's own memory and the bandwidth outside allow.

    Args:
        on_chip: what lies on the chip.
        read: bytes of weights in a second of passes.
    """
    memory = SHARE * device.memory / 8 - ("weights" in on_chip) * weights
    bandwidth = device.bandwidth - ("weights" not in on_chip) * read
    of_memory = memory / state if "states" in on_chip else math.inf
    of_bandwidth = math.inf if "states" in on_chip else bandwidth / (2 * state * CHUNKS)
    return {
        "memory": max(of_memory, 0.0) if memory >= 0 else 0.0,
        "bandwidth": max(of_bandwidth, 0.0) if bandwidth >= 0 else 0.0,
    }


def table(
    specification: Specification, devices: Mapping[str, Device], tokens: float, delay: float
) -> list[str]:
    """Return the estimates for some devices as Markdown."""
    lines = [
        "| device | products a second | streams | limited by | on the chip | figures |",
        "|---|---|---|---|---|---|",
    ]
    for name, device in devices.items():
        found = estimate(specification, device, tokens, delay)
        products = lanes_of(device)[0] * device.clock / 1e9
        place = " and ".join(found.on_chip) or "neither"
        lines.append(
            f"| {name} | {products:.1f} G | {found.streams} | {found.bound} | {place} | {device.source} |"
        )
    return lines
