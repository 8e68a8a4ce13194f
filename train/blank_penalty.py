"""`python -m train.blank_penalty`: lower the blank of a trained model's head by what costs the fewest word errors.

A transducer that learned from noisy, masked and joined recordings says blank where it is in doubt, and so
deletes more words than it inserts. The penalty, as icefall and sherpa-onnx have it for decoding, is
subtracted from blank's logit; here it goes into the bias of the output layer, so that every format, backend and
target has it, and what streams stays what the training forward says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.decoding.options import HEADS
from stream.error_rate import ErrorRate, word_error_rate
from stream.manifest import read_manifest, spaced
from stream.model.network import Network
from stream.model.specification import Head
from stream.process import reports_errors, run_main

PENALTIES = (0.0, 0.5, 1.0, 1.5, 2.0)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train.blank_penalty`."""
    parser = argparse.ArgumentParser(
        prog="rill blank-penalty",
        description="Measure the word error rate with blank's logit lowered by each of some penalties, and "
        "write a checkpoint with the best one in its output layer.",
        epilog="example: rill blank-penalty runs/hard/best.pt --manifest dev.jsonl --output runs/hard/tuned.pt",
        allow_abbrev=False,
    )
    parser.add_argument("ckpt", metavar="CKPT", help="checkpoint of a run")
    parser.add_argument("--manifest", required=True, metavar="JSONL", help="recordings with texts")
    parser.add_argument("--output", required=True, metavar="CKPT", help="checkpoint to write")
    parser.add_argument(
        "--penalties",
        type=float,
        nargs="+",
        default=PENALTIES,
        metavar="P",
        help=f"natural-logarithm units (default: {' '.join(f'{p:g}' for p in PENALTIES)}); "
        "with only one, nothing is measured",
    )
    parser.add_argument(
        "--head",
        choices=HEADS,
        help=f"whose blank is lowered (default: {HEADS[0]}, if the model has it)",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="take N recordings, evenly spaced (default: all)"
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    path, output = Path(arguments.ckpt), Path(arguments.output)
    if not output.parent.is_dir():
        parser.error(f"--output {output}: there is no folder {output.parent}")
    if not all(np.isfinite(penalty) for penalty in arguments.penalties):
        parser.error(f"--penalties are {arguments.penalties}; want finite numbers")
    if arguments.limit is not None and arguments.limit < 1:
        parser.error(f"--limit is {arguments.limit}; want 1 or more")

    from train import checkpoint

    content = checkpoint.load(path)
    head = checkpoint.specification_of(content, path).head(arguments.head)
    best = arguments.penalties[0]
    if len(arguments.penalties) > 1:
        utterances = spaced(read_manifest(arguments.manifest), arguments.limit)
        audio = [utterance.read() for utterance in utterances]
        texts = [utterance.text for utterance in utterances]
        network = checkpoint.read(path)
        rates: dict[float, ErrorRate] = {}
        print(f"{'penalty':>8} {'WER %':>7} {'sub':>6} {'del':>6} {'ins':>6}")
        for penalty in arguments.penalties:
            rate = rates[penalty] = error_rate(network, penalty, audio, texts, head)
            counts = rate.substitutions, rate.deletions, rate.insertions
            cells = "".join(f" {count:6d}" for count in counts)
            print(f"{penalty:8g} {100 * rate.wer:7.2f}{cells}", flush=True)
        best = min(rates, key=lambda penalty: (rates[penalty].wer, abs(penalty)))
    checkpoint.save(penalised(content, best, head), output)
    print(f"written: {output}, blank of the {head} lowered by {best:g}", file=sys.stderr)
    return 0


def error_rate(
    network: Network,
    penalty: float,
    audio: Sequence[NDArray[np.float32]],
    texts: Sequence[str],
    head: Head,
) -> ErrorRate:
    """Return the word errors of the training forward with blank lowered by a penalty.

    Args:
        audio: recordings, each (samples,) float32 at 16 kHz.
        texts: what they say.
        head: whose blank is lowered, and which decodes.
    """
    from train.evaluation import training_tokens

    name = "joint.output.bias" if head == "transducer" else "ctc.bias"
    bias = network.arrays[name].copy()
    bias[network.specification.blank] -= penalty
    changed = replace(network, arrays={**network.arrays, name: bias})
    heard = [
        network.vocabulary.decode([token for token, _ in tokens])
        for tokens in training_tokens(changed, audio, head)
    ]
    return word_error_rate(texts, heard)


def penalised(content: dict[str, Any], penalty: float, head: Head) -> dict[str, Any]:
    """Return the content of a checkpoint with blank lowered, without what resumes its run."""
    from train.checkpoints.average import KEPT

    averaged = dict(content["averaged"])
    name = "output.bias" if head == "transducer" else "ctc.bias"
    blank = len(averaged[name]) - 1
    averaged[name] = averaged[name].clone()
    averaged[name][blank] -= penalty
    notes = dict(content["notes"])
    training = notes.get("training", {})
    key = "blank_penalty" if head == "transducer" else "ctc_blank_penalty"
    notes["training"] = {**training, key: training.get(key, 0.0) + penalty}
    notes["wer"] = {}
    return {
        **{key: content[key] for key in KEPT if key in content},
        "averaged": averaged,
        "notes": notes,
    }


if __name__ == "__main__":
    run_main(main)
