"""Have a synthesiser speak texts, each in a voice of its own: recordings of what a corpus has too little of.

The synthesiser is eSpeak NG (`pip install 'rill-asr[synthesis]'`). What is written is the same at each call.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stream.errors import ArgumentError, InputError
from stream.front_end.log_mel import SAMPLE_RATE
from train.data.commands.reading import counted
from train.data.espeak import PITCHES, RATES, Voice, say, variants
from train.data.formats.table import FORMATS, for_output
from train.data.records.extract import as_flac, extracted
from train.data.records.record import Record
from train.text.levels import SHOWN, text_rules
from train.text.sources import reading_of, texts_of
from train.text.transcripts import ruled

EXAMPLE = "words.txt spoken.tar.gz --language fr"
CORPUS = "espeak-ng"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "texts",
        metavar="TEXTS",
        help="texts, one a line, in UTF-8; or a Python file with a function sentences() that gives them and, where they "
        "are not read out as they are written, a function spoken(text)",
    )
    parser.add_argument(
        "output",
        metavar="OUTPUT",
        help="data set to write: a .tar.gz, .tar or .parquet holds its recordings, a manifest names those in --audio",
    )
    parser.add_argument(
        "--audio", metavar="DIR", help="new folder for the recordings of a manifest"
    )
    parser.add_argument(
        "--language", required=True, metavar="NAME", help="of the synthesiser: fr, fr-be, pt-br"
    )
    parser.add_argument(
        "--utterances",
        type=int,
        metavar="N",
        help="recordings to make; the texts are taken again where there are fewer (default: one of each text)",
    )
    parser.add_argument(
        "--normalise",
        type=text_rules,
        metavar="RULES",
        default="as-is",
        help="what is done to a text before it is the transcript, as data.text in training; spoken is the text as it "
        f"was: {SHOWN} (default: %(default)s)",
    )
    for name, unit, limits, default in (
        ("rate", "words a minute", RATES, (90, 190)),
        ("pitch", "50 is the voice's own", PITCHES, (20, 80)),
    ):
        parser.add_argument(
            f"--{name}",
            type=int,
            nargs=2,
            metavar=("LOW", "HIGH"),
            default=default,
            help=f"range of the {name}, {limits[0]} to {limits[1]}: {unit} (default: {default[0]} {default[1]})",
        )
    parser.add_argument("--seed", type=int, default=1, help="of the draws (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    for name, limits in (("rate", RATES), ("pitch", PITCHES)):
        low, high = getattr(arguments, name)
        if not limits[0] <= low <= high <= limits[1]:
            raise ArgumentError(
                f"--{name} is {low} {high}; want two of {limits[0]} to {limits[1]}, the lower first"
            )
    if arguments.utterances is not None and arguments.utterances < 1:
        raise ArgumentError(f"--utterances is {arguments.utterances}; want 1 or more")
    records = counted(_records(arguments), arguments.output)
    if arguments.audio:
        records = extracted(records, Path(arguments.audio))
    count = FORMATS[for_output(arguments.output)].write(records, Path(arguments.output))
    print(f"{arguments.output}: {count} utterances")
    return 0


def _records(arguments: argparse.Namespace) -> Iterator[Record]:
    """Yield a recording of each text, in a voice that is drawn."""
    path = Path(arguments.texts)
    rule, reading = ruled(arguments.normalise), reading_of(path)
    for number, text in enumerate(_texts(path, arguments.utterances)):
        draw = np.random.default_rng((arguments.seed, number))
        voice = Voice(
            arguments.language,
            str(draw.choice(variants())),
            _between(draw, *arguments.rate),
            _between(draw, *arguments.pitch),
        )
        samples = say(reading(text), voice, seed=number)
        transcript = rule(text)
        if not samples.any() or not transcript:
            fault = (
                "its transcript would be empty" if samples.any() else "nothing of it can be spoken"
            )
            raise InputError(f"{path}: text {number + 1}, {text!r}: {fault}")
        yield Record(
            id=f"{number:06d}",
            audio=as_flac(f"{number:06d}", samples),
            text=transcript,
            duration=len(samples) / SAMPLE_RATE,
            speaker=voice.speaker,
            corpus=CORPUS,
            language=arguments.language,
            source=arguments.texts,
            line=number + 1,
        )


def _between(draw: np.random.Generator, low: int, high: int) -> int:
    return int(draw.integers(low, high, endpoint=True))


def _texts(path: Path, count: int | None) -> Iterable[str]:
    """Return the texts of a file, again and again where a number of them is wanted.

    Raises:
        InputError: there is none.
    """
    texts = [text for text in texts_of(path) if text.strip()]
    if not texts:
        raise InputError(f"{path}: has no text")
    return texts if count is None else itertools.islice(itertools.cycle(texts), count)
