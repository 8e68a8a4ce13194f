"""`python -m train.recipe`: make a model by its recipe (`train.recipe.steps`), or say what is still to be done."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream.errors import ArgumentError
from stream.process import end_with_parent, reports_errors, run_main
from train.recipe.knobs import VARIABLES, Knobs, of_environment
from train.recipe.steps import Record, Step, read_recipe, steps_of


def build_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser.

    Args:
        environment: where a variable RILL_<FLAG> is the default of its flag.
    """
    parser = argparse.ArgumentParser(
        prog="rill recipe",
        description="Make a model by its recipe: tokenizer, statistics, training, export, validation, card. The same "
        "command goes on where it was stopped, and runs only what has changed.",
        epilog="example: rill recipe recipes/en-commands --output runs/en-commands. Each flag but --list and --set may "
        "also be set by an environment variable: --data by RILL_DATA, --until by RILL_UNTIL; and each key of "
        "--set, too: optimiser.rate by RILL_OPTIMISER__RATE.",
        allow_abbrev=False,
    )
    given = {name: environment.get(variable) or None for name, variable in VARIABLES.items()}
    parser.add_argument(
        "recipe",
        nargs="?",
        default=given["recipe"],
        metavar="FOLDER",
        help="folder with a recipe.toml, $RILL_RECIPE in it and its configurations",
    )
    parser.add_argument(
        "--data",
        default=given["data"],
        metavar="DIR",
        help="folder of the corpora, $RILL_DATA in the recipe and its configurations",
    )
    parser.add_argument(
        "--output",
        default=given["output"],
        metavar="DIR",
        help="folder of its runs and of the model, $RILL_OUTPUT in them",
    )
    steps = "a step's name or number in the list"
    parser.add_argument(
        "--from",
        dest="first",
        default=given["from"],
        metavar="STEP",
        help=f"begin there, even if it was done, and take what comes before as it is; {steps}",
    )
    parser.add_argument(
        "--until", default=given["until"], metavar="STEP", help="end when that one is done"
    )
    parser.add_argument(
        "--only",
        default=given["only"],
        metavar="STEP",
        help="run that one alone, even if it was done",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="[STAGE:]KEY=VALUE",
        help="override a key of the configurations of all stages, or of one, as in soft:updates=500; may be "
        "repeated",
    )
    parser.add_argument(
        "--init-from",
        default=given["init_from"],
        metavar="MODEL",
        help="model whose encoder, and rows of pieces, the first stage starts from, in place of the one that its "
        "configuration names: a checkpoint, a model directory, en-commands; none: from scratch",
    )
    parser.add_argument(
        "--english-compatible",
        action="store_true",
        default=given["english_compatible"] in ("1", "true", "yes", "on"),
        help="fold the letters of transcripts to those of English, so that the tokenizer of an English model can be "
        "used",
    )
    parser.add_argument(
        "--list", action="store_true", help="run nothing; print the steps and which are done"
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser(os.environ)
    arguments = parser.parse_args(argv)
    if arguments.recipe is None:
        parser.error("FOLDER is missing: the folder of the recipe")
    if arguments.output is None:
        parser.error("--output is missing: the folder of its runs and of the model")
    if arguments.only is not None and (arguments.first or arguments.until):
        parser.error("--only goes without --from and --until")
    overrides = (*of_environment(os.environ), *arguments.set)
    knobs = Knobs(overrides, arguments.english_compatible, arguments.init_from)
    # For the commands and configurations, which name them.
    for name in ("recipe", "data", "output"):
        if (place := getattr(arguments, name)) is not None:
            os.environ[VARIABLES[name]] = place
    folder, output = Path(arguments.recipe), Path(arguments.output)
    steps = steps_of(folder, read_recipe(folder), output, knobs)
    record = Record(output)
    if arguments.list:
        _list(steps, record)
        return 0
    first = _place(steps, arguments.only or arguments.first)
    last = _place(steps, arguments.only or arguments.until)
    if first is not None:
        _check_before(steps[:first], arguments.only or arguments.first)
    if last is not None and (first or 0) > last:
        parser.error(f"--until {arguments.until} comes before --from {arguments.first}")
    # A container's engine sends it to this process alone, to which, as the first one, it would mean nothing.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for number in range(first or 0, len(steps) if last is None else last + 1):
        if number == first or not record.done(steps[number]):
            status = _run(number, steps, record)
            if status:
                return status
        else:
            _say(number, steps, "done before")
    _list(steps, record)
    return 0


def _run(number: int, steps: Sequence[Step], record: Record) -> int:
    """Run a step; returns its exit status.

    The step ends with this process, even if that is killed: a second start would meet it still writing.
    """
    step = steps[number]
    _say(number, steps, "runs")
    record.begin(step, steps[number + 1 :])
    began = time.monotonic()
    command = [sys.executable, "-m", "server.rill", *step.words]
    before = end_with_parent if os.name == "posix" else None
    status = subprocess.run(command, preexec_fn=before).returncode
    if status:
        line = f"step {number + 1}, {step.name}, ended with exit status {status}: {step.line}"
        print(line, file=sys.stderr)
        return status if status > 0 else 128 - status
    record.end(step, round(time.monotonic() - began, 1))
    return 0


def _place(steps: Sequence[Step], name: str | None) -> int | None:
    """Return the place of a step by its name or number."""
    if name is None:
        return None
    for place, step in enumerate(steps):
        if name in (step.name, str(place + 1)):
            return place
    raise ArgumentError(f"no step {name!r}; there are {', '.join(step.name for step in steps)}")


def _check_before(steps: Sequence[Step], first: str) -> None:
    """Refuse to begin with a step if one before it never wrote what it writes."""
    for step in steps:
        for path in step.outputs:
            if not path.exists():
                raise ArgumentError(
                    f"cannot begin with {first}: {step.name} has not written {path}"
                )


def _say(number: int, steps: Sequence[Step], what: str) -> None:
    step = steps[number]
    line = f"[{number + 1} of {len(steps)}] {step.name} {what}: {step.line}"
    print(line, file=sys.stderr, flush=True)


def _list(steps: Sequence[Step], record: Record) -> None:
    """Print the steps with the time that each took; of those that have to be run, none."""
    left, total = False, 0.0
    width = max(len(step.name) for step in steps)
    for number, step in enumerate(steps, 1):
        left = left or not record.done(step)
        state = record.states.get(step.line)
        seconds = None if left or state is None else state.seconds
        total += seconds or 0.0
        time = "to do" if seconds is None else _time(seconds)
        print(f"{number:>3}  {step.name:<{width}}  {time:>12}  {step.line}")
    print(f"{'':>3}  {'all':<{width}}  {_time(total):>12}" + "  of what is done" * left)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    run_main(main)
