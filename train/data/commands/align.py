"""Write the times of each word in a data set, aligned by a model or taken from a CTM file.

The times go into the lines as `words`, for `batches.splice`. A model is told what was said: forced alignment
(`stream.engine.forced_alignment`) says when it is sure of each word, and the sound where that begins and ends. What a model
hears, right or wrong, is what `stream.validate --ctm` writes.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from stream.backends import Backend, default_backend, load_backend
from stream.bundled import NAMES, model_path
from stream.ctm import CtmWord, read_ctm_words, words_of
from stream.engine.alignment import word_spans
from stream.engine.emission import sounding_spans
from stream.engine.forced_alignment import forced_steps_of
from stream.errors import ArgumentError
from stream.model.network import Network, open_model
from stream.validation.latency import LONGEST
from stream.validation.word_delay import Emitted, word_delay
from stream.vocabulary import texts_of
from stream.words import group
from train.data.alignment import timed_words
from train.data.commands.reading import add_reading, read
from train.data.formats.table import FORMATS, for_output
from train.data.records.durations import with_durations
from train.data.records.record import Record, strict
from train.text.levels import SHOWN, text_rules
from train.text.transcripts import ruled

FIRST = 500  # recordings on which the model's word delay is measured
EXAMPLE = "train.jsonl train-words.jsonl --model runs/hard/best.pt"
Times: TypeAlias = Iterator[tuple[Record, tuple[CtmWord, ...]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("input", metavar="INPUT", help="data set")
    parser.add_argument("output", metavar="OUTPUT", help="manifest or cuts to write")
    add_reading(parser)
    parser.add_argument(
        "--model",
        metavar="PATH",
        help="model directory, checkpoint or bundled model that knows the words; its CTC head aligns where it has one "
        f"(default: {NAMES[0]})",
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
        found: Times = ((record, words_of(times, record.id) or ()) for record in records)
    else:
        network = open_model(arguments.model or model_path())
        rule = ruled(arguments.normalise, network.vocabulary.symbols)
        found = forced_times(records, network, rule)
    aligned = _with_times(found, rule, counts)
    count = FORMATS[for_output(arguments.output)].write(aligned, output)
    share = counts["timed"] / max(counts["words"], 1)
    print(f"{output}: {count} utterances, {share:.1%} of {counts['words']} words with their times")
    return 0


def forced_times(records: Iterator[Record], network: Network, rule: Callable[[str], str]) -> Times:
    """Yield records with the times of their words by forced alignment, with none where `_emitted` is None.

    Args:
        rule: brings a word to the spelling of the model; it may make several of it, or none.
    """
    backend = load_backend(default_backend(network), network)
    all_emitted = ((record, _emitted(record, network, backend, rule)) for record in records)
    first = list(itertools.islice(all_emitted, FIRST))
    specification = network.specification
    delay = word_delay(specification, [emitted for _, emitted in first if emitted])
    if delay is not None:
        specification = msgspec.structs.replace(specification, word_delay=delay)
    for record, emitted in itertools.chain(first, all_emitted):
        times: list[CtmWord] = []
        if emitted is not None:
            texts, steps, levels = emitted
            spans = word_spans(texts, sounding_spans(specification, levels, texts, steps))
            words = group(texts, steps)
            times = [CtmWord(word.text, *span) for word, span in zip(words, spans, strict=True)]
        yield record, tuple(times)


def _emitted(
    record: Record, network: Network, backend: Backend, rule: Callable[[str], str]
) -> Emitted | None:
    """Align a recording; None: the model cannot spell its words, or they are too many for it, or it is too long."""
    vocabulary = network.vocabulary
    text = " ".join(" ".join(map(rule, record.text.split())).split())
    if not text or vocabulary.unknown(text) or (record.duration or 0.0) > LONGEST:
        return None
    tokens, head = vocabulary.encode(text), network.specification.heads[-1]
    samples = record.read()  # not below: what is wrong with a recording is a ValueError, too
    try:
        steps, levels = forced_steps_of(network, backend, samples, tokens, head)
    except ValueError:  # no encoder frame, or more tokens than CTC has frames
        return None
    return Emitted(texts_of(tokens, vocabulary.texts)[0], steps, levels)


def _with_times(
    found: Times, rule: Callable[[str], str], counts: dict[str, int]
) -> Iterator[Record]:
    for record, heard in found:
        words = timed_words(record.text, heard, rule)
        counts["words"] += len(words)
        counts["timed"] += sum(word.start is not None for word in words)
        yield msgspec.structs.replace(record, words=words)
