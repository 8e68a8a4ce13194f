"""`python -m train.mel_stats`: measure the log-mel statistics of a training set, once before it."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from stream.process import reports_errors, run_main
from train.config.file import load_config, resolve
from train.config.run import ConfigError
from train.run.training_set import audio_of, utterances_of
from train.statistics import measure, write_statistics


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train.mel_stats`."""
    parser = argparse.ArgumentParser(
        prog="rill statistics",
        description="Measure the log-mel statistics of a configuration's training set.",
        epilog="example: rill statistics --config configs/en-commands.toml",
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, metavar="TOML", help="configuration of the run")
    parser.add_argument(
        "--output",
        metavar="NPZ",
        help="file to write (default: the configuration's data.statistics)",
    )
    parser.add_argument(
        "--hours",
        type=float,
        metavar="H",
        help="measure this many hours, drawn evenly from the training set (default: all of it, in memory)",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    config = load_config(arguments.config)
    if arguments.output is None and config.data.statistics is None:
        raise ConfigError(
            f"{arguments.config}: data.statistics names no file to write: give --output"
        )
    output = Path(arguments.output or resolve(config.data.statistics or ""))
    audio = (
        (u.read() for source in config.data.sources for u in utterances_of(source))
        if arguments.hours is None
        else audio_of(config.data, arguments.hours)
    )
    utterances = itertools.count()
    heard = (samples for samples, _ in zip(audio, utterances, strict=False))
    statistics = measure(heard, config.specification(1).front_end)
    write_statistics(statistics, output)
    print(f"{output}: {statistics.frames} frames of {next(utterances)} utterances")
    return 0


if __name__ == "__main__":
    run_main(main)
