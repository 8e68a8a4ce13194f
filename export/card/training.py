"""What made a model: its data by corpus with the hours that were learned from, its runs and their settings.

`stream.model.stages` has the keys of the notes that this reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from export.card.markdown import table
from stream.model.stages import stages_of

Notes: TypeAlias = Mapping[str, Any]
SAID = ("data.license", "data.language", "data.author", "data.knows", "data.example", "log.")
SHOWN = 12  # digits of a SHA-256


def provenance(notes: Notes) -> Iterator[str]:
    """Yield the sections of training data and of the runs."""
    stages = stages_of(notes)
    if not stages:
        return
    yield from _data(stages)
    yield "## Training runs"
    head = ["run", "updates", "seed", "Rill", "torch", "`config.json`", "starts from"]
    yield table(head, [_run(stage) for stage in stages])
    yield "Hashes are SHA-256, of the configuration and of the weights that a run starts from."
    before: Notes = {}
    for stage in stages:
        settings = stage.get("settings")
        if settings is not None:
            yield from _settings(stage["run"], settings, before)
            before = settings


def licences(notes: Notes) -> Iterator[str]:
    """Yield the section of the data's licences, of those that were named."""
    found: dict[str, list[str]] = {}
    for stage in stages_of(notes):
        for corpus, about in stage.get("seen", {}).items():
            names = found.setdefault(corpus, [])
            names += [name for name in about["licenses"] if name not in names]
    if found:
        yield "## Licences of the data"
        rows = [[corpus, "; ".join(names) or "not named"] for corpus, names in found.items()]
        yield table(["corpus", "licence"], rows)


def _data(stages: Sequence[Notes]) -> Iterator[str]:
    counted = [stage for stage in stages if stage.get("seen")]
    yield "## Training data"
    for stage in stages:
        if not stage.get("seen"):
            size = f"; its training set has {stage['hours']} hours" if "hours" in stage else ""
            yield f"The hours that the run `{stage.get('run')}` learned from were not counted{size}."
        elif since := stage.get("seen_from"):
            yield f"The hours of the run `{stage['run']}` are counted from update {since} on."
    if not counted:
        return
    hours: dict[str, list[float]] = {}
    synthetic = set()
    for number, stage in enumerate(counted):
        for corpus, about in stage["seen"].items():
            hours.setdefault(corpus, [0.0] * len(counted))[number] = about["hours"]
            if about.get("synthetic"):
                synthetic.add(corpus)
    rows = [
        [corpus, "synthetic speech" if corpus in synthetic else "recordings", *_hours(of_runs)]
        for corpus, of_runs in sorted(hours.items(), key=lambda item: -sum(item[1]))
    ]
    totals = [sum(column) for column in zip(*hours.values(), strict=True)]
    rows.append(["all", "", *_hours(totals)])
    runs = [f"`{stage['run']}`" for stage in counted]
    yield table(["corpus", "", *runs, *(["all runs"] if len(runs) > 1 else [])], rows)
    yield (
        "Hours of speech that were learned from, as they were drawn and augmented: a recording counts as often as "
        "it was heard."
    )
    yield from _recordings(stages)


def _recordings(stages: Sequence[Notes]) -> Iterator[str]:
    """Yield the table of the last training set whose recordings are known."""
    for stage in reversed(stages):
        if corpora := stage.get("recordings"):
            yield f"The training set of `{stage['run']}`, before augmentation:"
            percents = list(next(iter(corpora.values()))["percentiles"])
            rows = [
                [
                    corpus,
                    f"{about['recordings']:,}",
                    f"{about['hours']:.2f}",
                    *(f"{about['percentiles'][percent]:.2f}" for percent in percents),
                ]
                for corpus, about in corpora.items()
            ]
            head = ["corpus", "recordings", "hours", *(f"{percent} %" for percent in percents)]
            yield table(head, rows)
            yield "Percentiles are of the duration, in seconds."
            return


def _hours(of_runs: Sequence[float]) -> list[str]:
    cells = [*of_runs, sum(of_runs)] if len(of_runs) > 1 else of_runs
    return [f"{hours:,.1f}" if hours >= 10 else f"{hours:.2f}" for hours in cells]


def _run(stage: Notes) -> list[str]:
    averaged = f", averaged of {len(stage['averaged'])}" if stage.get("averaged") else ""
    return [
        f"`{stage.get('run')}`",
        f"{stage.get('updates', 0):,}{averaged}",
        *(str(stage.get(name, "–")) for name in ("seed", "rill", "torch")),
        _hash(stage.get("settings_sha256")),
        _start(stage),
    ]


def _start(stage: Notes) -> str:
    """Return what a run started from, as far as its version of Rill wrote it down."""
    if "parent" in stage:
        return _hash(stage["parent"])
    if "init" in stage:
        return f"`{stage['init']['model']}`"
    return "random weights" if "rill" in stage else "–"


def _hash(digest: str | None) -> str:
    return f"`{digest[:SHOWN]}`" if digest else "–"


def _settings(run: str, settings: Notes, before: Notes) -> Iterator[str]:
    """Yield what a run sets otherwise than by default, of a later run what differs from the one before."""
    own, old = (
        {key: value for key, value in each.items() if not key.startswith(SAID)}
        for each in (settings, before)
    )
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in own.items()
        if key not in old or old[key] != value
    ]
    lines += [f"# {key}: the default again" for key in old if key not in own]
    against = "the run before" if before else "the defaults"
    if lines:
        yield f"`{run}` differs from {against} in:"
        yield "```toml\n" + "\n".join(lines) + "\n```"
