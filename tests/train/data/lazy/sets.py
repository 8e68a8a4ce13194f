"""Indexes for tests, of manifests whose recordings nobody opens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from train.data.lazy.index import Index
from train.data.lazy.index_cache import index_of

__all__ = ["index", "manifest"]


def manifest(path: Path, durations: Sequence[float]) -> str:
    lines = [
        json.dumps({"audio_filepath": f"{n}.wav", "text": f"{n}", "duration": duration})
        for n, duration in enumerate(durations)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def index(folder: Path, durations: Sequence[float], name: str = "set.jsonl") -> Index:
    return index_of(manifest(folder / name, durations), cache=folder / "cache")
