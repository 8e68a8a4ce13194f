"""Write when each word of a data set sounds, as a model hears it.

The times go into the lines as `words`, for `batches.splice`. They are those of `stream.validate --ctm`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from stream.bundled import model_path
from stream.model.network import Network, open_model
from stream.validation import validate
from train.data.alignment import timed_words
from train.data.commands.reading import add_reading, read
from train.data.formats.table import FORMATS, for_output
from train.data.records.durations import with_durations
from train.data.records.record import Record, strict
from train.text.levels import TEXT_RULES
from train.text.transcripts import ruled

EXAMPLE = "train.jsonl train-words.jsonl --model runs/hard/best.pt"
TOGETHER = 256  # utterances whose results are in memory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("input", metavar="INPUT", help="data set")
    parser.add_argument("output", metavar="OUTPUT", help="manifest or cuts to write")
    add_reading(parser)
    parser.add_argument(
        "--model", metavar="PATH", help="model directory or checkpoint (default: the bundled model)"
    )
    parser.add_argument(
        "--normalise",
        choices=TEXT_RULES,
        default="as-is",
        help="how texts become what the model says, as data.text in training (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    network = open_model(arguments.model or model_path())
    counts = {"words": 0, "timed": 0}
    records = strict(with_durations(read(arguments.input, arguments)))
    output = Path(arguments.output)
    aligned = _aligned(records, network, arguments.normalise, counts)
    count = FORMATS[for_output(arguments.output)].write(aligned, output)
    share = counts["timed"] / max(counts["words"], 1)
    print(f"{output}: {count} utterances, {share:.1%} of {counts['words']} words with their times")
    return 0


def _aligned(
    records: Iterator[Record], network: Network, rules: Any, counts: dict[str, int]
) -> Iterator[Record]:
    rule = ruled(rules, network.vocabulary.symbols)
    while some := list(itertools.islice(records, TOGETHER)):
        report = validate(network, cast(Any, some), reset_stats=True)
        for record, outcome in zip(some, report.utterances, strict=True):
            heard = [word for word in outcome.hypothesis.split(" ") if word]
            words = timed_words(record.text, heard, outcome.times, rule)
            counts["words"] += len(words)
            counts["timed"] += sum(word.start is not None for word in words)
            yield msgspec.structs.replace(record, words=words)
