"""`python -m train`: train a transducer as a configuration says, or go on with a run."""

from __future__ import annotations

import os

# Large tensors in large pages (read when torch is imported): a tenth of a training step is page faults.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from stream.audio import AudioError, read_audio
from stream.causality import CausalityError
from stream.manifest import ManifestError, Utterance, read_manifest
from stream.network import ModelError, open_model
from stream.process import run_main
from stream.spelling import check_spelling, unspelt
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.config import Config, ConfigError, Data, load_config, resolve
from train.data.batches import Batches, Corpus
from train.loop import Material, Run
from train.start import Start, folded_start
from train.statistics import read_statistics
from train.transcripts import SPELLING_OPTIONS, normalised


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train`."""
    parser = argparse.ArgumentParser(
        prog="python -m train",
        description="Train an LSTM transducer. A run goes on from RUN/last.pt where there is one.",
        epilog="example: python -m train --config configs/en-commands.toml --output runs/soft",
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, metavar="TOML", help="configuration of the run")
    parser.add_argument("--output", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--init-from",
        metavar="CKPT",
        help="training checkpoint whose weights a new run starts from; with quantize, any model",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the configuration, as in optimiser.rate=0.004; may be repeated",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of torch (default: all)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        config = load_config(arguments.config, arguments.set)
        start = _start(config, arguments.init_from)
        run = Run(Path(arguments.output), config, start, _material(config, start))
        run.train()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (ModelError, ManifestError, AudioError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 3
    except (CausalityError, FloatingPointError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from {arguments.output}/last.pt", file=sys.stderr)
        return 130
    print(f"{arguments.output}/best.pt")
    return 0


def _start(config: Config, init_from: str | None) -> Start:
    if init_from is None:
        tokenizer = resolve(config.data.tokenizer)
        if not tokenizer.exists():
            raise ConfigError(f"data.tokenizer: no {tokenizer}. Make it: python -m train.tokenizer")
        mean, variance = read_statistics(resolve(config.data.statistics))
        return Start(tokenizer.read_bytes(), mean, variance)
    if config.quantize != "none":
        return folded_start(open_model(init_from))
    content = checkpoint.load(Path(init_from))
    return Start(
        content["tokenizer"],
        np.array(content["mean"], np.float32),
        np.array(content["variance"], np.float32),
        content["averaged"],
    )


def _material(config: Config, start: Start) -> Material:
    vocabulary = Vocabulary(start.tokenizer)
    train = [u for n in config.data.train for u in _utterances(n, config.data, vocabulary)]
    dev = _utterances(config.data.dev, config.data, vocabulary)
    noise = sorted(resolve(config.data.noise).iterdir()) if config.data.noise else []
    corpus = Corpus.load(train, vocabulary.encode, _counter("train"))
    recordings = [read_audio(path) for path in noise]
    try:
        batches = Batches(corpus, recordings, config.batches, config.augmentation, config.seed)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Material(
        batches,
        dev,
        [u.read() for u in dev],
        sum(u.duration for u in train) / 3600,
    )


def _utterances(manifest: str, data: Data, vocabulary: Vocabulary) -> list[Utterance]:
    """Read a manifest with its texts as they are learned; refuse, or show, what cannot be spelt."""
    read = read_manifest(resolve(manifest))
    utterances = normalised(read, data.normalise, vocabulary.symbols)
    if data.unknown == "refuse":
        check_spelling(
            vocabulary,
            utterances,
            *(f"--set {option}" for option in SPELLING_OPTIONS),
        )
    elif missing := unspelt(vocabulary, utterances):
        print(f"{manifest}: {missing} They are learned as <unk>.", file=sys.stderr)
    return utterances


def _counter(what: str) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if done % 500 == 0 or done == total:
            print(f"{what}: {done} of {total} recordings read", file=sys.stderr)

    return show


if __name__ == "__main__":
    run_main(main)
