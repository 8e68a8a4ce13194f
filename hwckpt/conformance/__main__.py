"""`python -m hwckpt.conformance DIR`: check Rill against the vector files of a folder.

With `--against DUMPED` the folder is a hardware bundle, and what a board computed is compared with its vectors
(`hwckpt.conformance.board`). Files are recognised by name; docs/numerics.md, section 8, lists them. Exit status 0: all
pass; 1: a check fails; 2: no such folder; 3: a file is not understood.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from pathlib import Path

from hwckpt.conformance.board.differences import Comparison, compare_board
from hwckpt.conformance.board.guess import guess
from hwckpt.conformance.comparison import Row, VectorError
from hwckpt.conformance.table import Line, check_set, missing_files
from hwckpt.hardware_bundle import Bundle
from stream.errors import ArgumentError
from stream.process import reports_errors, run_main
from stream.progress import show_line

COLUMNS = "{:40} {:28} {:>8} {:>8}  {}"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hwckpt.conformance",
        description="Check Rill against the conformance vectors of a folder, or a board against those of a hardware "
        "bundle.",
        epilog="example: python -m hwckpt.conformance vectors, python -m hwckpt.conformance board --against dumped",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        help="folder of vector files; with --against a hardware bundle (default: the folder that DUMPED lies in)",
    )
    parser.add_argument(
        "--against",
        metavar="DUMPED",
        help="folder of what a board computed, CASE/NAME.bin; the first difference is named, and what explains it",
    )
    parser.add_argument(
        "--json", action="store_true", help="print every comparison, one JSON object a line"
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.against is not None:
        dumped = Path(arguments.against)
        folder = Path(arguments.folder) if arguments.folder else dumped.resolve().parent
        return _check_board(Bundle(folder), dumped, as_json=arguments.json)
    if arguments.folder is None:
        parser.error("name a folder of vector files")
    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise ArgumentError(f"{folder}: no such folder")
    counts: Counter[str] = Counter()
    failed: list[Line] = []
    if not arguments.json:
        print(COLUMNS.format("file", "backends", "largest", "allowed", "result"))
    try:
        lines = check_set(folder, _progress)
        for file, of_file in itertools.groupby(lines, lambda line: line.file):
            rows = [line.row for line in of_file]
            counts.update(row.verdict for row in rows)
            failed += [Line(file, row) for row in rows if row.verdict == "FAIL"]
            show_line("")
            if arguments.json:
                for row in rows:
                    print(_object(file, row), flush=True)
            else:
                print(_summary(file, rows), flush=True)
        missing = missing_files(folder)
    finally:
        show_line("")
    if not counts:
        raise VectorError(f"{folder}: no vector files")
    if failed and not arguments.json:
        print("\nfailures")
        for file, row in failed:
            print(
                f"{file}: {row.stage}, {row.backend}: {row.largest:.2e}, allowed {row.allowed:.1e}: "
                f"FAIL {row.note}".rstrip()
            )
    if missing:
        print(f"incomplete: {folder} lacks {', '.join(missing)}", file=sys.stderr)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    print(verdicts, file=sys.stderr)
    return 1 if failed else 0


def _check_board(bundle: Bundle, dumped: Path, *, as_json: bool) -> int:
    """Compare what a board computed with a bundle, and print the first difference."""
    found = compare_board(bundle, dumped)
    reasons = guess(bundle, found.first) if found.first else []
    if as_json:
        print(_board_object(found, reasons))
    elif found.first:
        print(found.first.describe())
        print("\n".join(f"guess: {reason}" for reason in reasons) or "guess: none")
    print(
        f"{found.arrays} arrays of {found.cases} of {len(bundle.manifest.cases)} cases compared: "
        f"{len(found.differing)} cases differ",
        file=sys.stderr,
    )
    return 1 if found.first else 0


def _board_object(found: Comparison, reasons: list[str]) -> str:
    """Return a comparison as a JSON object."""
    content: dict[str, object] = {
        "schema": "rill.board/1",
        "arrays": found.arrays,
        "cases": found.cases,
        "differing": found.differing,
    }
    if found.first:
        first = found.first
        content |= {"case": first.case.name, "array": first.array, "row": first.row}
        content |= {"index": first.index, "guess": reasons}
    return json.dumps(content)


def _progress(number: int, count: int, name: str) -> None:
    show_line(f"{number}/{count} {name}")


def _summary(file: str, rows: list[Row]) -> str:
    """Return the line of a file: its backends, its worst comparison, and how many there were."""
    counts = Counter(row.verdict for row in rows)
    backends = ",".join(dict.fromkeys(row.backend for row in rows if row.backend != "-")) or "-"
    worst = max(rows, key=lambda row: (row.verdict == "FAIL", row.largest / (row.allowed or 1.0)))
    result = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return COLUMNS.format(file, backends, f"{worst.largest:.1e}", f"{worst.allowed:.0e}", result)


def _object(file: str, row: Row) -> str:
    """Return a row as a JSON object."""
    columns = ("stage", "backend", "largest", "mean", "allowed", "verdict", "note")
    content = {"schema": "rill.conformance/1", "file": file}
    return json.dumps(content | {column: getattr(row, column) for column in columns})


if __name__ == "__main__":
    run_main(main)
