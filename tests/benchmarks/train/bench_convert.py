"""Converting JSON lines to compressed cuts and back: lines a second of one core, nothing opened.

pytest tests/benchmarks/train/bench_convert.py -o python_files='bench_*.py'
"""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from train.data.__main__ import main
from train.data.formats.table import read_records
from train.data.records.record import strict

LINES = 50_000


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("convert") / "train.jsonl"
    with path.open("w") as file:
        for number in range(LINES):
            line = {
                "audio_filepath": f"audio_root/{number % 997:03d}/{number:08d}.wav",
                "duration": 0.5 + number % 1600 / 100,
                "text": f"about as many words as a line has that is read aloud {number}",
                "speaker": f"s{number % 5000}",
                "lang": "French",
            }
            file.write(json.dumps(line) + "\n")
    return path


@pytest.mark.parametrize(
    ("given", "wanted"), [("train.jsonl", "cuts.jsonl.gz"), ("cuts.jsonl.gz", "back.jsonl")]
)
def test_converting(benchmark: Any, manifest: Path, given: str, wanted: str) -> None:
    folder = manifest.parent
    began = time.process_time()
    command = ["convert", str(folder / given), str(folder / wanted)]
    assert benchmark.pedantic(main, (command,), rounds=1) == 0
    benchmark.extra_info["lines_a_second_and_core"] = LINES / (time.process_time() - began)
    pairs = zip(
        strict(read_records(str(manifest))), strict(read_records(str(folder / wanted))), strict=True
    )
    for before, after in itertools.islice(pairs, 100):
        assert (before.text, before.duration) == (after.text, after.duration)
