"""Gradients and weights as figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from train.report import weights
from train.report.weights import gradient_norms, samples


def objective() -> nn.Module:
    """A loss that holds a model of two modules, the encoder's with gradients 3 and 4."""
    model = nn.ModuleDict({"encoder": nn.Linear(1, 1), "output": nn.Linear(2, 1, bias=False)})
    held = nn.ModuleDict({"model": model, "bag": nn.Linear(1, 1)})
    model["encoder"].weight.grad = torch.tensor([[3.0]])
    model["encoder"].bias.grad = torch.tensor([-4.0])
    model["output"].weight.grad = torch.tensor([[math.inf, 1.0]])
    return held


def test_norms_are_by_module_and_say_where_a_gradient_is_not_finite() -> None:
    assert gradient_norms(objective()) == {"encoder": 5.0, "joint.output": math.inf}


def test_histograms_are_of_weights_and_of_finite_gradients_by_layer() -> None:
    named = dict(samples(objective()))
    assert list(named) == [
        "weights/encoder.weight", "gradients/encoder.weight",
        "weights/encoder.bias", "gradients/encoder.bias",
        "weights/joint.output.weight", "gradients/joint.output.weight",
        "weights/bag.weight", "weights/bag.bias",
    ]  # fmt: skip
    assert named["gradients/joint.output.weight"].tolist() == [1.0]
    assert named["gradients/encoder.bias"].dtype == np.float32


def test_large_tensors_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SAMPLED", 4)
    linear = nn.Linear(10, 1, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.arange(10.0))
    assert dict(samples(linear))["weights/weight"].tolist() == [0.0, 3.0, 6.0, 9.0]
