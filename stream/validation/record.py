"""Figures that a model directory keeps of itself: what validations and scenarios found, as notes of `model.json`.

    evaluations   word error rates, one entry for each data set, artefact, backend and set of options
    scenarios     the rows of `stream.scenarios`, likewise
    capacity      streams at a time, one entry for each length of chunk, backend and machine

A later entry of the same kind replaces the earlier one. No weight, graph or tokenizer changes, and neither do
their SHA-256.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stream import __version__
from stream.engine.resources import usable_cores
from stream.engine.selftest import Plan
from stream.errors import ArgumentError
from stream.model import directory
from stream.model.network import Network, kind_of, open_model
from stream.scenarios.rows import Row
from stream.validation.report import Report

NOTES = ("evaluations", "scenarios", "capacity")
# Keys of an entry: an earlier one that differs in one of them is kept.
MEASURED = ("data_set", "artefact", "backend", "options")
CARRIED = ("chunk_ms", "backend", "machine")


@dataclass(frozen=True)
class Conditions:
    """Under which figures were measured.

    Attributes:
        data_set: its name.
        recordings: how many of it were streamed.
        artefact: what computed: "model directory", "hardware checkpoint" or "training checkpoint".
        backend: its name.
        options: what was chosen otherwise than by default, by the names of the command line's flags.
    """

    data_set: str
    recordings: int
    artefact: str
    backend: str
    options: Mapping[str, Any] = field(default_factory=dict)


def target_of(model: Path, asked: str) -> Path:
    """Return the model directory that keeps the figures of a model.

    Args:
        model: what is validated.
        asked: the directory; "": the model itself.
    Raises:
        ArgumentError: it is none, or one of other weights.
    """
    path = Path(asked) if asked else model
    if not directory.recognises(path):
        wanted = "name one with --record DIR" if not asked else "name one"
        raise ArgumentError(f"--record: {path} is not a model directory; {wanted}")
    if path.resolve() != model.resolve() and (
        part := _different(open_model(path), open_model(model))
    ):
        raise ArgumentError(f"--record: {path} is another model than {model}: its {part} differs")
    return path


def _different(one: Network, other: Network) -> str | None:
    if one.tokenizer != other.tokenizer:
        return "tokenizer"
    for name in sorted(one.arrays.keys() | other.arrays.keys()):
        mine, theirs = one.arrays.get(name), other.arrays.get(name)
        if mine is None or theirs is None or not np.array_equal(mine, theirs):
            return name
    return None


def conditions(
    network: Network, backend: str, data_set: str, recordings: int, options: Mapping[str, Any]
) -> Conditions:
    """Return the conditions under which a model is measured."""
    artefact = "model directory" if network.path is None else kind_of(network.path)
    return Conditions(data_set, recordings, artefact, backend, options)


def record_report(path: Path, under: Conditions, report: Report) -> None:
    """Keep the word error rates of a validation.

    Args:
        path: the model directory.
    Raises:
        ModelError: its index is not understood.
    """
    rates = ("words", "substitutions", "deletions", "insertions", "wer", "cer")
    found = {name: _finite(getattr(report, name)) for name in rates}
    corpora = {
        group.name: {
            "recordings": group.utterances,
            "words": group.words,
            "wer": _finite(group.wer),
        }
        for group in report.corpora
    }
    latency = {} if report.latency is None else {"latency": asdict(report.latency)}
    entry = {**asdict(under), **found, "corpora": corpora, **latency}
    _keep(path, "evaluations", MEASURED, entry)


def record_rows(path: Path, under: Conditions, rows: Iterable[Row]) -> None:
    """Keep the rows of scenarios; see `record_report`."""
    entry = {**asdict(under), "rows": [asdict(row) for row in rows]}
    _keep(path, "scenarios", MEASURED, entry)


def record_capacity(path: Path, network: Network, plan: Plan, machine: str) -> None:
    """Keep how many streams a machine carries; see `record_report`."""
    entry = {
        "chunk_ms": network.specification.encoder.chunk_length,
        "backend": plan.backend,
        "machine": machine,
        "streams": plan.slots,
        "cores": usable_cores(),
        "threads": plan.threads,
        "late_ms": round(1000 * plan.late, 1),
    }
    _keep(path, "capacity", CARRIED, entry)


def _keep(path: Path, name: str, key: Sequence[str], found: Mapping[str, Any]) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    entry = {**found, "rill": __version__, "date": today}

    def kept(notes: Mapping[str, Any]) -> dict[str, Any]:
        earlier: Sequence[Mapping[str, Any]] = notes.get(name, [])
        others = [each for each in earlier if any(each[part] != entry[part] for part in key)]
        return {**notes, name: [*others, entry]}

    directory.note(path, kept)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
