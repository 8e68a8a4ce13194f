"""A corpus of noise with words, and a configuration of five lines for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from tests.tiny import TEXTS

SIZES = (
    "model.hidden=16", "model.prediction_hidden=8", "model.joint=16", "model.post_layers=1",
    "data.cache=memory", "batches.seconds=4.0", "batches.accumulate=1", "updates=2", "precision=float32",
)  # fmt: skip


def write_minimal(folder: Path) -> Path:
    """Write 12 recordings, their manifests and run.toml into a folder; returns the path of the last."""
    rng = np.random.default_rng(0)
    lines = []
    for n in range(12):
        samples = 0.1 * rng.standard_normal(6000 + 500 * n)
        soundfile.write(folder / f"{n}.wav", samples, 16000)
        line = {"audio_filepath": f"{n}.wav", "text": TEXTS[n % 4]}
        lines.append(json.dumps({**line, "duration": len(samples) / 16000}) + "\n")
    (folder / "train.jsonl").write_text("".join(lines))
    (folder / "dev.jsonl").write_text("".join(lines[:2]))
    train, dev = (json.dumps(str(folder / name)) for name in ("train.jsonl", "dev.jsonl"))
    path = folder / "run.toml"
    path.write_text(f'extends = "testing"\n\n[data]\ntrain = [{train}]\ndev = {dev}\n')
    return path


def minimal_settings(minimal: Path, *settings: str) -> tuple[str, ...]:
    """Overrides that make the model tiny and the run short, and keep its cache beside the corpus."""
    return (*SIZES, f"data.cache_folder={minimal.parent / 'cache'}", *settings)


def minimal_command(minimal: Path, run: Path, *settings: str) -> list[str]:
    """Arguments of `python -m train` for that configuration."""
    arguments = ["--config", str(minimal), "--output", str(run), "--threads", "1"]
    for setting in minimal_settings(minimal, *settings):
        arguments += ["--set", setting]
    return arguments
