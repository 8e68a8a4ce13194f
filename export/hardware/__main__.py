"""`python -m export.hardware`: hardware bundles (`export.hardware.bundle`), memory images of them, estimates for devices."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.hardware.bundle import write_bundle
from export.hardware.costs import macs_per_second
from export.hardware.devices import DEVICES, GIGA, MBIT, Device
from export.hardware.estimate import DELAY, TOKENS, estimate, table
from export.hardware.images import transducer_images
from export.hardware.published import page
from hwckpt.hardware_bundle import Bundle
from hwckpt.layout import SIZES
from stream.bundled import model_path, recordings
from stream.errors import ArgumentError
from stream.manifest import Utterance, read_manifest
from stream.model.network import open_model
from stream.model.specification import Specification
from stream.process import reports_errors, run_main

ENOUGH = 10**12  # cells, of a device whose cells are not given
PICTURES = (".svg", ".png")
UNITS = 8  # of the gateware, 32 lanes
CLOCK = 100.0  # MHz, of a device whose clock is not given
OWN = ("luts", "dsps", "ram", "bandwidth", "clock")  # flags that describe a device
PLOTTED = ("ecp5-85", "artix7-100t", "zynq-7045", "kria-k26", "alveo-u250", "speedster7t")
FOREIGN = re.compile(
    r"[^A-Za-z0-9._-]+"
)  # what names of cases do without: cases.txt has a space between words


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill export hardware",
        description="Write a model in integers for boards: flat arrays, a C header, a reference in C, and golden "
        "vectors of this model, from samples to tokens.",
        epilog="example: rill export hardware --ckpt models/en-commands --output board",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--ckpt", type=Path, metavar="F", help="checkpoint or model directory, with integers")
    add("--output", type=Path, metavar="DIR", help="folder to write")
    add(
        "--manifest",
        type=Path,
        metavar="M",
        help="JSONL of utterances whose vectors it holds (default: the bundled recordings)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    images = commands.add_parser(
        "images",
        help="the memories of the gateware in rtl/",
        description="Write the weights of a bundle as the words that the gateware in rtl/ reads, its other memories, and "
        "its parameters (docs/rtl.md).",
        epilog="example: rill export hardware images --bundle board --units 8 --output images",
        allow_abbrev=False,
    )
    add = images.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR", help="hardware bundle")
    add("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    add(
        "--units",
        type=int,
        default=UNITS,
        metavar="N",
        help=f"units at a time, four multipliers each (default: {UNITS})",
    )
    add(
        "--channels",
        type=int,
        default=1,
        metavar="N",
        help="streams that share each weight that is read (default: 1)",
    )
    sizing = commands.add_parser(
        "estimate",
        help="how many streams a device carries",
        description="How many real-time streams of a model a device carries, and what limits them: a model of cycles "
        "and memory (docs/hardware-bundle.md has its assumptions).",
        epilog="example: rill export hardware estimate --shape base --device alveo-u50",
        allow_abbrev=False,
    )
    add = sizing.add_argument
    add(
        "--shape",
        default="bundled",
        metavar="S",
        help=f"{', '.join(SIZES)}, bundled, or a model; several: with commas between them (default: bundled)",
    )
    add(
        "--device", choices=DEVICES, metavar="D", help=f"one of {', '.join(DEVICES)} (default: all)"
    )
    add("--luts", type=int, metavar="N", help="cells of a device of your own (default: enough)")
    add("--dsps", type=int, metavar="N", help="its multipliers, a product each")
    add("--ram", type=float, metavar="MBIT", help="its memory on the chip")
    add(
        "--bandwidth",
        type=float,
        metavar="GBS",
        help="of its external memory, GB/s (default: 0)",
    )
    add("--clock", type=float, metavar="MHZ", help=f"its clock (default: {CLOCK:g})")
    add(
        "--tokens",
        type=float,
        default=TOKENS,
        metavar="N",
        help=f"tokens a second (default: {TOKENS:g})",
    )
    add(
        "--delay",
        type=float,
        default=DELAY * 1000,
        metavar="MS",
        help="from the end of a chunk to its tokens; weights outside are read twice in it "
        f"(default: {DELAY * 1000:g}, which is the most)",
    )
    add(
        "--published",
        action="store_true",
        help="compare the arithmetic with published figures, each assumption said, and stop",
    )
    add(
        "--plot",
        type=Path,
        metavar="F",
        help=f"draw streams over bandwidth as .svg or .png, of one device or {len(PLOTTED)}, a panel for each shape",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "estimate":
        return _estimate(arguments)
    if arguments.command == "images":
        return _images(arguments)
    if arguments.ckpt is None or arguments.output is None:
        parser.error("--ckpt and --output are required, or a command")
    network = open_model(arguments.ckpt)
    utterances = read_manifest(arguments.manifest) if arguments.manifest else recordings()
    named = _named(utterances)
    audio = {name: _samples(utterance) for name, utterance in named.items()}
    texts = {name: utterance.text for name, utterance in named.items()}
    manifest = write_bundle(
        network, arguments.output, audio, texts, lambda name: print(name, file=sys.stderr)
    )
    memory, state = (sum(getattr(c, name) for c in manifest.costs) for name in ("memory", "state"))
    size = sum(entry.size for entry in manifest.files.values()) / 1e6
    print(
        f"{arguments.output}: {len(manifest.arrays)} arrays, {memory} bytes; a stream keeps {state} bytes and takes "
        f"{macs_per_second(manifest.costs, 0.0) / 1e6:.1f} million multiply-accumulates a second; "
        f"{len(manifest.cases)} cases of vectors; {size:.1f} MB"
    )
    return 0


def _images(arguments: argparse.Namespace) -> int:
    """Write the memories of the gateware."""
    for flag in ("units", "channels"):
        if (value := getattr(arguments, flag)) < 1:
            raise ArgumentError(f"--{flag} is {value}; want 1 or more")
    images = transducer_images(Bundle(arguments.bundle), arguments.units, arguments.channels)
    images.write(arguments.output)
    words, units = images.parameters["WEIGHT_WORDS"], images.parameters["UNITS"]
    print(f"{arguments.output}: {words} words of {4 * units} weights")
    return 0


def _named(utterances: Iterable[Utterance]) -> dict[str, Utterance]:
    """Return utterances by names for their cases: of their files, with a number where there are several."""
    named: dict[str, Utterance] = {}
    for utterance in utterances:
        stem = name = FOREIGN.sub("-", utterance.audio.stem)
        number = 1
        while name in named:
            number += 1
            name = f"{stem}-{number}"
        named[name] = utterance
    return named


def _samples(utterance: Utterance) -> NDArray[np.int16]:
    samples: NDArray[np.int16] = (
        np.rint(utterance.read() * 32768.0).clip(-32768, 32767).astype(np.int16)
    )
    return samples


def _estimate(arguments: argparse.Namespace) -> int:
    """Print the estimates for one device or all."""
    if arguments.published:
        print("\n".join(page()))
        return 0
    own = {flag: value for flag in OWN if (value := getattr(arguments, flag)) is not None}
    if arguments.device is not None and own:
        raise ArgumentError(f"--device and --{next(iter(own))} are two devices: leave one out")
    if own and not {"dsps", "ram"} <= own.keys():
        raise ArgumentError("a device of your own needs both --dsps and --ram")
    for flag, value in (own | {"tokens": arguments.tokens}).items():
        zero = flag in ("bandwidth", "tokens")  # is a value, too
        if not 0.0 <= value < math.inf or not (value or zero):
            raise ArgumentError(
                f"--{flag} is {value}; want {'0 or more' if zero else 'more than 0'}"
            )
    delay = arguments.delay / 1000
    if not 0.0 < delay <= DELAY:
        raise ArgumentError(
            f"--delay is {arguments.delay:g}; want more than 0, {1000 * DELAY:g} at most"
        )
    shapes = {name: _specification(name) for name in arguments.shape.split(",")}
    devices = DEVICES if arguments.device is None else {arguments.device: DEVICES[arguments.device]}
    if own:
        devices = {"yours": _own(own)}
    if arguments.plot:
        if arguments.plot.suffix not in PICTURES:
            raise ArgumentError(
                f"--plot is {arguments.plot}; it has to end in {' or '.join(PICTURES)}"
            )
        from export.hardware.plot import draw

        drawn = {n: device for n, device in devices.items() if len(devices) == 1 or n in PLOTTED}
        draw(shapes, drawn, arguments.plot, tokens=arguments.tokens, delay=delay)
    for name, specification in shapes.items():
        found = estimate(specification, next(iter(devices.values())), arguments.tokens, delay)
        print(
            f"{name}: {found.weights / 1e6:.2f} MB of weights, {found.state} bytes of state a stream, "
            f"{found.macs / 1e6:.1f} million multiply-accumulates a second with {arguments.tokens:g} tokens a second\n"
        )
        print("\n".join(table(specification, devices, arguments.tokens, delay)))
    return 0


def _specification(shape: str) -> Specification:
    """Return the specification of a shape by name, or of a model."""
    if shape in SIZES:
        return Specification(**SIZES[shape])
    return open_model(model_path() if shape == "bundled" else Path(shape)).specification


def _own(flags: dict[str, Any]) -> Device:
    """Return the device that the command line describes."""
    bandwidth, clock = flags.get("bandwidth", 0.0) * GIGA, flags.get("clock", CLOCK) * 1e6
    cells = flags.get("luts", ENOUGH)
    memory = flags["ram"] * MBIT
    return Device("yours", cells, flags["dsps"], 1, memory, bandwidth, clock, "of the command line")


if __name__ == "__main__":
    run_main(main)
