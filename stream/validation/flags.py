"""Flags of `python -m stream.validate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TypeAlias

from stream.backends import BACKENDS
from stream.bundled import NAMES
from stream.decoding.options import WHOLE, add_flags, value_flags
from stream.engine.front_end import FRONT_ENDS
from stream.front_end.log_mel import SAMPLE_RATE

Group: TypeAlias = argparse._ArgumentGroup

# By the value of --state-resets: whether states are reset, run by run.
RESETS = {"off": (False,), "on": (True,), "both": (False, True)}
LONGEST_PADDING = 5.0  # seconds
ALL = "all"


def add_recordings(group: Group) -> None:
    """Add what says which recordings are streamed."""
    add = group.add_argument
    add(
        "--manifest",
        metavar="PATH",
        help="recordings and transcripts, in any format that training reads (default: the bundled ones)",
    )
    add(
        "--root",
        metavar="DIR",
        help="folder that relative names count from (default: the format's)",
    )
    add("--limit", type=int, metavar="N", help="take N recordings, evenly spaced (default: all)")
    add(
        "--concatenate",
        type=float,
        metavar="S",
        help="join recordings of a corpus, in their order, to long ones of at least S seconds",
    )
    add(
        "--no-reference",
        action="store_true",
        help="the transcripts are placeholders, or there are none: count no errors",
    )
    add(
        "--normalise",
        metavar="RULES",
        help="normalise transcripts first, as data.text in training: standard, lower, ascii, "
        "digit_to_word, lowercase, scrub, v1.4 or a language such as en (default: take them as they are)",
    )
    add(
        "--allow-unk",
        action="store_true",
        help="take transcripts with characters that the model's tokenizer cannot spell "
        "(default: refuse them)",
    )


def add_model(group: Group) -> None:
    """Add what says which model is run, and how."""
    add = group.add_argument
    add(
        "--model",
        action="append",
        metavar="PATH",
        help="model directory, checkpoint, folder of checkpoints, or bundled model; may be repeated; several are "
        f"compared (default: {NAMES[0]})",
    )
    add(
        "--backend",
        choices=sorted(BACKENDS),
        help="what computes (default: onnx for a model directory, else numpy)",
    )
    add(
        "--front-end",
        choices=FRONT_ENDS,
        default="float",
        help="the model's front end, or the same in fixed point (default: float)",
    )
    add(
        "--reset-stats",
        action="store_true",
        help="start every utterance from the data set's statistics (default: carry them on)",
    )
    add("--alpha", type=float, metavar="A", help="override the statistics' alpha")
    add(
        "--final-padding",
        type=padding_of,
        metavar="S",
        help="override the silence computed after each recording, seconds",
    )
    add(
        "--chunk-ms",
        type=chunk_or_all,
        metavar="MS",
        help="length of a chunk, one that the model was trained with, or all: each of them, in a table "
        "(default: the model's own)",
    )


def add_decoding(group: Group) -> None:
    """Add the options of decoding."""

    add_flags(value_flags(group), WHOLE)
    group.add_argument(
        "--state-resets",
        nargs="?",
        choices=RESETS,
        default="off",
        const="on",
        help="reset the states of long recordings; both: without and with, in a table (default: off)",
    )


def add_reports(group: Group) -> None:
    """Add what is measured and written."""
    add = group.add_argument
    add(
        "--standardise",
        action="store_true",
        help="bring transcripts and results to standard English spelling before words are counted: "
        "contractions and titles in full, no fillers (default: score them as they are)",
    )
    add(
        "--breakdown",
        action="store_true",
        help="print tables by corpus and by length, and the words that are most often wrong",
    )
    add(
        "--latency",
        action="store_true",
        help="measure how long after a word ends it is emitted: where the recordings say when words sound, by "
        "that, else by forced alignment",
    )
    add(
        "--reference-ctm",
        metavar="F",
        help="the same, by the words' times in a CTM file; alone, of its recordings only",
    )
    add(
        "--compare-full",
        action="store_true",
        help="compare every token with the training forward (needs torch)",
    )
    add(
        "--capacity",
        action="store_true",
        help="run the self-test of rill serve, too: how many streams at a time this machine carries",
    )
    add("--json", metavar="F", help="write the report as JSON")
    add(
        "--record",
        nargs="?",
        const="",
        metavar="DIR",
        help="keep the error rates, or the rows of --scenario, in the notes of the model directory, from where "
        "rill export card takes them; DIR: in that one, which has the same weights as a checkpoint that is "
        "validated",
    )
    add(
        "--predictions",
        metavar="F",
        help="write what was heard: JSON lines if F ends in .jsonl, else a line of text for each recording",
    )
    add("--ctm", metavar="F", help="write when each word that was heard sounds, as a CTM file")


# Flags that change no error rate, or that `--record` names otherwise.
NO_OPTIONS = {
    *("manifest", "root", "model", "backend", "record", "scenario", "noise", "state_resets"),
    *("breakdown", "latency", "reference_ctm", "compare_full", "json", "predictions", "ctm"),
    *("chunk_ms", "capacity"),
}


def chosen(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the flags that change error rates and are not as they are by default."""
    defaults = vars(parser.parse_args([]))
    return {
        name: value
        for name, value in vars(arguments).items()
        if name not in NO_OPTIONS and value != defaults[name]
    }


def wants_transcripts(arguments: argparse.Namespace) -> bool:
    """Return whether a report is asked for that compares with what was said."""
    asked = arguments.breakdown, arguments.latency, arguments.reference_ctm, arguments.scenario
    return any(asked) or arguments.record is not None


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other."""
    for flag in ("json", "ctm", "predictions"):
        path = getattr(arguments, flag)
        if path and not Path(path).parent.is_dir():
            parser.error(f"--{flag} {path}: there is no such folder")
    if arguments.limit is not None and arguments.limit < 1:
        parser.error(f"--limit is {arguments.limit}; want 1 or more")
    if arguments.concatenate is not None and not arguments.concatenate > 0:
        parser.error(f"--concatenate is {arguments.concatenate:g}; want more than 0")
    if arguments.decoder != "beam":
        for flag in ("beam-width", "final-seconds"):
            field = flag.replace("-", "_")
            if getattr(arguments, field) != getattr(WHOLE, field):
                parser.error(f"--{flag} goes with --decoder beam")
    if arguments.compare_full and arguments.front_end != "float":
        parser.error("--compare-full compares the float front end: leave --front-end out")
    if arguments.compare_full and arguments.decoder == "beam":
        parser.error("--compare-full compares greedy decoding: leave --decoder beam out")
    if arguments.compare_full and arguments.state_resets != "off":
        parser.error("--compare-full compares states that go on: leave --state-resets out")


def chunk_or_all(text: str) -> int | str:
    """Return the value of `--chunk-ms`: milliseconds, or "all".

    Raises:
        ArgumentTypeError: it is neither.
    """
    if text == ALL:
        return ALL
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}; want milliseconds, or {ALL}") from error


def padding_of(seconds: str) -> int:
    """Return the zeros, samples, of a flag that gives seconds.

    Raises:
        ArgumentTypeError: it is no number from 0 to `LONGEST_PADDING`.
    """
    try:
        value = float(seconds)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= LONGEST_PADDING:
        raise argparse.ArgumentTypeError(f"{seconds!r}; want 0 to {LONGEST_PADDING:g} seconds")
    return round(value * SAMPLE_RATE)
