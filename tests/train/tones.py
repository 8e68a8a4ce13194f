"""A corpus in which every word is a tone, and the command that trains on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.tiny import TEXTS, tiny_tokenizer
from train import mel_stats
from train.config.file import load_config
from train.loop import Run
from train.run import beginning
from train.run.material import material_of

UPDATES = 25
CONFIG = """
updates = 25
validate_every = 9
checkpoint_every = 7
freeze_norms_from = 20
precision = "float32"

[model]
pre_layers = 1
post_layers = 1
hidden = 16
prediction_hidden = 8
joint = 16

[data]
train = ["train.jsonl"]
dev = "dev.jsonl"
tokenizer = "tokenizer.model"
statistics = "statistics.npz"
license = "CC0-1.0"
language = "en"

[batches]
seconds = 4.0
short_seconds = 1.6
join = 0.6
join_from = 3
join_until = 10
join_seconds = 3.0

[augmentation]

[dropout]
recurrent = 0.1

[optimiser]
warmup = 5
gradient_noise = 0.01
"""


def corpus_of_tones(folder: Path) -> Path:
    """Write the corpus, its tokenizer and statistics, and a configuration run.toml; returns the folder."""
    rng = np.random.default_rng(0)
    words = sorted({word for text in TEXTS for word in text.split()})
    lines = []
    for n in range(12):
        word = words[n % 6]
        time = np.arange(4000 + 700 * n) / 16000
        tone = 0.3 * np.sin(2 * np.pi * 300 * (1 + n % 6) * time)
        soundfile.write(folder / f"{n}.wav", tone + 0.01 * rng.standard_normal(len(time)), 16000)
        line = {"audio_filepath": f"{n}.wav", "text": word, "duration": len(time) / 16000}
        lines.append(json.dumps({**line, "corpus": "tones"}) + "\n")
    (folder / "train.jsonl").write_text("".join(lines))
    (folder / "dev.jsonl").write_text("".join(lines[:4]))
    (folder / "tokenizer.model").write_bytes(tiny_tokenizer())
    config = CONFIG
    for name in ("train.jsonl", "dev.jsonl", "tokenizer.model", "statistics.npz"):
        config = config.replace(f'"{name}"', json.dumps(str(folder / name)))
    (folder / "run.toml").write_text(config)
    assert mel_stats.main(["--config", str(folder / "run.toml")]) == 0
    return folder


def command(folder: Path, run: Path, *settings: str) -> list[str]:
    arguments = ["--config", str(folder / "run.toml"), "--output", str(run), "--threads", "1"]
    return arguments + [word for setting in settings for word in ("--set", setting)]


def prepared(folder: Path, run: Path, *settings: str) -> Run:
    """Return the run that the command would train."""
    config = load_config(folder / "run.toml", settings)
    start = beginning.start_of(config, None)
    return Run(run, config, start, material_of(config, start))


def metrics(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for name in ("speed", "data_wait", "memory", "validation_seconds"):
            line.pop(name, None)
    return lines
