"""Filters that learn: their gradient, their bounds, and the same values when they are served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.backends import load_backend
from stream.bundled import recordings
from stream.engine.engine import Engine
from stream.front_end.filterbank import MEL, Filterbank
from stream.front_end.log_mel import Spectrum, mel_bank
from stream.front_end.normaliser import Normaliser
from stream.model.directory import write
from stream.model.network import Network, open_model
from stream.recogniser import Recogniser
from tests.tiny import talking_ctc, tiny_network
from tests.train.tones import command, prepared
from train import __main__, checkpoint
from train.config.batches import AugmentationConfig
from train.config.file import load_config
from train.config.run import ConfigError
from train.data.augmentation import spec_augment
from train.data.features import log_mel, normalised, normalised_by_themselves, stacked
from train.evaluation import pad, training_tokens
from train.loop import Run
from train.mel import LearnedMel
from train.model import Transducer
from train.run.beginning import start_of
from train.run.material import material_of

LEARNED = {"filterbank": Filterbank(mel="learned")}
LEARNED_MAGNITUDE = {"filterbank": Filterbank(mel="learned", spectrum="magnitude")}
KEY = 'model.front_end={ mel = "learned" }'
MEL_KEY = 'model.front_end={ mel = "learned", spectrum = "magnitude" }'
RNG = np.random.default_rng


def hostile() -> list[np.ndarray[Any, Any]]:
    """Speech, digital silence, a square wave of full scale, a click, and speech cut by silence."""
    speech = recordings()[0].read()[:24_000]
    square = np.where(np.arange(16_000) // 40 % 2, 1.0, -1.0).astype(np.float32)
    click = np.zeros(12_345, np.float32)
    click[4000] = -1.0
    cut = speech.copy()
    cut[6000:14_000] = 0.0
    return [speech, np.zeros(16_000, np.float32), square, click, cut, speech[:170]]


def loss_of(module: Any, normaliser: Any, audio: list[np.ndarray[Any, Any]]) -> Any:
    """Some number that follows from all encoder frames of a batch, float64."""
    samples, lengths = pad(audio)
    frames, counts = log_mel(samples.double(), lengths, module.front_end)
    z = normalised(frames, counts, normaliser)
    z = spec_augment(z, counts, AugmentationConfig(), RNG(0))
    x, steps = stacked(z, counts, module.specification.encoder)
    f, _ = module.encode_rows(x, steps)
    return (f * torch.linspace(-1.0, 2.0, f.numel(), dtype=f.dtype).reshape(f.shape)).sum()


@pytest.mark.parametrize("spectrum", ["power", "magnitude"])
@pytest.mark.parametrize(
    "normaliser", [{"alpha": 0.01}, {"alpha": 0.0}, {"normaliser": "layer"}, {"normaliser": "none"}]
)
def test_the_gradient_is_that_of_finite_differences(
    spectrum: Spectrum, normaliser: dict[str, Any]
) -> None:
    network = tiny_network(
        filterbank=Filterbank(mel="learned", spectrum=spectrum), activation="soft", **normaliser
    )
    module = Transducer.from_network(network).double()
    audio = [x[:6000] for x in hostile()[:2]]
    loss_of(module, network.normaliser, audio).backward()
    weight = module.mel.weight
    direction = torch.from_numpy(RNG(1).normal(size=weight.shape)) * (weight.detach() > 0.0)
    ends = []
    for sign in (1.0, -1.0):
        moved = Transducer.from_network(network).double()
        with torch.no_grad():
            moved.mel.weight += sign * 1e-5 * direction
        ends.append(float(loss_of(moved, network.normaliser, audio).detach()))
    slope = float((weight.grad * direction).sum())
    assert abs(slope) > 1e-3
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, slope, rtol=1e-4)


@pytest.mark.parametrize("learned", [LEARNED, LEARNED_MAGNITUDE], ids=["power", "magnitude"])
def test_the_gradient_is_finite_without_any_energy(learned: dict[str, Any]) -> None:
    network = tiny_network(**learned)
    module = Transducer.from_network(network).double()
    loss_of(module, network.normaliser, hostile()[1:2]).backward()
    assert torch.equal(module.mel.weight.grad, torch.zeros_like(module.mel.weight))
    module.mel.weight.grad = None
    loss_of(module, network.normaliser, hostile()).backward()
    assert torch.isfinite(module.mel.weight.grad).all() and module.mel.weight.grad.any()


def test_the_gradient_of_samples_is_finite_without_any_energy() -> None:
    module = Transducer.from_network(tiny_network(**LEARNED_MAGNITUDE))
    x = torch.zeros(1, 4000, requires_grad=True)
    frames, _ = log_mel(x, torch.tensor([4000]), module.front_end)
    frames.sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("mistake", ["no least power", "no floor"])
def test_what_keeps_the_gradient_finite_is_needed(
    mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a gradient at zero energy is 0 times infinity; a specification refuses to have no floor."""
    network = tiny_network(**(LEARNED if mistake == "no floor" else LEARNED_MAGNITUDE))
    module = Transducer.from_network(network)
    front_end = module.front_end
    if mistake == "no floor":
        front_end = replace(front_end, floor=0.0)
        with pytest.raises(ValueError, match="floor is 0.0"):
            tiny_network(floor=0.0)
    else:
        monkeypatch.setattr("stream.front_end.log_mel.LEAST_POWER", 0.0)
    x = torch.zeros(1, 4000, requires_grad=True)
    frames, _ = log_mel(x, torch.tensor([4000]), front_end)
    frames.sum().backward()
    gradient = module.mel.weight.grad if mistake == "no floor" else x.grad
    assert gradient is not None and not torch.isfinite(gradient).all()


