"""`python -m train.recipe`: make a model by its recipe (`train.recipe.steps`), or say what is still to be done."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stream.process import reports_errors, run_main
from train.recipe.steps import Record, Step, read_recipe, steps_of


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill recipe",
        description="Make a model by its recipe: tokenizer, statistics, training, export, validation, card. The same "
        "command goes on where it was stopped, and runs only what has changed.",
        epilog="example: rill recipe recipes/en-commands --output runs/en-commands",
        allow_abbrev=False,
    )
    parser.add_argument("recipe", metavar="FOLDER", help="folder with a recipe.toml")
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of its runs and of the model"
    )
    parser.add_argument(
        "--list", action="store_true", help="run nothing; print the steps and which are done"
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    folder, output = Path(arguments.recipe), Path(arguments.output)
    steps = steps_of(folder, read_recipe(folder), output)
    record = Record(output)
    if arguments.list:
        _list(steps, record)
        return 0
    for number, step in enumerate(steps, 1):
        if record.done(step):
            _say(number, steps, "done before", step)
            continue
        _say(number, steps, "runs", step)
        record.begin(step, steps[number:])
        began = time.monotonic()
        status = subprocess.run([sys.executable, "-m", "server.rill", *step.words]).returncode
        if status:
            print(f"step {number} ended with exit status {status}: {step.line}", file=sys.stderr)
            return status if status > 0 else 128 - status
        record.end(step, round(time.monotonic() - began, 1))
    _list(steps, record)
    return 0


def _say(number: int, steps: Sequence[Step], what: str, step: Step) -> None:
    print(f"[{number} of {len(steps)}] {what}: {step.line}", file=sys.stderr, flush=True)


def _list(steps: Sequence[Step], record: Record) -> None:
    """Print the steps with the time that each took; of those that have to be run, none."""
    left = False
    for step in steps:
        left = left or not record.done(step)
        state = record.states.get(step.line)
        seconds = None if left or state is None else state.seconds
        print(f"{'to do' if seconds is None else _time(seconds):>10}  {step.line}")


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    run_main(main)
