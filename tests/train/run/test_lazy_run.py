"""Runs from an index: any format, processes that draw, killed and resumed to the bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from tests.conftest import REPOSITORY
from tests.tiny import TEXTS, tiny_tokenizer
from tests.train.compute.torchrun import torchrun
from train import __main__, checkpoint, mel_stats
from train.data.formats import shards
from train.data.formats.table import read_records
from train.data.records.record import strict
from train.data.storage.sources import S3Access, s3_client

pytestmark = pytest.mark.slow

CONFIG = """
updates = 12
validate_every = 12
checkpoint_every = 4
precision = "float32"

[model]
pre_layers = 1
post_layers = 1
hidden = 16
prediction_hidden = 8
joint = 16

[data]
dev = "{folder}/dev.jsonl"
tokenizer = "{folder}/tokenizer.model"
statistics = "{folder}/statistics.npz"
cache = "none"
cache_folder = "{folder}/cache"
workers = 2

[[data.train]]
manifest = "{folder}/train.jsonl"

[[data.train]]
shards = "{folder}/more-{{000000..000000}}.tar"
weight = 2.0

[batches]
seconds = 4.0

[augmentation]
"""

# The last rank dies at update 7, before any restart, between two checkpoints, its workers with a batch in hand.
KILLED = """
import os, signal, sys
from train import __main__
from train.run.learner import Learner

learn = Learner.learn

def dying(self, batches):
    first = os.environ.get("RANK", "1") == "1" and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    if self.update == 6 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(self, batches)

if __name__ == "__main__":
    Learner.learn = dying
    __main__.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve tones as a manifest and again as a shard, their statistics and a configuration."""
    folder = tmp_path_factory.mktemp("corpus")
    words = sorted({word for text in TEXTS for word in text.split()})
    rng, lines = np.random.default_rng(0), []
    for n in range(12):
        time = np.arange(4000 + 700 * n) / 16000
        tone = 0.3 * np.sin(2000 * (1 + n % 6) * time) + 0.01 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{n}.wav", tone, 16000)
        line = {"audio_filepath": f"{n}.wav", "text": words[n % 6], "duration": len(time) / 16000}
        lines.append(json.dumps({**line, "corpus": "tones"}) + "\n")
    (folder / "train.jsonl").write_text("".join(lines))
    (folder / "dev.jsonl").write_text("".join(lines[:4]))
    (folder / "tokenizer.model").write_bytes(tiny_tokenizer())
    shards.write(strict(read_records(str(folder / "train.jsonl"))), folder / "more.tar")
    (folder / "run.toml").write_text(CONFIG.format(folder=folder))
    assert mel_stats.main(["--config", str(folder / "run.toml"), "--hours", "0.001"]) == 0
    return folder


def arguments(folder: Path, run: Path, *settings: str) -> list[str]:
    options = ["--config", str(folder / "run.toml"), "--output", str(run), "--threads", "1"]
    return options + [word for setting in settings for word in ("--set", setting)]


def weights(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = checkpoint.load(run / "last.pt")["averaged"]
    return state


def seen(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = checkpoint.load(run / "last.pt")["seen"]
    assert state["since"] == 0 and state["samples"][0][:2] == ["tones", ""]
    return state


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert __main__.main(arguments(folder, run)) == 0
    return run


@pytest.fixture(scope="module")
def accumulated(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process that draws two batches for each update."""
    run = tmp_path_factory.mktemp("runs") / "accumulated"
    assert __main__.main(arguments(folder, run, "batches.accumulate=2")) == 0
    return run


