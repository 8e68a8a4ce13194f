"""`python -m export.hardware`: write a model as a hardware bundle (`export.hardware.bundle`)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from export.hardware.bundle import write_bundle
from export.hardware.costs import macs_per_second
from stream.bundled import recordings
from stream.manifest import read_manifest
from stream.model.network import open_model
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
    add(
        "--ckpt",
        type=Path,
        required=True,
        metavar="F",
        help="checkpoint or model directory, with integers",
    )
    add("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    add(
        "--manifest",
        type=Path,
        metavar="M",
        help="JSONL of utterances whose vectors it holds (default: the bundled recordings)",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
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


if __name__ == "__main__":
    run_main(main)
