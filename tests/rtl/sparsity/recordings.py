"""What figures of sparsity are measured with: a model, and recordings drawn at random that it hears."""

from __future__ import annotations

import argparse
import functools
import os
import random
from collections.abc import Sequence
from pathlib import Path

from stream.backends import Backend
from stream.bundled import model_path
from stream.engine.engine import Engine
from stream.engine.streams import Streams
from stream.error_rate import word_error_rate
from stream.manifest import Utterance, read_manifest
from stream.model.network import Network, open_model
from stream.progress import show_count

SLOTS = 32


def parser_of(name: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of a command of this folder: which model, recordings and gateware."""
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.rtl.sparsity.{name}", description=description, allow_abbrev=False
    )
    dev = Path(os.environ.get("RILL_DATA", ".")) / "dev.jsonl"
    add = parser.add_argument
    add("--ckpt", type=Path, default=model_path(), help="default: the bundled model")
    add("--manifest", type=Path, default=dev, help="default: $RILL_DATA/dev.jsonl")
    add("--recordings", type=int, default=250, help="drawn at random (default 250)")
    add("--seed", type=int, default=1, help="of the draw (default 1)")
    add("--units", type=int, default=8, help="that are computed at a time (default 8)")
    return parser


def recordings_of(arguments: argparse.Namespace) -> tuple[Network, list[Utterance]]:
    """Return the model and the recordings."""
    utterances = read_manifest(arguments.manifest)
    count = min(arguments.recordings, len(utterances))
    return open_model(arguments.ckpt), random.Random(arguments.seed).sample(utterances, count)


def heard(network: Network, backend: Backend, utterances: Sequence[Utterance]) -> list[str]:
    """Return the texts of recordings, each streamed from the statistics of the model."""
    engine = Engine(network, backend, SLOTS)
    stream = Streams(engine, functools.partial(engine.restart, keep_statistics=False))
    results = stream.run([u.read for u in utterances], engine.chunk_samples, show_count)
    return ["".join(each.text for each in of).strip() for of in results]


def word_errors(utterances: Sequence[Utterance], texts: Sequence[str]) -> float:
    """Return the word error rate of texts, a fraction."""
    return word_error_rate([utterance.text for utterance in utterances], texts).wer
