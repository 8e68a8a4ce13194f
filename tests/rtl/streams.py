"""python -m tests.rtl.streams: how many streams of a model gateware carries whose weights lie beside the chip.

By a model of clocks, which tests/rtl/test_bundled_model.py compares with a simulation, and the bandwidth of a memory.
Printed is what a clock and a memory would carry if a chip had place for the states of all streams;
tests/rtl/chips/place_and_route.py says what chips have.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.hardware.bundle import write_bundle
from hwckpt.hardware_bundle import Bundle, LayerEntry
from stream.bundled import model_path
from stream.model.network import open_model
from stream.process import reports_errors, run_main

__all__ = [
    "CHUNK",
    "MEMORIES",
    "TOKENS",
    "chunk_clocks",
    "model_bundle",
    "step_clocks",
    "streams",
]

CHUNK = 0.06  # seconds
TOKENS = 3.0  # a second
UNITS = (4, 8, 16, 32)
CLOCKS = (80e6, 100e6)
ELEMENT_MULTIPLIERS = 3
DRAIN = 4  # clocks of a group besides its units or rows, with three clocks of memory
LSTM, LINEAR = 26, 18  # clocks of a run of a layer besides its words and the last group's results
JOIN, EMBED = 8, 4  # clocks besides the bytes


class Memory(NamedTuple):
    """The memory beside a chip: bytes a second, of what a board's memory is said to have, and the share that comes through."""

    name: str
    rate: float


MEMORIES = (
    Memory("SDRAM", 0.8 * 266e6),  # 16 bits at 133 MHz
    Memory("DDR3", 0.6 * 1600e6),  # 16 bits, 800 million transfers
)


def step_clocks(words: Any, groups: int, results: int) -> NDArray[np.int64]:
    """Return the clocks of steps of a layer whose weights are on the chip, with two clocks of memory (docs/rtl.md).

    Args:
        words: of weights that a group reads in each step, any shape.
        groups: of the layer.
        results: of a group, which leave one by one while the next is multiplied.
    """
    return np.maximum(words, results + 3) * groups + 25


def chunk_clocks(
    layers: Sequence[LayerEntry], units: int, channels: int, rate: float, tokens: float = TOKENS
) -> float:
    """Return the clocks in which `rill_external` computes a chunk of each channel.

    The weights of the encoder come once for all channels, those of the decoder for each. While a group is computed the
    next one comes, and the slower of both counts; the first group of a layer is waited for.

    Args:
        rate: bytes of weights that come in a clock.
        tokens: of a channel, a second.
    """

    def run(layer: LayerEntry, at_a_time: int) -> float:
        lstm = layer.kind == "lstm"
        rows = units if lstm else 4 * units
        words = layer.inputs + (layer.outputs if lstm else 0)
        groups = -(-layer.outputs // rows)
        come, compute = 4 * units * words / rate, at_a_time * max(words, rows + DRAIN)
        return (
            come + (groups - 1) * max(come, compute) + compute + rows + (LSTM if lstm else LINEAR)
        )

    clocks = 0.0
    a_chunk = tokens * CHUNK
    for layer in layers:
        if layer.name.startswith("encoder.pre"):
            clocks += 2 * run(layer, channels)
        elif layer.name.startswith("encoder") or layer.name == "joint.encoder":
            clocks += run(layer, channels)
        elif layer.kind == "joint":
            clocks += channels * (1 + a_chunk) * (layer.inputs + JOIN + run(layer, 1))
        else:
            embed = layer.inputs + EMBED if layer.name == "prediction.lstm.0" else 0
            clocks += channels * a_chunk * (embed + run(layer, 1))
    return clocks


def streams(layers: Sequence[LayerEntry], units: int, clock: float, memory: float) -> int:
    """Return how many channels finish their chunks in the time of one, for a clock in Hz and bytes a second of weights."""
    channels = 0
    while chunk_clocks(layers, units, channels + 1, memory / clock) <= CHUNK * clock:
        channels += 1
    return channels


def table(layers: Sequence[LayerEntry]) -> list[str]:
    """Return the streams for some widths, clocks and memories as Markdown."""
    heads = [f"{clock / 1e6:.0f} MHz, {m.name}" for clock in CLOCKS for m in MEMORIES]
    lines = [
        f"| `UNITS` | multipliers | {' | '.join(heads)} |",
        "|---|---|" + "---|" * len(heads),
    ]
    for units in UNITS:
        carried = [streams(layers, units, clock, m.rate) for clock in CLOCKS for m in MEMORIES]
        cells = [units, 4 * units + ELEMENT_MULTIPLIERS, *carried]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def model_bundle(model: Path, folder: Path) -> Bundle:
    """Write the bundle of a model, with next to no vectors."""
    write_bundle(open_model(model), folder, {"zeros": np.zeros(960, np.int16)})
    return Bundle(folder)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.rtl.streams",
        description="Print how many streams gateware carries whose weights lie beside the chip.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ckpt", type=Path, default=model_path(), help="default: the bundled model"
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        bundle = model_bundle(arguments.ckpt, Path(temporary) / "bundle")
        print("\n".join(table(bundle.manifest.layers)))
    return 0


if __name__ == "__main__":
    run_main(main)