def test_rows_normalised_by_themselves_have_a_finite_gradient_in_bins_that_never_change() -> None:
    frames = torch.from_numpy(RNG(0).normal(size=(2, 9, 80)).astype(np.float32))
    frames[0, :, 3] = -15.0
    frames.requires_grad_()
    z = normalised_by_themselves(frames, torch.tensor([9, 1]))
    z.square().sum().backward()
    assert torch.equal(z[0, :, 3], torch.zeros(9)) and torch.equal(z[1], torch.zeros(9, 80))
    assert frames.grad is not None and torch.isfinite(frames.grad).all()


def test_filters_begin_as_the_bank_and_survive_a_round_trip_bit_for_bit() -> None:
    np.testing.assert_array_equal(
        LearnedMel("power")().detach().numpy(), mel_bank("power").astype(np.float32)
    )
    network = tiny_network(3, **LEARNED_MAGNITUDE)
    arrays = Transducer.from_network(network).arrays()
    np.testing.assert_array_equal(arrays[MEL], network.arrays[MEL])


def test_an_update_leaves_no_weight_below_0_and_lets_others_grow() -> None:
    mel = LearnedMel("power")
    outside = mel.weight.detach() == 0.0
    with torch.no_grad():
        mel.weight += torch.where(torch.arange(257) % 2 == 0, 5.0, -5.0)
    mel.project()
    assert (mel.weight >= 0.0).all() and (mel.weight[outside] == 5.0).any()


@pytest.mark.parametrize(
    "normaliser",
    [{"alpha": 0.001}, {"alpha": 0.0}, {"normaliser": "layer"}, {"normaliser": "none"}],
)
@pytest.mark.parametrize("learned", [LEARNED, LEARNED_MAGNITUDE], ids=["power", "magnitude"])
def test_what_streams_is_what_the_training_forward_says(
    normaliser: dict[str, Any], learned: dict[str, Any]
) -> None:
    network = talking_ctc(tiny_network(**learned, **normaliser, decoder="ctc"))
    audio = hostile()
    recogniser = Recogniser(network, "numpy")
    cuts = [np.sort(RNG(n).integers(0, len(x), 9)) for n, x in enumerate(audio)]
    heard = training_tokens(network, audio)
    assert len({token for row in heard for token, _ in row}) > 2
    for x, own, want in zip(audio, cuts, heard, strict=True):
        results = recogniser.stream(x, own)
        recogniser.reset()
        assert [(t.id, t.step) for result in results for t in result.tokens] == want


def test_neighbours_of_a_channel_change_nothing() -> None:
    network = talking_ctc(tiny_network(**LEARNED_MAGNITUDE, normaliser="layer", decoder="ctc"))
    speech, _, loud, *_ = hostile()
    alone = [t for r in Recogniser(network, "numpy").stream(speech, []) for t in r.tokens]
    engine = Engine(network, load_backend("numpy", network), 3)
    slots = [engine.open() for _ in range(3)]
    for slot, x in zip(slots, (loud, speech, loud), strict=True):
        assert slot is not None
        engine.push(slot, x)
        engine.finish(slot)
    heard = []
    while results := engine.tick():
        heard += [t for r in results if r.slot == slots[1] for t in r.tokens]
    assert len(alone) > 5
    assert [(t.id, t.step) for t in heard] == [(t.id, t.step) for t in alone]


def test_a_model_directory_holds_the_filters(tmp_path: Path) -> None:
    network = tiny_network(**LEARNED_MAGNITUDE, normaliser="layer")
    write(network, tmp_path / "model", {})
    read = open_model(tmp_path / "model")
    assert read.specification == network.specification
    assert "normaliser.mean" not in read.arrays
    np.testing.assert_array_equal(read.arrays[MEL], network.arrays[MEL])


