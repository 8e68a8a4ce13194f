"""`python -m train`: train a transducer from a configuration, or resume a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stream.process import reports_errors, run_main
from train.checkpoints.resume import LAST, Resumed, check_same_run, find
from train.config.file import load_config
from train.config.named import NAMED
from train.config.run import Config


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train`."""
    parser = argparse.ArgumentParser(
        prog="rill train",
        description="Train an LSTM transducer. A run resumes from RUN/last.pt if there is one.",
        epilog="example: rill train --config configs/en-commands.toml --output runs/soft",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="configuration of the run: TOML, Myrtle's YAML, or the name of one that ships with Rill "
        f"({', '.join(NAMED)})",
    )
    parser.add_argument("--output", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--init-from",
        metavar="CKPT",
        help="checkpoint or model directory whose weights, tokenizer and statistics a new run starts "
        "from",
    )
    parser.add_argument(
        "--resume-from",
        metavar="UPDATE",
        help="go back to a checkpoint: the number of an update in RUN/resumable, or a path "
        "(default: RUN/last.pt)",
    )
    parser.add_argument(
        "--change",
        action="store_true",
        help="continue with another configuration; without it the differences are shown and "
        "the run is refused",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the configuration, as in optimiser.rate=0.004; may be repeated",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing: open all data, train on a few batches and the largest one, and print the "
        "time, memory and disk space that the run needs; exit with 1 if there is too little",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads of torch (default: one for each core, less data.workers, but for half of them at least)",
    )
    return parser


def _dry_run(folder: Path, config: Config, init_from: str | None, resumed: Resumed | None) -> int:
    """Print what a run would take; returns 1 where there is too little of it."""
    from train.dry_run.estimate import estimated

    estimate = estimated(folder, config, init_from, resumed)
    print("\n".join(estimate.lines()))
    for shortage in estimate.shortages:
        print(f"too little {shortage}", file=sys.stderr)
    return 1 if estimate.shortages else 0


def _say(note: str) -> None:
    print(f"note: {note}", file=sys.stderr)


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.threads is not None and arguments.threads < 1:
        parser.error(f"--threads is {arguments.threads}; want 1 or more")
    if arguments.resume_from and arguments.init_from:
        parser.error(
            "--init-from begins a run and --resume-from goes on with one: give one of them"
        )
    from train.compute.allocator import keep_freed_memory
    from train.compute.ranks import joined
    from train.compute.threads import set_threads
    from train.loggers.table import openers
    from train.loop import Run
    from train.run.beginning import start_of
    from train.run.material import material_of

    keep_freed_memory()
    folder = Path(arguments.output)
    with joined() as ranks:
        try:
            config = load_config(arguments.config, arguments.set, _say)
            set_threads(arguments.threads, config.data.processes)
            openers(config.log.to)  # what is not installed is missed before the data are read
            resumed = find(folder, arguments.resume_from)
            if resumed is not None:
                changed = check_same_run(
                    resumed, config, arguments.init_from, arguments.change, ranks.count
                )
                for line in changed:
                    print(f"changed: {line}", file=sys.stderr)
            if arguments.dry_run and ranks.count > 1:
                parser.error("--dry-run measures one process: start it without torchrun")
            if arguments.dry_run:
                return _dry_run(folder, config, arguments.init_from, resumed)
            # Rank 0 makes indexes and the like, which the others find.
            with ranks.leader_first():
                start = start_of(config, arguments.init_from, resumed, folder)
                material = material_of(config, start)
            Run(folder, config, start, material, resumed, ranks).train()
        except KeyboardInterrupt:
            again = "without --resume-from " if arguments.resume_from else ""
            print(f"stopped; the same command {again}resumes from {folder / LAST}", file=sys.stderr)
            raise
        if ranks.leads:
            print(f"{arguments.output}/best.pt")
    return 0


if __name__ == "__main__":
    run_main(main)
