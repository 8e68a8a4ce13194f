"""The index of a long manifest: making it once, opening it, and the first batches of a run.

RILL_INDEX_LINES=10000000 pytest tests/benchmarks/train/bench_index.py -o python_files='bench_*.py'
"""

from __future__ import annotations

import os
import random
import resource
from pathlib import Path
from typing import Any

import pytest

from train.data.lazy.index import Index
from train.data.lazy.index_cache import index_of
from train.data.lazy.sampler import Sampler

LINES = int(os.environ.get("RILL_INDEX_LINES", "200000"))
BATCHES = 100


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "train.jsonl"
    rng = random.Random(0)
    with path.open("w") as file:
        for number in range(LINES):
            file.write(
                f'{{"audio_filepath": "{number % 997:03d}/{number:08d}.flac", '
                f'"text": "about as many words as a line has that is read aloud {number}", '
                f'"duration": {rng.uniform(0.5, 16.0):.3f}, "speaker": "s{number % 5000}"}}\n'
            )
    return path


def test_making_an_index(benchmark: Any, manifest: Path) -> None:
    cache = manifest.parent / "cache"
    index = benchmark.pedantic(index_of, (str(manifest),), {"cache": cache}, rounds=1)
    assert len(index) == LINES
    benchmark.extra_info["lines"] = LINES
    benchmark.extra_info["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def test_opening_an_index_and_drawing_batches(benchmark: Any, manifest: Path) -> None:
    folder = index_of(str(manifest), cache=manifest.parent / "cache").folder

    def start() -> int:
        sampler = Sampler([Index(folder)], [1.0], 120.0, 1)
        index = sampler.indexes[0]
        return sum(index[row].line for n in range(BATCHES) for _, row in sampler.batch(n))

    assert benchmark.pedantic(start, rounds=3) > 0
    benchmark.extra_info["lines"] = LINES
