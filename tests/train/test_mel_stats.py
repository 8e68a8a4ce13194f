"""The command that measures a training set, and the file that training reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")

from stream.front_end.log_mel import BINS, FrontEnd, streamed_log_mel
from tests.tiny import tiny_network
from train.config.run import ConfigError
from train.mel_stats import main
from train.statistics import measure, read_statistics

CONFIG = """
[model]
window = {window}
[data]
train = [{train}]
dev = "unread.jsonl"
tokenizer = "unread.model"
statistics = {statistics}
[batches]
[augmentation]
"""


def recordings(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-0.5, 0.5, n).astype(np.float32) for n in (8000, 5001, 700)]


def manifest(folder: Path, name: str, audio: list[np.ndarray]) -> Path:
    lines = []
    for n, samples in enumerate(audio):
        soundfile.write(folder / f"{name}{n}.wav", samples, 16000, subtype="FLOAT")
        seconds = len(samples) / 16000
        lines.append({"audio_filepath": f"{name}{n}.wav", "text": "", "duration": seconds})
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def configuration(folder: Path, *manifests: Path, window: int = 400) -> str:
    path = folder / "run.toml"
    names = ", ".join(json.dumps(str(m)) for m in manifests)
    statistics = json.dumps(str(folder / "new" / "statistics.npz"))
    path.write_text(CONFIG.format(window=window, train=names, statistics=statistics))
    return str(path)


@pytest.mark.parametrize("window", [400, 320])
def test_all_manifests_are_measured_with_the_configurations_front_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], window: int
) -> None:
    first, second = recordings()[:2], recordings()[2:]
    config = configuration(
        tmp_path, manifest(tmp_path, "a", first), manifest(tmp_path, "b", second), window=window
    )
    assert main(["--config", config]) == 0
    front_end: FrontEnd = tiny_network(window=window).specification.front_end
    frames = np.concatenate([streamed_log_mel(x[None], front_end)[0] for x in recordings()])
    mean, variance = read_statistics(tmp_path / "new" / "statistics.npz")
    np.testing.assert_allclose(mean, frames.astype(np.float64).mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, frames.astype(np.float64).var(0), rtol=1e-6)
    assert capsys.readouterr().out == (
        f"{tmp_path / 'new' / 'statistics.npz'}: {len(frames)} frames of 3 utterances\n"
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["statistics.npz"]


def test_an_output_that_is_named_is_written_and_measuring_again_gives_the_same(
    tmp_path: Path,
) -> None:
    config = configuration(tmp_path, manifest(tmp_path, "a", recordings()))
    found = []
    for name in ("one.npz", "two.npz"):
        assert main(["--config", config, "--output", str(tmp_path / name)]) == 0
        found.append(read_statistics(tmp_path / name))
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_measured_is_named_and_no_file_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = manifest(tmp_path, "a", recordings())
    cases = [
        (configuration(tmp_path, tmp_path / "none.jsonl"), 3, "none.jsonl"),
        (str(tmp_path / "none.toml"), 2, "none.toml"),
    ]
    for config, code, message in cases:
        assert main(["--config", config]) == code
        assert message in capsys.readouterr().err
    (tmp_path / "a1.wav").write_bytes(b"RIFF")
    assert main(["--config", configuration(tmp_path, good)]) == 3
    assert "a1.wav" in capsys.readouterr().err
    silent = manifest(tmp_path, "silent", [np.zeros(8000, np.float32)])
    assert main(["--config", configuration(tmp_path, silent)]) == 3
    assert "bin 0 never changes" in capsys.readouterr().err
    short = manifest(tmp_path, "short", [np.ones(100, np.float32)])
    assert main(["--config", configuration(tmp_path, short)]) == 3
    assert "not one frame" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("samples", [8000, 8216, 16032])
def test_rounding_does_not_hide_a_bin_that_never_changes(samples: int) -> None:
    audio = [np.zeros(samples, np.float32)] * 3
    with pytest.raises(ValueError, match="never changes"):
        measure(audio, tiny_network().specification.front_end).result()


NUMBERS = np.ones(BINS, np.float32)


@pytest.mark.parametrize(
    "content",
    [
        {"mean": NUMBERS},
        {"mean": NUMBERS, "variance": NUMBERS[:40]},
        {"mean": NUMBERS.astype("U"), "variance": NUMBERS},
        {"mean": NUMBERS * np.float32("nan"), "variance": NUMBERS},
        {"mean": NUMBERS, "variance": 0 * NUMBERS},
        {"mean": NUMBERS, "variance": NUMBERS.astype(object)},
    ],
    ids=["no variance", "40 bins", "text", "nan", "zero variance", "pickled"],
)
def test_a_file_of_anything_else_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    np.savez(tmp_path / "s.npz", **content)
    with pytest.raises(ConfigError, match=r"s\.npz holds no mel statistics"):
        read_statistics(tmp_path / "s.npz")


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "array"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.npz"
    if kind == "array":
        with path.open("wb") as file:
            np.save(file, NUMBERS)
    else:
        np.savez(path, mean=NUMBERS, variance=NUMBERS)
        path.write_bytes({"empty": b"", "text": b"one", "cut": path.read_bytes()[:300]}[kind])
    with pytest.raises(ConfigError, match=r"s\.npz holds no mel statistics"):
        read_statistics(path)
