"""`python -m hwckpt.vectors --output DIR`: write conformance vectors from our references.

The names and arrays are those that `hwckpt.conformance` reads. Every wanted value comes from the
NumPy references, in float64 where the stage allows; of training from torch in float64. Signals, weights
and sentences are random: a file is a function of the seed and of its name, whichever others are written.
Nobody's recordings or models are in them.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from hwckpt.conformance.comparison import installed
from hwckpt.conformance.decoding import DECODING_FILES
from hwckpt.conformance.fixed_front_end import FRONT_END_FILES
from hwckpt.conformance.integer import INTEGER_FILES
from hwckpt.conformance.integer_transducer import INTEGER_MODEL_FILES
from hwckpt.conformance.models import network_file, write_network
from hwckpt.conformance.stages import STAGE_FILES
from hwckpt.conformance.tokens import TOKEN_FILES
from hwckpt.conformance.transducer import TRANSDUCER_FILES
from stream.process import reports_errors, run_main

__all__ = ["write_vectors"]


def write_vectors(folder: Path, tokenizer: bytes, seed: int) -> list[Path]:
    """Write a set of vector files into a folder.

    What needs torch, or the text normalisers' packages, is left out where they are not installed.

    Args:
        folder: is made where it does not exist; files of the same name are replaced.
        tokenizer: SentencePiece model of the small networks.
        seed: of all signals, weights and sentences.
    Returns:
        the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []

    def file(name: str) -> tuple[Path, np.random.Generator]:
        files.append(folder / name)
        return folder / name, np.random.default_rng([seed, zlib.crc32(name.encode())])

    def save(name: str, make: Any, *arguments: Any) -> None:
        path, rng = file(name)
        np.savez_compressed(path, **make(rng, *arguments))

    for name, make in (STAGE_FILES | FRONT_END_FILES | INTEGER_FILES).items():
        save(name, make)
    for format in ("1.4", "1.14"):
        path, rng = file(network_file(format))
        write_network(rng, format, tokenizer, path)
    models = TRANSDUCER_FILES | TOKEN_FILES | INTEGER_MODEL_FILES
    for name, make_with_model in models.items():
        save(name, make_with_model, folder)
    for name, make_from_greedy in DECODING_FILES.items():
        if name.endswith(".npz"):
            save(name, make_from_greedy, folder)
        else:
            path, rng = file(name)
            path.write_text(json.dumps(make_from_greedy(rng, folder)) + "\n", "utf-8")
    if installed("torch"):
        from hwckpt.conformance.training import TRAINING_FILES

        for name, make in TRAINING_FILES.items():
            save(name, make)
    if installed("inflect"):
        from hwckpt.conformance.text import TEXT_FILES

        for name, make in TEXT_FILES.items():
            path, rng = file(name)
            content = json.dumps(make(rng), ensure_ascii=False, indent=0)
            path.write_text(content + "\n", "utf-8")
    return files


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m hwckpt.vectors`."""
    parser = argparse.ArgumentParser(
        prog="python -m hwckpt.vectors",
        description="Write conformance vectors from Rill's references.",
        epilog="example: python -m hwckpt.vectors --output vectors && "
        "python -m hwckpt.conformance vectors",
        allow_abbrev=False,
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from stream.bundled import model_path

    arguments = build_parser().parse_args(argv)
    tokenizer = (model_path() / "tokenizer.model").read_bytes()
    files = write_vectors(Path(arguments.output), tokenizer, arguments.seed)
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"{arguments.output}: {len(files)} files, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    run_main(main)
