"""Runs that are metrics alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def run(folder: Path, *entries: dict[str, Any]) -> Path:
    """Write the metrics of a run; the last line is one that is being written."""
    folder.mkdir(parents=True)
    lines = [json.dumps({"schema": "rill.metrics/1", **entry}) for entry in entries]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"schema":"rill.met']))
    return folder


def learned(update: int, loss: float | None, **more: Any) -> dict[str, Any]:
    return {"update": update, "loss": loss, "rate": 0.002, "hours": update / 100, **more}


def validated(update: int, wer: float, **more: Any) -> dict[str, Any]:
    return {"update": update, "wer": {"soft": {"all": wer}, "hard": {"all": 2 * wer}}, **more}
