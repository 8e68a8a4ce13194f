"""`python -m export.hardware`: write a model as a hardware bundle (`export.hardware.bundle`); estimates for devices."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from export.hardware.bundle import write_bundle
from export.hardware.costs import macs_per_second
from export.hardware.devices import DEVICES, Device
from export.hardware.estimate import TOKENS, estimate, table
from hwckpt.layout import SIZES
from stream.bundled import model_path, recordings
from stream.errors import ArgumentError
from stream.manifest import read_manifest
from stream.model.network import open_model
from stream.model.specification import Specification
from stream.process import reports_errors, run_main


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
        help=f"{', '.join(SIZES)}, bundled, or a model (default: bundled)",
    )
    add(
        "--device", choices=DEVICES, metavar="D", help=f"one of {', '.join(DEVICES)} (default: all)"
    )
    add("--dsps", type=int, metavar="N", help="multipliers of a device of your own, a product each")
    add("--ram", type=float, metavar="MBIT", help="its memory on the chip")
    add(
        "--bandwidth",
        type=float,
        default=0.0,
        metavar="GBS",
        help="of its external memory, GB/s (default: 0)",
    )
    add("--clock", type=float, default=100.0, metavar="MHZ", help="its clock (default: 100)")
    add(
        "--tokens",
        type=float,
        default=TOKENS,
        metavar="N",
        help=f"tokens a second (default: {TOKENS:g})",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "estimate":
        return _estimate(arguments)
    if arguments.ckpt is None or arguments.output is None:
        parser.error("--ckpt and --output are required, or the command estimate")
    network = open_model(arguments.ckpt)
    utterances = read_manifest(arguments.manifest) if arguments.manifest else recordings()
    audio = {
        utterance.audio.stem: np.clip(np.rint(utterance.read() * 32768.0), -32768, 32767).astype(
            np.int16
        )
        for utterance in utterances
    }
    texts = {utterance.audio.stem: utterance.text for utterance in utterances}
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


def _estimate(arguments: argparse.Namespace) -> int:
    """Print the estimates for one device or all."""
    if (arguments.dsps is None) != (arguments.ram is None):
        raise ArgumentError("a device of your own needs both --dsps and --ram")
    if arguments.device is not None and arguments.dsps is not None:
        raise ArgumentError("--device and --dsps are two devices: leave one out")
    if arguments.shape in SIZES:
        specification = Specification(**SIZES[arguments.shape])
    else:
        path = model_path() if arguments.shape == "bundled" else Path(arguments.shape)
        specification = open_model(path).specification
    devices = DEVICES if arguments.device is None else {arguments.device: DEVICES[arguments.device]}
    if arguments.dsps is not None:
        memory, bandwidth, clock = (
            arguments.ram * 1e6,
            arguments.bandwidth * 1e9,
            arguments.clock * 1e6,
        )
        own = Device("yours", arguments.dsps, 1, memory, bandwidth, clock, "of the command line")
        devices = {own.name: own}
    found = estimate(specification, next(iter(devices.values())), arguments.tokens)
    print(
        f"{arguments.shape}: {found.weights / 1e6:.2f} MB of weights, {found.state} bytes of state a stream, "
        f"{found.macs / 1e6:.1f} million multiply-accumulates a second with {arguments.tokens:g} tokens a second\n"
    )
    print("\n".join(table(specification, devices, arguments.tokens)))
    return 0


if __name__ == "__main__":
    run_main(main)
