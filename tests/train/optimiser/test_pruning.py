"""Pruned weights are zero, as many in each bank, and stay so: in the average, in integers, and after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn

from stream.integer.network import to_integers
from stream.model.network import open_model
from tests.train.tones import command
from train import __main__, checkpoint
from train.config.pruning import PruningConfig
from train.config.run import ConfigError
from train.optimiser.pruning import Pruning

HALF = PruningConfig(share=0.5, bank=4, start=10, ramp=10)


def pruning(weight: list[list[float]], config: PruningConfig = HALF) -> tuple[Pruning, Tensor]:
    parameter = nn.Parameter(torch.tensor(weight))
    return Pruning({"encoder.pre.0.weight_ih": parameter}, config, 40), parameter.data


def test_the_smallest_weights_of_a_bank_become_zero() -> None:
    own, weight = pruning([[3.0, -1.0, 0.5, 2.0, 0.1, 0.2, -0.4, 0.3], [1.0, 2.0, 3.0, 4.0] * 2])
    own.prune(9, own.masks())
    assert weight.count_nonzero() == 16
    own.prune(20, own.masks())
    assert weight.tolist() == [
        [3.0, 0.0, 0.0, 2.0, 0.0, 0.0, torch.tensor(-0.4).item(), torch.tensor(0.3).item()],
        [0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 3.0, 4.0],
    ]


def test_a_weight_that_is_zero_stays_zero_wherever_the_optimiser_moves_it() -> None:
    own, weight = pruning([[3.0, 0.0, 0.5, 2.0]])
    masks = own.masks()
    weight += torch.tensor([[0.5, 9.0, 0.5, 0.5]])
    own.prune(1, masks)
    assert weight.tolist() == [[3.5, 0.0, 1.0, 2.5]]


def test_of_equal_weights_no_more_are_left_than_of_others() -> None:
    own, weight = pruning([[1.0] * 8])
    own.prune(20, own.masks())
    assert weight.view(2, 4).count_nonzero(1).tolist() == [2, 2]


def test_the_number_that_is_left_falls_from_start_to_end() -> None:
    own, _ = pruning([[1.0] * 8], PruningConfig(share=0.25, bank=8, start=10, ramp="0.5 epochs"))
    assert [own.kept(update) for update in (9, 10, 12, 13, 20, 29, 30, 99)] == [
        8,
        8,
        7,
        6,
        3,
        3,
        2,
        2,
    ]
    assert own.end == 30
    at_once, _ = pruning([[1.0] * 8], PruningConfig(share=0.25, bank=8, start=3, ramp=0))
    assert [at_once.kept(update) for update in (2, 3)] == [8, 2]


def test_a_share_is_a_number_of_weights() -> None:
    assert PruningConfig(share=0.375).kept == 3
    for share in (0.0, 0.3, 1.5):
        with pytest.raises(ValueError, match=f"pruning.share is {share}, wants a whole number of"):
            PruningConfig(share=share)
    with pytest.raises(ValueError, match="pruning.bank is 0"):
        PruningConfig(bank=0)


def test_parts_that_cannot_be_pruned_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"rows of encoder.pre.0.weight_ih have 6 weights"):
        pruning([[1.0] * 6])
    with pytest.raises(ConfigError, match="pruning.parts: the model has no decoder"):
        pruning([[1.0] * 8], PruningConfig(share=0.5, parts=("decoder",)))


@pytest.mark.parametrize("name", ["prediction.embedding", "encoder.0.mamba.depthwise.weight"])
def test_tables_and_kernels_of_channels_are_no_matrices(name: str) -> None:
    parts = (name.partition(".")[0],)
    with pytest.raises(ConfigError, match=f"pruning.parts: {parts[0]}: no matrix to prune"):
        Pruning({name: nn.Parameter(torch.ones(2, 9))}, PruningConfig(share=0.5, parts=parts), 40)


RUN = (
    "quantize=int8",
    "dropout.recurrent=0.0",
    "updates=16",
    "pruning.share=0.25",
    "pruning.start=3",
    "pruning.ramp=7",
)


@pytest.fixture(scope="module")
def start(folder: Path) -> list[str]:
    run = folder / "runs" / "dense"
    assert __main__.main(command(folder, run, "updates=9")) == 0
    return ["--init-from", str(run / "best.pt")]


@pytest.fixture(scope="module")
def pruned(folder: Path, start: list[str]) -> Path:
    run = folder / "runs" / "pruned"
    assert __main__.main([*command(folder, run, *RUN), *start]) == 0
    return run


def test_a_pruned_run_makes_a_model_with_zeros_in_every_bank(pruned: Path) -> None:
    network = open_model(pruned / "last.pt")
    integers = to_integers(network)
    for name, layer in (("pre", integers.pre[0]), ("post", integers.post[0])):
        for array in ("weight_ih", "weight_hh"):
            floats = network.arrays[f"encoder.{name}.0.{array}"]
            kept = np.count_nonzero(floats.reshape(-1, 8), axis=1)
            assert (kept == 2).all()
            assert not getattr(layer, array)[floats == 0.0].any()
    assert np.count_nonzero(network.arrays["prediction.lstm.0.weight_ih"]) == 4 * 8 * 8


def test_the_notes_say_what_was_pruned_and_where(pruned: Path) -> None:
    notes = open_model(pruned / "last.pt").notes["training"]
    assert notes["settings"]["pruning.share"] == 0.25
    assert notes["pruned"]["zeros"] == {
        f"encoder.{layer}.0.{array}": 0.75
        for layer in ("pre", "post")
        for array in ("weight_ih", "weight_hh")
    }
    assert len(notes["pruned"]["mask_sha256"]) == 64


def test_a_pruned_run_resumed_equals_an_uninterrupted_one(
    folder: Path, start: list[str], pruned: Path, tmp_path: Path
) -> None:
    run = [*command(folder, tmp_path, *RUN), *start]
    assert __main__.main([*run, "--set", "updates=6"]) == 0
    assert __main__.main([*run, "--change"]) == 0
    got, want = (checkpoint.load(of / "last.pt") for of in (tmp_path, pruned))
    for state in ("averaged", "objective"):
        for name, value in want[state].items():
            assert torch.equal(got[state][name], value), name
    assert got["notes"]["training"]["pruned"] == want["notes"]["training"]["pruned"]
