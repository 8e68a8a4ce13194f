"""The scenarios of a command line: what is run, printed and written for `stream.validate --scenario`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stream.backends import default_backend, load_backend
from stream.decoding.decoding import Decoding
from stream.engine.engine import Engine
from stream.engine.front_end import FrontEndKind
from stream.manifest import Utterance
from stream.model.network import Network
from stream.scenarios.rows import SCENARIOS, Row, scenario_rows
from stream.scenarios.signals import read_noises, white_noise

SCHEMA = "rill.scenarios/1"
SLOTS = 33  # 32 recordings side by side, and the noise before them


def run(
    network: Network,
    utterances: Sequence[Utterance],
    scenarios: Iterable[str],
    *,
    noise: Path | None = None,
    backend: str | None = None,
    decoding: Decoding | None = None,
    front_end: FrontEndKind = "float",
    progress: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Run scenarios; "all" is all of them.

    Args:
        scenarios: names of `SCENARIOS`, or "all".
        noise: folder of recordings without speech; None: 30 s of white noise, of a fixed seed.
        backend: its name; None: `default_backend`.
        decoding, front_end: see `stream.engine.engine.Engine`.
        progress: called with each row as it is done.
    Raises:
        ValueError: there is no such scenario, or no noise in the folder.
        AudioError: a recording cannot be decoded.
    """
    asked = set(scenarios)
    names = SCENARIOS if "all" in asked else sorted(asked)
    noises = read_noises(noise) if noise else {"white noise": white_noise(30.0)}
    computed = load_backend(backend or default_backend(network), network)
    engine = Engine(network, computed, min(SLOTS, len(utterances) + 1), decoding, front_end)
    rows = []
    for row in scenario_rows(engine, utterances, names, noises):
        rows.append(row)
        if progress:
            progress(row)
    return rows


def content(rows: Iterable[Row]) -> dict[str, Any]:
    """Return the rows as JSON's types."""
    return {"schema": SCHEMA, "rows": [asdict(row) for row in rows]}


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| scenario | condition | WER, % | against plain | sub, del, ins | words invented, a minute |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(row: Row) -> str:
    wer = change = edits = invented = ""
    if row.wer is not None and row.plain_wer is not None:
        wer, change = f"{100 * row.wer:.1f}", f"{100 * (row.wer - row.plain_wer):+.1f}"
        edits = f"{row.substitutions}, {row.deletions}, {row.insertions}"
    if row.invented is not None:
        invented = f"{row.invented}, {row.invented / row.minutes:.1f}"
    return f"| {row.scenario} | {row.name} | {wer} | {change} | {edits} | {invented} |"


def show(row: Row) -> None:
    """Print that a row is done, on stderr."""
    wer = "" if row.wer is None else f"   WER {100 * row.wer:.1f} %"
    said = "" if row.invented is None else f"   {row.invented} words invented"
    print(f"{row.scenario}: {row.name}{wer}{said}", file=sys.stderr, flush=True)
