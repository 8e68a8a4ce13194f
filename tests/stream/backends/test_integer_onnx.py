"""Loading integer graphs: equality is tested on the machine, and wrong products are gone around."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

import onnx

from export.build import build, build_integers
from stream.backends import Backend, load_backend
from stream.backends.integer import IntegerBackend
from stream.backends.integer_onnx import check_equal, graph_state
from stream.backends.onnx import OnnxBackend
from stream.backends.unsigned_weights import unsigned_weights
from stream.engine.engine import Engine, Result
from stream.integer.network import IntegerNetwork, to_integers
from stream.model import directory
from stream.model.network import Network, open_model
from stream.model.specification import ModelError
from stream.stage import map_state
from tests.tiny import quantised, tiny_network

PRODUCTS = "stream.backends.integer_onnx.products_are_exact"


def written(path: Path, integers: IntegerNetwork | None = None, **files: bytes) -> Network:
    """Write a tiny model with the graphs of its integers, or of others, and read it."""
    network = quantised(tiny_network(3))
    graphs = {**build(network), **build_integers(integers or to_integers(network))}
    directory.write(network, path, {**graphs, **files})
    return open_model(path)


def test_the_backend_is_the_graphs_and_equals_the_numpy_integers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = written(tmp_path / "model")
    backend = load_backend("integer-onnx", network)
    assert isinstance(backend, OnnxBackend) and not caplog.records
    for rows in (1, 2, 3, 8, 33):
        check_equal(to_integers(network), backend, rows, seed=rows)


def test_states_are_u8_and_int16_and_stand_for_zeros(tmp_path: Path) -> None:
    backend = load_backend("integer-onnx", written(tmp_path / "model"))
    reference = load_backend("integer", quantised(tiny_network(3)))
    for ours, theirs in zip(backend.initial_state(3), reference.initial_state(3), strict=True):
        map_state(np.testing.assert_array_equal, ours, graph_state(theirs))
        leaves: list[Any] = []
        map_state(leaves.append, ours)
        assert [leaf.dtype.name for leaf in leaves] == ["uint8", "int16"] * (len(leaves) // 2)
        assert all(len(leaf) == 3 for leaf in leaves)


def test_a_state_of_the_graphs_shares_no_memory_with_the_integers_state() -> None:
    state = IntegerBackend(to_integers(quantised(tiny_network()))).initial_state(2)[1]
    leaves: list[Any] = []
    map_state(leaves.append, state)
    for leaf, copied in zip(leaves, graph_state(state), strict=True):
        assert not np.shares_memory(leaf, copied)


def test_where_u8_and_s8_saturate_the_weights_become_u8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = written(tmp_path / "model")
    for module in ("session", "integer_onnx"):
        monkeypatch.setattr(
            f"stream.backends.{module}.products_are_exact", lambda unsigned=False: unsigned
        )
    changed = []

    def unsigned(graph: bytes) -> bytes:
        changed.append(unsigned_weights(graph))
        return changed[-1]

    monkeypatch.setattr("stream.backends.session.unsigned_weights", unsigned)
    backend = load_backend("integer-onnx", network)
    assert isinstance(backend, OnnxBackend) and not caplog.records
    assert len(changed) == 3 and all(b"highest_bit" in graph for graph in changed)
    for rows in (1, 2, 3, 8, 33):
        check_equal(to_integers(network), backend, rows, seed=rows)


def test_where_all_products_are_wrong_numpy_computes_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = written(tmp_path / "model")
    monkeypatch.setattr(PRODUCTS, lambda unsigned=False: False)
    with caplog.at_level(logging.WARNING, "stream.backends.integer_onnx"):
        backend = load_backend("integer-onnx", network)
    assert isinstance(backend, IntegerBackend)
    (record,) = caplog.records
    assert "NumPy computes" in record.getMessage()


def test_both_paths_give_an_engine_the_same_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = written(tmp_path / "model")
    audio = 0.1 * np.random.default_rng(0).standard_normal(48000).astype(np.float32)

    def heard(backend: Backend) -> list[Any]:
        engine = Engine(network, backend, 1)
        engine.open()
        engine.push(0, audio)
        engine.finish(0)
        results: list[Result] = []
        while engine.pending():
            results += engine.tick()
        return [(token.id, token.step) for result in results for token in result.tokens]

    fast = heard(load_backend("integer-onnx", network))
    monkeypatch.setattr(PRODUCTS, lambda unsigned=False: False)
    assert fast == heard(load_backend("integer-onnx", network))
    assert fast


def one_other(array: Any) -> Any:
    changed = array.copy()
    changed.flat[np.abs(array.astype(int)).argmin()] = 99
    return changed


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("encoder", "pre"),
        ("encoder", "post"),
        ("encoder", "joint_encoder"),
        ("prediction", "prediction"),
        ("prediction", "joint_prediction"),
        ("joint", "joint_output"),
    ],
)
def test_a_graph_of_other_integers_is_refused_by_name(tmp_path: Path, name: str, part: str) -> None:
    """Even where it is one weight that differs."""
    integers = to_integers(quantised(tiny_network(3)))
    given = getattr(integers, part)
    if isinstance(given, tuple):
        given = (replace(given[0], weight_ih=one_other(given[0].weight_ih)), *given[1:])
    else:
        given = replace(given, weight=one_other(given.weight))
    network = written(tmp_path / "model", replace(integers, **{part: given}))
    with pytest.raises(
        ModelError, match=rf"model: {name}.integer.onnx: .* differs from the integers"
    ):
        load_backend("integer-onnx", network)


def test_products_that_saturate_unnoticed_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose products are wrong in a way that the largest of them does not show."""
    real = OnnxBackend.predict

    def wrong(self: Any, tokens: Any, state: Any) -> Any:
        g, (h, c) = real(self, tokens, state)
        return g, (h, c + (c == c.max()))

    network = written(tmp_path / "model")
    monkeypatch.setattr(OnnxBackend, "predict", wrong)
    with pytest.raises(ModelError, match=r"prediction.integer.onnx: state 1 differs .* first in"):
        load_backend("integer-onnx", network)


def test_a_graph_with_other_inputs_is_refused_by_name(tmp_path: Path) -> None:
    model = onnx.load_from_string(
        build_integers(to_integers(quantised(tiny_network(3))))["joint.integer.onnx"]
    )
    model.graph.input[0].name = "unknown"
    for node in model.graph.node:
        for n, name in enumerate(node.input):
            node.input[n] = "unknown" if name == "f" else name
    network = written(tmp_path / "model", **{"joint.integer.onnx": model.SerializeToString()})
    with pytest.raises(ModelError, match=r"joint.integer.onnx cannot be run: .*\bf\b"):
        load_backend("integer-onnx", network)


def test_a_model_without_integer_graphs_is_told_how_to_get_them(tmp_path: Path) -> None:
    network = quantised(tiny_network())
    with pytest.raises(
        ModelError, match="has no integer graphs; write them: python -m export.onnx"
    ):
        load_backend("integer-onnx", network)
    directory.write(network, tmp_path / "m", build(network))
    with pytest.raises(ModelError, match="has no integer graphs"):
        load_backend("integer-onnx", open_model(tmp_path / "m"))


def test_a_model_without_a_quantisation_is_told_so() -> None:
    with pytest.raises(ModelError, match="has no quantisation"):
        load_backend("integer-onnx", tiny_network())
