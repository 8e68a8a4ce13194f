"""A run on a device: each tensor of an update and of a validation is made there, and the figures are the CPU's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.train.compute.elsewhere import DEVICE, Elsewhere
from tests.train.tones import prepared
from train.compute.device import device_of
from train.config.file import load_config
from train.config.run import ConfigError
from train.run import learner as learning
from train.validation.references import References
from train.validation.scoring import scored

# A generator of the device does not exist here, and the joint's dropout wants one there.
SETTINGS = (
    "dropout.joint=0.0", "history.rows=0.5", "history.noise=0.3", "optimiser.gradient_noise=0.01",
    "optimiser.gradient_noise_start=1", "normalisation.stream_share=0.5", "freeze_norms_from=3",
    "state_passing.chains=[0, 0, 1]", "state_passing.delay=1", "optimiser.freeze_until={encoder=2}",
)  # fmt: skip


def figures(folder: Path, *settings: str) -> tuple[list[Any], dict[str, Any], Any]:
    """Make three updates; return what came of them, the averaged weights, and a validation of these."""
    run = prepared(folder, folder / "unwritten", *SETTINGS, *settings)
    own = run.learner
    learned = [own.learn([run.material.batches.batch(number)]) for number in range(3)]
    score = scored(own.averaged("hard"), own.normaliser, run.vocabulary, run.material)
    references = References(own.evaluated(), own.normaliser, run.vocabulary, run.material)
    validated = score.wer, references.losses(3), references.latency(score.tokens)
    state = {name: value.cpu() for name, value in own.average.state_dict().items()}
    return [[*each.losses, each.norm] for each in learned], state, validated


@pytest.mark.parametrize(
    "settings",
    [
        ("model.activation=hard",),
        ("model.activation=soft", "dropout.recurrent=0.0"),
        ("model.decoder=both", "model.gate={}"),
    ],
)
def test_another_device_learns_what_the_cpu_does(
    folder: Path, settings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, weights, validated = figures(folder, *settings)
    monkeypatch.setattr(learning, "device_of", lambda *_: DEVICE)
    with Elsewhere():
        got_learned, got_weights, got_validated = figures(folder, *settings)
    torch.testing.assert_close(got_learned, learned, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got_weights, weights, rtol=1e-3, atol=1e-4)
    assert got_validated[0] == validated[0]
    assert got_validated[1] == pytest.approx(validated[1], rel=1e-3)


@pytest.mark.parametrize("activation", ["hard", "soft"])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_learns_what_the_cpu_does(folder: Path, activation: str) -> None:
    settings = f"model.activation={activation}", "dropout.recurrent=0.0", "dropout.encoder=0.0"
    both = [
        figures(folder, *settings, "dropout.prediction=0.0", f"device={device}")
        for device in ("cpu", "cuda")
    ]
    (learned, weights, _), (got_learned, got_weights, _) = both
    torch.testing.assert_close(got_learned, learned, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(got_weights, weights, rtol=1e-2, atol=1e-3)


def config(folder: Path, *settings: str) -> Any:
    return load_config(folder / "run.toml", settings)


def test_the_cpu_is_taken_where_there_is_no_gpu_and_for_integers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(config(folder)).type == "cpu"
    with pytest.raises(ConfigError, match="device is cuda, and torch finds none"):
        device_of(config(folder, "device=cuda"))
    integers = "quantize=int8", "model.activation=hard", "dropout.recurrent=0.0"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of(config(folder, *integers)).type == "cpu"
    with pytest.raises(ConfigError, match="device is cuda, quantize = int8 wants cpu"):
        config(folder, *integers, "device=cuda")


def test_each_process_has_a_gpu_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    assert device_of(config(folder), 1, 2) == torch.device("cuda:1")
    assert device_of(config(folder, "device=cuda:1")) == torch.device("cuda:1")
    assert taken == [torch.device("cuda:1")] * 2
    with pytest.raises(ConfigError, match="device is cuda:2, and torch finds 2 GPUs"):
        device_of(config(folder), 2, 3)
    with pytest.raises(ConfigError, match="device is cuda:1 for 2 processes"):
        device_of(config(folder, "device=cuda:1"), 0, 2)
