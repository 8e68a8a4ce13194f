"""`python -m train.sweep`: which of a run's checkpoints to fine-tune from.

Validates every checkpoint in the run's folder in the run's own arithmetic, with hard activations and
in integers, and marks the best of the last of these. Choosing is in `train.checkpoints.selection`.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.audio import WHOLE
from stream.encoders.lstm_layer import Activation
from stream.error_rate import word_error_rate
from stream.files.atomic import replace_json
from stream.manifest import Utterance, read_manifest, spaced
from stream.model.network import Network
from stream.model.specification import ModelError
from stream.process import reports_errors, run_main
from stream.spelling import check_spelling
from stream.validation import validate
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.checkpoints.selection import Scorer, Sweep, checkpoints, read_sweep, sweep
from train.config.renamed import current
from train.text.levels import TextRules
from train.text.transcripts import SPELLING_OPTIONS, normalised

PICTURES = (".svg", ".png")


class _Texts(msgspec.Struct):
    """What `train.config.run.Data` says of transcripts; other keys are not looked at."""

    text: TextRules = "as-is"
    unknown: Literal["refuse", "allow"] = "refuse"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train.sweep`."""
    parser = argparse.ArgumentParser(
        prog="rill sweep",
        description="Validate all checkpoints of a run in its own arithmetic, with hard "
        "activations and in integers, and mark the best to fine-tune from. Results of earlier calls are reused.",
        epilog="example: rill sweep runs/soft --hard --int8 --manifest dev.jsonl",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run")
    parser.add_argument("--manifest", required=True, metavar="JSONL", help="recordings with texts")
    parser.add_argument("--hard", action="store_true", help="also with hard activations")
    parser.add_argument(
        "--int8",
        action="store_true",
        help="also with hard activations in integers, whose formats are chosen on the manifest",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="take N recordings, evenly spaced (default: all)"
    )
    parser.add_argument(
        "--plot", metavar="F", help="WER over updates, .svg or .png (default: RUN/sweep.svg)"
    )
    parser.add_argument(
        "--json", metavar="F", help="results, read again by the next call (default: RUN/sweep.json)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of torch (default: one a core)"
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    run = Path(arguments.run)
    plot = Path(arguments.plot) if arguments.plot else run / "sweep.svg"
    results = Path(arguments.json) if arguments.json else run / "sweep.json"
    if plot.suffix not in PICTURES:
        parser.error(f"--plot is {plot}; it has to end in {' or '.join(PICTURES)}")
    if arguments.limit is not None and arguments.limit < 1:
        parser.error(f"--limit is {arguments.limit}; want 1 or more")
    if arguments.threads is not None and arguments.threads < 1:
        parser.error(f"--threads is {arguments.threads}; want 1 or more")
    for path in (plot, results):
        if path.parent != run and not path.parent.is_dir():
            parser.error(f"{path} cannot be written: there is no folder {path.parent}")
    from train.compute.threads import set_threads
    from train.report.sweep import draw

    set_threads(arguments.threads)
    try:
        files = checkpoints(run)
        own, texts = _trained(run)
        utterances = spaced(read_manifest(arguments.manifest), arguments.limit)
        vocabulary = Vocabulary(checkpoint.load(files[0])["tokenizer"])
        utterances = normalised(utterances, texts.text, vocabulary.symbols)
        if texts.unknown == "refuse":
            check_spelling(vocabulary, utterances, *(f"train with {o}" for o in SPELLING_OPTIONS))
        scorers = _scorers(utterances, own, arguments.hard, arguments.int8)
        done = sweep(
            files,
            scorers,
            Sweep(
                run=run.resolve().name,
                manifest=arguments.manifest,
                recordings=_recordings(utterances),
                arithmetics=list(scorers),
            ),
            read_sweep(results),
            save=functools.partial(replace_json, results),
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except KeyboardInterrupt:
        print(f"stopped; the same command resumes from {results}", file=sys.stderr)
        raise
    draw(done, plot)
    _print(done)
    print(f"written: {results}, {plot}", file=sys.stderr)
    return 0


def _trained(run: Path) -> tuple[Activation, _Texts]:
    """Return the activation that a run is trained with, and how its transcripts are taken.

    Raises:
        ModelError: it has no configuration.
    """
    path = run / "config.json"
    try:
        config = current(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
        activation = msgspec.convert(config["model"].get("activation", "hard"), Activation)
        texts = msgspec.convert(config.get("data", {}), _Texts)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        raise ModelError(f"is not the configuration of a run: {error}", path) from error
    return activation, texts


def _scorers(
    utterances: Sequence[Utterance], own: Activation, hard: bool, int8: bool
) -> dict[str, Scorer]:
    """Return how a network is scored in each arithmetic that is asked for."""
    audio = [utterance.read() for utterance in utterances]

    def floating(activation: Activation) -> Scorer:
        return lambda network: _floating(_with(network, activation), utterances, audio)

    scorers: dict[str, Scorer] = {own: floating(own)}
    if hard:
        scorers["hard"] = floating("hard")
    if int8:
        scorers["int8"] = lambda network: _integer(_with(network, "hard"), utterances)
    return scorers


def _with(network: Network, activation: Activation) -> Network:
    specification = msgspec.structs.replace(network.specification, activation=activation)
    return replace(network, specification=specification)


def _floating(
    network: Network, utterances: Sequence[Utterance], audio: Sequence[NDArray[np.float32]]
) -> float:
    """Score the training forward, which says what streaming does (`stream.validate`)."""
    from train.evaluation import training_tokens

    texts = [
        network.vocabulary.decode([token for token, _ in tokens])
        for tokens in training_tokens(network, audio)
    ]
    return word_error_rate([utterance.text for utterance in utterances], texts).wer


def _integer(network: Network, utterances: Sequence[Utterance]) -> float | None:
    from export.post_training import calibrated

    try:
        if network.specification.quantisation is None:
            network = calibrated(network, utterances)
        return validate(network, utterances, backend="integer", reset_stats=True).wer
    except ModelError as error:  # such as a sum that may overflow: then it is none to start from
        print(f"no int8: {error}", file=sys.stderr)
        return None


def _recordings(utterances: Sequence[Utterance]) -> str:
    digest = hashlib.sha256()
    for utterance in utterances:
        part = "" if utterance.part == WHOLE else f"{utterance.part}"
        digest.update(f"{utterance.audio.resolve()}{part}\t{utterance.text}\n".encode())
    return digest.hexdigest()


def _print(done: Sweep) -> None:
    width = max(len(score.file) for score in done.scores)
    heads = "".join(f"{f'{arithmetic} %':>9}" for arithmetic in done.arithmetics)
    print(f"{'update':>8}  {'checkpoint':{width}}{heads}")
    for score in done.scores:
        wers = [score.wer.get(arithmetic) for arithmetic in done.arithmetics]
        cells = "".join(f"{'-' if wer is None else f'{100 * wer:.2f}':>9}" for wer in wers)
        mark = "   <- start from this" if score.file == done.best else ""
        print(f"{score.update:8d}  {score.file:{width}}{cells}{mark}")


if __name__ == "__main__":
    run_main(main)