def test_a_run_killed_in_an_epoch_with_workers_resumes_with_others_to_the_same_weights(
    folder: Path, accumulated: Path, tmp_path: Path
) -> None:
    script, run = tmp_path / "killed.py", tmp_path / "run"
    script.write_text(KILLED)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    two = "batches.accumulate=2"
    killed = subprocess.run(
        [sys.executable, str(script), *arguments(folder, run, two)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoint.load(run / "last.pt")["update"] == 4
    assert __main__.main(arguments(folder, run, two, "data.workers=1")) == 0
    assert equal(weights(run), weights(accumulated))
    assert seen(run) == seen(accumulated)


def test_two_processes_learn_as_one_that_accumulates_and_restart_when_one_is_killed(
    folder: Path, accumulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the bit: each sum of a gradient has two terms, whose order changes nothing."""
    script, run = tmp_path / "killed.py", tmp_path / "run"
    script.write_text(KILLED)
    options = arguments(folder, run, "data.workers=1")
    done = torchrun(script, options, restarts=1)
    assert done.returncode == 0, done.stderr
    assert "exitcode: -9" in done.stderr
    assert done.stdout == f"{run}/best.pt\n"
    assert equal(weights(run), weights(accumulated))
    assert losses(run) == losses(accumulated)
    assert seen(run) == seen(accumulated)
    # What two processes began, one goes on with; but not on half of the batches.
    there = ["--resume-from", str(run / "resumable" / "update-000008.pt")]
    alone = tmp_path / "alone"
    assert __main__.main(arguments(folder, alone) + there) == 2
    assert "batches an update (batches.accumulate x processes): 2 -> 1" in capsys.readouterr().err
    assert __main__.main(arguments(folder, alone, "batches.accumulate=2") + there) == 0
    assert equal(weights(alone), weights(accumulated))


def losses(run: Path) -> list[dict[str, Any]]:
    """Return what the metrics say of the losses, the error rates and the audio heard."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = (
        "update",
        "loss",
        "transducer",
        "ctc",
        "per_token",
        "gradient_norm",
        "hours",
        "wer",
        "dev",
    )
    return [{key: line[key] for key in kept if key in line} for line in lines]


def test_what_is_kept_on_disk_changes_no_weight(
    folder: Path, finished: Path, tmp_path: Path
) -> None:
    assert __main__.main(arguments(folder, tmp_path / "run", 'data.cache="disk"')) == 0
    assert equal(weights(tmp_path / "run"), weights(finished))


def test_the_time_waited_for_data_is_a_metric(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [0.0 < line["data_wait"] < 1.0 for line in lines if "loss" in line] == [True]


def test_any_format_is_learned_from_memory_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(arguments(folder, tmp_path / "run", 'data.cache="memory"')) == 0
    assert "train: 24 of 24 recordings read" in capsys.readouterr().err


def test_a_recording_that_is_missing_ends_the_run_or_is_listed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = '{"audio_filepath": "none.wav", "text": "", "duration": 0.3}\n'
    (folder / "bad.jsonl").write_text((folder / "train.jsonl").read_text() + line)
    toml = folder / "bad.toml"
    toml.write_text((folder / "run.toml").read_text().replace("/train.jsonl", "/bad.jsonl"))

    def train(run: Path, *settings: str) -> int:
        given = arguments(folder, run, *settings)
        return __main__.main([str(toml) if each.endswith("run.toml") else each for each in given])

    assert train(tmp_path / "refused") == 3
    assert "none.wav: cannot be read" in capsys.readouterr().err
    skip = 'data.on_error="skip"', "data.skip_share=0.05"
    assert train(tmp_path / "listed", *skip) == 0
    (listed,) = (tmp_path / "listed" / "skipped.txt").read_text().splitlines()
    assert "none.wav: cannot be read" in listed
    assert train(tmp_path / "many", skip[0], "data.skip_share=0.0") == 3
    assert "data.skip_share allows 0" in capsys.readouterr().err


def test_a_shard_in_s3_trains_the_weights_of_one_on_the_disk(
    folder: Path,
    finished: Path,
    tmp_path: Path,
    s3: S3Access,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(s3.endpoint))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    s3_client(s3).create_bucket(Bucket="shards")
    content = (folder / "more-000000.tar").read_bytes()
    s3_client(s3).put_object(Bucket="shards", Key="more-000000.tar", Body=content)
    there = tmp_path / "s3.toml"
    there.write_text(
        (folder / "run.toml").read_text().replace(f"{folder}/more", "s3://shards/more")
    )
    options = ["--config", str(there), "--threads", "1"]
    assert __main__.main([*options, "--output", str(tmp_path / "run")]) == 0
    assert equal(weights(tmp_path / "run"), weights(finished))