def trained(folder: Path, run: Path, *settings: str) -> Network:
    assert __main__.main(command(folder, run, "updates=4", *settings)) == 0
    return open_model(run / "last.pt")


def test_a_run_moves_the_filters_and_goes_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    network = trained(folder, tmp_path / "run", MEL_KEY, "normalisation.stream_share=0.5")
    bank = network.arrays[MEL]
    assert (bank >= 0.0).all() and not np.array_equal(
        bank, mel_bank("magnitude").astype(np.float32)
    )
    short = tmp_path / "short"
    trained(folder, short, MEL_KEY, "normalisation.stream_share=0.5", "updates=2")
    settings = [*command(folder, short, "updates=4", MEL_KEY, "normalisation.stream_share=0.5")]
    assert __main__.main([*settings, "--change"]) == 0
    for path in (tmp_path / "run", short):
        content = checkpoint.load(path / "last.pt")
        assert content["specification"]["front_end"] == {"mel": "learned", "spectrum": "magnitude"}
    one, two = (checkpoint.load(p / "last.pt")["objective"] for p in (tmp_path / "run", short))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("normaliser", ["layer", "none"])
def test_a_model_without_statistics_trains_and_measures_none(
    folder: Path, tmp_path: Path, normaliser: str
) -> None:
    network = trained(folder, tmp_path / "run", MEL_KEY, f"model.normaliser={normaliser}")
    assert MEL in network.arrays and "normaliser.mean" not in network.arrays
    assert not isinstance(network.normaliser, Normaliser)
    assert not (tmp_path / "run" / "statistics.npz").exists()


def test_a_frozen_bank_stays(folder: Path) -> None:
    frozen = 'optimiser.freeze=["front_end"]'
    run = prepared(folder, folder / "unwritten", MEL_KEY, frozen)
    run.learner.learn([run.material.batches.batch(0)])
    mel = run.learner.model.mel
    assert mel is not None and torch.equal(mel.weight, LearnedMel("magnitude").weight)


def learner_from(folder: Path, tmp_path: Path, network: Network, *settings: str) -> Any:
    """Return the learner of a run that starts from a network."""
    write(network, tmp_path / "given", {})
    config = load_config(folder / "run.toml", ["freeze_norms_from=1", *settings])
    start = start_of(config, str(tmp_path / "given"))
    return Run(tmp_path / "run", config, start, material_of(config, start)).learner


@pytest.mark.parametrize("settings", [(), ("init={}",)], ids=["all", "in part"])
def test_a_fixed_mel_is_where_a_learned_one_goes_on(
    folder: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    network = tiny_network(5)
    learner = learner_from(folder, tmp_path, network, KEY, *settings)
    assert torch.equal(learner.model.mel.weight, LearnedMel("power").weight)
    np.testing.assert_array_equal(
        learner.model.arrays()["encoder.pre.0.weight_hh"],
        network.arrays["encoder.pre.0.weight_hh"],
    )


@pytest.mark.parametrize("settings", [(), ("init={}",)], ids=["all", "in part"])
def test_a_learned_mel_goes_on(folder: Path, tmp_path: Path, settings: tuple[str, ...]) -> None:
    network = tiny_network(5, **LEARNED)
    learner = learner_from(folder, tmp_path, network, KEY, *settings)
    np.testing.assert_array_equal(learner.model.arrays()[MEL], network.arrays[MEL])


def test_an_encoder_is_not_given_other_filters_than_it_learned_with(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="model.front_end is .*'fixed'.* has learned filters"):
        learner_from(folder, tmp_path, tiny_network(5, **LEARNED))
    with pytest.raises(ConfigError, match="model.front_end is .*'magnitude'"):
        learner_from(folder, tmp_path, tiny_network(5, **LEARNED), MEL_KEY)


def test_a_new_encoder_has_new_filters(folder: Path, tmp_path: Path) -> None:
    init = 'init={ encoder = false, output = "new" }'
    learner = learner_from(folder, tmp_path, tiny_network(5, **LEARNED), MEL_KEY, init)
    assert torch.equal(learner.model.mel.weight, LearnedMel("magnitude").weight)


def test_statistics_come_from_the_training_set_where_the_start_has_none(
    folder: Path, tmp_path: Path
) -> None:
    learner = learner_from(folder, tmp_path, tiny_network(5, normaliser="layer"))
    with np.load(folder / "statistics.npz") as file:
        np.testing.assert_array_equal(learner.normaliser.mean, file["mean"])


def test_rows_cannot_be_normalised_by_themselves_where_there_are_no_statistics(
    folder: Path,
) -> None:
    settings = ["model.normaliser=layer", "normalisation.stream_share=0.5"]
    with pytest.raises(ConfigError, match="no statistics of a stream to blend with"):
        load_config(folder / "run.toml", settings)
