"""The stateless prediction network: the formula, chunks, torch, and a model that has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.backends import load_backend
from stream.model import directory
from stream.model.network import Network, open_model
from stream.model.specification import read_specification
from stream.prediction.stateless import Stateless
from stream.recogniser import Recogniser
from stream.stage import map_state
from tests.tiny import PIECES, tiny_network

RNG = np.random.default_rng(0)


def network(context: int = 2, seed: int = 3) -> Network:
    return tiny_network(seed, other_prediction=Stateless(8, context))


@pytest.mark.parametrize("context", [1, 2, 3])
def test_an_output_is_the_formula_over_the_last_tokens(context: int) -> None:
    family = Stateless(4, context)
    arrays = {n: RNG.normal(size=s).astype(np.float32) for n, s in family.shapes(5).items()}
    tokens = np.array([[5, 0, 3, 3, 1]])  # 5 is blank: the start
    got, state = family.step(family.prepare(arrays), tokens, family.initial_state(1))
    table = np.vstack([arrays["prediction.embedding"], np.zeros((1, 4), np.float32)])
    history = [5] * (context - 1) + tokens[0].tolist()
    for t in range(5):
        last = table[history[t : t + context]]  # oldest first
        want = np.maximum((arrays["prediction.context.weight"].T * last).sum(0), 0.0)
        np.testing.assert_allclose(got[0, t], want, rtol=1e-6, atol=1e-6)
    assert state.shape == (1, context - 1, 4)


def test_one_token_at_a_time_gives_what_all_at_once_give() -> None:
    family = Stateless(4, 3)
    arrays = family.prepare(
        {n: RNG.normal(size=s).astype(np.float32) for n, s in family.shapes(5).items()}
    )
    tokens = RNG.integers(0, 6, (2, 7))
    want, end = family.step(arrays, tokens, family.initial_state(2))
    state, got = family.initial_state(2), []
    for t in range(7):
        y, state = family.step(arrays, tokens[:, t : t + 1], state)
        got.append(y)
    np.testing.assert_array_equal(np.concatenate(got, axis=1), want)
    np.testing.assert_array_equal(state, end)


@pytest.mark.torch
def test_torch_has_its_values_and_gradients() -> None:
    import torch

    from train.model import Transducer

    model = network()
    module = Transducer.from_network(model)
    tokens = RNG.integers(0, PIECES + 1, (2, 5))
    g, _ = module.predict(torch.from_numpy(tokens), module.initial_state(2)[1])
    backend = load_backend("numpy", model)
    state = backend.initial_state(2)[1]
    for t in range(5):
        want, state = backend.predict(tokens[:, t], state)
        np.testing.assert_allclose(g[:, t].detach().numpy(), want, rtol=0, atol=1e-6)
    g.sum().backward()
    assert all(bool((p.grad != 0).any()) for p in module.prediction.parameters())
    for name, array in module.arrays().items():
        np.testing.assert_array_equal(array, model.arrays[name], err_msg=name)


def test_a_model_that_has_one_streams_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = network()
    directory.write(model, tmp_path / "model", {})
    read = open_model(tmp_path / "model")
    assert read.specification == model.specification
    noise = RNG.normal(0.0, 0.1, 16_000).astype(np.float32)
    said = Recogniser(read, "numpy").transcribe(noise)
    assert said == Recogniser(model).transcribe(noise)
    assert said.tokens


@pytest.mark.torch
@pytest.mark.parametrize("context", [1, 2, 3])
def test_its_graph_computes_what_numpy_does(context: int) -> None:
    pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")
    from export.build import build
    from stream.backends.onnx import OnnxBackend

    model = network(context)
    want, got = load_backend("numpy", model), OnnxBackend(model, build(model, inside=True))
    states = [backend.initial_state(3)[1] for backend in (want, got)]
    for token in ([PIECES] * 3, [1, 2, 3], [4, 4, 0], [0, 7, 1]):
        a, states[0] = want.predict(np.array(token), states[0])
        b, states[1] = got.predict(np.array(token), states[1])
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-6)
    leaves: list[np.ndarray] = []  # type: ignore[type-arg]
    map_state(leaves.append, states[1])
    np.testing.assert_allclose(leaves[0], states[0], rtol=0, atol=1e-6)


def test_sizes_below_one_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="context is 0, wants at least 1"):
        read_specification({"vocabulary": 4, "prediction": {"family": "stateless", "context": 0}})
