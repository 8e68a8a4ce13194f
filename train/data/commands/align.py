"""Write the times of each word in a data set, aligned by a model or taken from a CTM file.

The times go into the lines as `words`, for `batches.splice`. A model's are those of `stream.validate --ctm`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, cast

import msgspec

from stream.bundled import NAMES, model_path
from stream.ctm import CtmWord, read_ctm_words, words_of
from stream.errors import ArgumentError
from stream.model.network import Network, open_model
from stream.validation import validate
from train.data.alignment import timed_words
from train.data.commands.reading import add_reading, read
from train.data.formats.table import FORMATS, for_output
from train.data.records.durations import with_durations
from train.data.records.record import Record, strict
from train.text.levels import SHOWN, text_rules
from train.text.transcripts import ruled

EXAMPLE = "train.jsonl train-words.jsonl --model runs/hard/best.pt"
TOGETHER = 256  # utterances whose results are in memory
Heard: TypeAlias = Iterator[tuple[Record, tuple[CtmWord, ...]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("input", metavar="INPUT", help="data set")
    parser.add_argument("output", metavar="OUTPUT", help="manifest or cuts to write")
    add_reading(parser)
    parser.add_argument(
        "--model",
        metavar="PATH",
        help=f"model directory, checkpoint or bundled model (default: {NAMES[0]})",
    )
    parser.add_argument(
        "--ctm",
        metavar="FILE",
        help="take the times from a CTM file of another aligner instead of a model",
    )
    parser.add_argument(
        "--normalise",
        type=text_rules,
        metavar="RULES",
        default="as-is",
        help=f"normalise texts as for the model, as data.text in training: {SHOWN} (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if arguments.model and arguments.ctm:
        raise ArgumentError("--model and --ctm exclude each other")
    records = strict(with_durations(read(arguments.input, arguments)))
    output, counts = Path(arguments.output), {"words": 0, "timed": 0}
    if arguments.ctm:
        times, rule = read_ctm_words(Path(arguments.ctm)), ruled(arguments.normalise)
        heard: Heard = ((record, words_of(times, record.id) or ()) for record in records)
    else:
        network = open_model(arguments.model or model_path())
        rule = ruled(arguments.normalise, network.vocabulary.symbols)
        heard = _heard(records, network)
    aligned = _aligned(heard, rule, counts)
    count = FORMATS[for_output(arguments.output)].write(aligned, output)
    share = counts["timed"] / max(counts["words"], 1)
    print(f"{output}: {count} utterances, {share:.1%} of {counts['words']} words with their times")
    return 0


def _heard(records: Iterator[Record], network: Network) -> Heard:
    """Yield records with the words that a model hears in them."""
    while some := list(itertools.islice(records, TOGETHER)):
        report = validate(network, cast(Any, some), reset_stats=True)
        for record, outcome in zip(some, report.utterances, strict=True):
            words = [word for word in outcome.hypothesis.split(" ") if word]
            pairs = zip(words, outcome.times, strict=True)
            yield record, tuple(CtmWord(word, *times) for word, times in pairs)


def _aligned(heard: Heard, rule: Callable[[str], str], counts: dict[str, int]) -> Iterator[Record]:
    for record, found in heard:
        words = timed_words(record.text, found, rule)
        counts["words"] += len(words)
        counts["timed"] += sum(word.start is not None for word in words)
        yield msgspec.structs.replace(record, words=words)
