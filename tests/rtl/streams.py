"""python -m tests.rtl.streams: how many streams of a model gateware carries whose weights lie beside the chip.

By the clocks of docs/rtl.md, which a simulation confirms, and the bandwidth of a memory. Printed is the table of that page.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.hardware.bundle import write_bundle
from hwckpt.hardware_bundle import Bundle
from stream.bundled import model_path
from stream.model.network import open_model
from stream.process import reports_errors, run_main

CHUNK = 0.06  # seconds
TOKENS = 3.0  # a second
UNITS = (4, 8, 16, 32)
CLOCKS = (80e6, 100e6)
ELEMENT_MULTIPLIERS = 3


class Memory(NamedTuple):
    """The memory beside a chip: bytes a second, of what a board's memory is said to have, and the share that comes through."""

    name: str
    rate: float


MEMORIES = (
    Memory("SDRAM", 0.8 * 266e6),  # 16 bits at 133 MHz
    Memory("DDR3", 0.6 * 1600e6),  # 16 bits, 800 million transfers
)


class Work(NamedTuple):
    """What a chunk of a stream takes.

    Attributes:
        encode, decode: clocks of the encoder, and of joint and prediction network.
        encoder: bytes of weights that a chunk of all streams reads once.
        decoder: bytes that a chunk of each stream reads.
    """

    encode: float
    decode: float
    encoder: int
    decoder: float


def step_clocks(words: Any, groups: int, results: int) -> NDArray[np.int64]:
    """Return the clocks of steps of a layer (docs/rtl.md).

    Args:
        words: of weights that a group reads in each step, any shape.
        groups: of the layer.
        results: of a group, which leave one by one while the next is multiplied.
    """
    return np.maximum(words, results + 2) * groups + 24


def work(bundle: Bundle, units: int) -> Work:
    """Return what a chunk takes, by the clocks of docs/rtl.md."""
    encode = decode = decoder = 0.0
    encoder, joint = 0, bundle.manifest.constants["joint"]
    tokens = TOKENS * CHUNK
    for layer in bundle.manifest.layers:
        lstm = layer.kind == "lstm"
        words, results = layer.inputs + (layer.outputs if lstm else 0), units if lstm else 4 * units
        groups = -(-layer.outputs // results)
        clocks = int(step_clocks(words, groups, results))
        read = groups * words * 4 * units
        if layer.name.startswith("encoder") or layer.name == "joint.encoder":
            times = 2 if layer.name.startswith("encoder.pre") else 1
            encode += times * clocks
            encoder += times * read
        else:
            times = (1 + tokens) if layer.kind == "joint" else tokens
            decode += times * clocks + (times * (joint + 8) if layer.kind == "joint" else 0)
            decoder += times * read
    return Work(encode, decode, encoder, decoder)


def streams(of: Work, clock: float, rate: float) -> float:
    """Return the streams that a clock and a memory carry: the encoder's weights pass once for all, the decoder's for each.

    While a group is computed the next one is read, so the slower of both counts.
    """
    if of.encoder / rate > CHUNK:
        return 0.0
    each = of.encode / clock + max(of.decode / clock, of.decoder / rate)
    return CHUNK / each


def table(bundle: Bundle) -> list[str]:
    """Return the streams for some widths, clocks and memories as Markdown."""
    heads = [f"{clock / 1e6:.0f} MHz, {m.name}" for clock in CLOCKS for m in MEMORIES]
    lines = [
        f"| `UNITS` | multipliers | clocks of a chunk, encoder and decoder | {' | '.join(heads)} |",
        "|---|---|---|" + "---|" * len(heads),
    ]
    for units in UNITS:
        of = work(bundle, units)
        carried = [str(int(streams(of, clock, m.rate))) for clock in CLOCKS for m in MEMORIES]
        multipliers = 4 * units + ELEMENT_MULTIPLIERS
        cells = [str(units), str(multipliers), f"{of.encode:.0f} and {of.decode:.0f}", *carried]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


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
        folder = Path(temporary) / "bundle"
        write_bundle(open_model(arguments.ckpt), folder, {"silence": np.zeros(960, np.int16)})
        print("\n".join(table(Bundle(folder))))
    return 0


if __name__ == "__main__":
    run_main(main)
