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

from stream.audio import read_audio
from stream.manifest import Utterance, read_manifest
from stream.model.network import open_model
from stream.process import reports_errors, run_main
from stream.spelling import check_spelling, unspelt
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.config import Config, ConfigError, Data, load_config, resolve
from train.data.batches import Batches, Corpus
from train.loop import Material, Run
from train.run.resume import LAST, Resumed, check_same_run, find
from train.run.start import Start, checkpoint_start, folded_start
from train.statistics import read_statistics
from train.text.transcripts import SPELLING_OPTIONS, normalised


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
        help="checkpoint or model directory whose weights, tokenizer and statistics a new run starts "
        "from",
    )
    parser.add_argument(
        "--resume-from",
        metavar="UPDATE",
        help="go back to one of RUN/resumable by its update's number, or to a checkpoint by its path "
        "(default: RUN/last.pt)",
    )
    parser.add_argument(
        "--change",
        action="store_true",
        help="go on with another configuration than before; without it the differences are shown and "
        "the run is refused",
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


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.threads is not None:
        if arguments.threads < 1:
            parser.error(f"--threads is {arguments.threads}; want 1 or more")
        torch.set_num_threads(arguments.threads)
    if arguments.resume_from and arguments.init_from:
        parser.error(
            "--init-from begins a run and --resume-from goes on with one: give one of them"
        )
    folder = Path(arguments.output)
    try:
        config = load_config(arguments.config, arguments.set)
        resumed = find(folder, arguments.resume_from)
        if resumed is not None:
            changed = check_same_run(resumed, config, arguments.init_from, arguments.change)
            for line in changed:
                print(f"changed: {line}", file=sys.stderr)
        start = _start(config, arguments.init_from, resumed)
        run = Run(folder, config, start, _material(config, start), resumed)
        run.train()
    except KeyboardInterrupt:
        again = "without --resume-from " if arguments.resume_from else ""
        print(f"stopped; the same command {again}goes on from {folder / LAST}", file=sys.stderr)
        raise
    print(f"{arguments.output}/best.pt")
    return 0


def _start(config: Config, init_from: str | None, resumed: Resumed | None = None) -> Start:
    """Return what the run begins, or began, with."""
    tokenizer = resolve(config.data.tokenizer)
    statistics = resolve(config.data.statistics)
    if resumed is not None:
        start = checkpoint_start(resumed.content, resumed.content.get("init_from"), weights=False)
        source = str(resumed.path)
    elif init_from is not None:
        start = _initial(config, Path(init_from))
        source = init_from
    elif not tokenizer.exists():
        raise ConfigError(f"data.tokenizer: no {tokenizer}. Make it: python -m train.tokenizer")
    else:
        return Start(tokenizer.read_bytes(), *read_statistics(statistics))
    # What weights were trained with is the tokenizer and the statistics to go on with.
    if tokenizer.exists() and tokenizer.read_bytes() != start.tokenizer:
        raise ConfigError(
            f"data.tokenizer: {source} was trained with another tokenizer than {tokenizer}, and its "
            "weights are for that one. Name it, or begin a new run without --init-from"
        )
    if statistics.exists():
        mean, variance = read_statistics(statistics)
        if not (np.array_equal(mean, start.mean) and np.array_equal(variance, start.variance)):
            print(f"data.statistics is not read: those of {source} are taken", file=sys.stderr)
    return start


def _initial(config: Config, path: Path) -> Start:
    """Return what --init-from gives: weights before their normalisation is folded in, if they are there."""
    source = os.path.abspath(path)
    if config.quantize != "none":
        return folded_start(open_model(path), source)
    if checkpoint.recognises(path):
        content = checkpoint.load(path)
        if not checkpoint.specification_of(content, path).rounded:
            return checkpoint_start(content, source, weights=True)
    network = open_model(path)
    if config.freeze_norms_from is None or config.freeze_norms_from > 1:
        raise ConfigError(
            f"--init-from {path}: the normalisation between layers is folded into its weights and "
            "cannot be learned any more: set freeze_norms_from = 1 (--set freeze_norms_from=1)"
        )
    return folded_start(network, source, normalised=True)


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
