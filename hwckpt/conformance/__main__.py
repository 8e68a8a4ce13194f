"""`python -m hwckpt.conformance DIR`: run every vector file of a folder, print a table.

Files are recognised by name, as NUMERICS section 8 lists them; a file that is not understood is an
error. Exit status 0: all pass; 1: a check fails; 3: a file is not understood.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hwckpt.conformance import (
    check_decoding,
    check_front_end,
    check_integer,
    check_models,
    check_stages,
)
from hwckpt.conformance.comparison import (
    Check,
    Row,
    VectorError,
    compare,
    exact,
    installed,
    load,
    skipped,
)
from stream.errors import ArgumentError
from stream.model.specification import ModelError
from stream.process import reports_errors, run_main
from stream.text_file import read_text

__all__ = ["Line", "run"]


class Line(NamedTuple):
    """A row of the table, and the file that it is about."""

    file: str
    row: Row


def _training(path: Path) -> Iterator[Row]:
    if not installed("torch"):
        yield skipped("training", "torch", "torch is not installed")
        return
    from hwckpt.conformance.check_training import CHECKS

    check = next(c for prefix, c in CHECKS.items() if path.name.startswith(prefix))
    arrays = {**load(path), "name": path.stem}
    for stage, got, want, allowed in check(arrays):
        yield compare(stage, "torch", got, want, allowed)


def _normalisation(path: Path) -> Iterator[Row]:
    yield from check_stages.norm(path)
    yield from _training(path)


def _texts(path: Path) -> Iterator[Row]:
    yield from check_decoding.texts(path)
    if not installed("inflect"):
        yield skipped("text", "python", "the train extra is not installed")
        return
    from hwckpt.conformance.check_text import texts

    for stage, got, want in texts(json.loads(read_text(path))):
        yield exact(stage, "python", got, want)


def _beside(path: Path) -> Iterator[Row]:
    """Accept a file that others refer to."""
    yield Row("read with the files that name it", "-", 0.0, 0.0, 0.0)


# First match counts.
PATTERNS: tuple[tuple[str, Check], ...] = (
    ("melmat*.npz", check_stages.mel_filters),
    ("logmel_*.npz", check_stages.log_mel),
    ("ewma_*.npz", check_stages.ewma),
    ("norm_*.npz", _normalisation),
    ("melstats*.npz", _training),
    ("fixed_logmel_*.npz", check_front_end.log_mel),
    ("fixed_ewma_*.npz", check_front_end.ewma),
    ("fixed_operators*.npz", check_front_end.operators),
    ("bfp16*.npz", check_stages.bfp16),
    ("lstm_*.npz", check_stages.lstm),
    ("integer_weights*.npz", check_integer.weights),
    ("integer_input*.npz", check_integer.inputs),
    ("integer_lstm_*.npz", check_integer.lstm),
    ("integer_projection_*.npz", check_integer.projection),
    ("integer_joint*.npz", check_integer.joint),
    ("integer_transducer*.npz", check_integer.transducer),
    ("transducer_*.npz", check_models.transducer),
    ("pcm_to_tokens_*.npz", check_models.pcm_to_tokens),
    ("hwckpt_*.pt", check_models.checkpoint),
    ("train_ckpt_*.pt", check_models.training_checkpoint),
    *((f"{prefix}*.npz", _training) for prefix in (
        "loss_", "train_grad_", "lr_schedule", "lamb_step", "ema_step", "schedules", "noise_blend",
    )),
    ("text_*.json", _texts),
    ("beam_*.json", check_decoding.beam),
    ("fuzzy_topk_*.npz", check_decoding.fuzzy_topk),
    ("keywords_*.json", check_decoding.keywords),
    ("ngram_scores_*.json", check_decoding.ngram_scores),
    ("ngram_*", check_decoding.ngram),
    ("state_resets_*.npz", check_decoding.state_resets),
    *((pattern, _beside) for pattern in (
        "config_*.yaml", "melmeans*.pt", "melvars*.pt", "meln*.pt", "spm_*.model", "stats_*",
    )),
    ("README*", _beside),
    ("*.md", _beside),
)  # fmt: skip


def run(folder: Path) -> Iterator[Line]:
    """Run the checks of every file in a folder, in the order of their names.

    Raises:
        VectorError: a file is not understood.
    """
    for path in sorted(folder.iterdir()):
        check = next((c for p, c in PATTERNS if fnmatch.fnmatch(path.name, p)), None)
        if check is None:
            raise VectorError(f"{path}: no vector file is named so; take it out of the folder")
        try:
            for row in check(path):
                yield Line(path.name, row)
        except (ModelError, KeyError, TypeError, IndexError, ValueError, OSError) as error:
            if isinstance(error, VectorError):
                raise
            raise VectorError(f"{path}: {error}") from error


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m hwckpt.conformance`."""
    parser = argparse.ArgumentParser(
        prog="python -m hwckpt.conformance",
        description="Hold Rill against the conformance vectors of a folder, or them against Rill.",
        epilog="example: python -m hwckpt.conformance vectors",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", help="folder of vector files")
    parser.add_argument(
        "--json", action="store_true", help="one object per line in place of a table"
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise ArgumentError(f"{folder}: no such folder")
    counts: dict[str, int] = {}
    for line in run(folder):
        counts[line.row.verdict] = counts.get(line.row.verdict, 0) + 1
        print(_object(line) if arguments.json else _text(line), flush=True)
    if not counts:
        raise VectorError(f"{folder}: no vector files")
    print(
        ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())),
        file=sys.stderr,
    )
    return 1 if counts.get("FAIL") else 0


def _text(line: Line) -> str:
    file, row = line
    numbers = f"{row.largest:9.2e} {row.mean:9.2e} {row.allowed:8.1e}"
    numbers = numbers if row.skip is None else " " * len(numbers)
    return (
        f"{file:42} {row.stage:34} {row.backend:12} {numbers}  {row.verdict:8} {row.note}".rstrip()
    )


def _object(line: Line) -> str:
    file, row = line
    content = {
        "schema": "rill.conformance/1",
        "file": file,
        "stage": row.stage,
        "backend": row.backend,
        "largest": row.largest,
        "mean": row.mean,
        "allowed": row.allowed,
        "verdict": row.verdict,
        "note": row.note,
    }
    return json.dumps(content)


if __name__ == "__main__":
    run_main(main)
