"""The ONNX backend against the NumPy reference, and what a batch may not do to its rows."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.build import build
from stream.backends import BACKENDS, Backend, computed_by, load_backend
from stream.backends.onnx import OnnxBackend
from stream.backends.session import open_session
from stream.model import directory
from stream.model.network import Network, open_model
from stream.model.specification import ModelError
from stream.stage import map_state
from tests.tiny import quantised, tiny_network

SIZES: list[dict[str, Any]] = [
    {},
    {"activation": "soft"},
    {"pre_layers": 2, "post_layers": 3, "prediction_layers": 2, "hidden": 24, "joint": 7},
    {"hidden": 96, "joint": 40, "prediction_hidden": 33, "activation": "soft", "post_layers": 2},
    {"hidden": 1, "joint": 1, "prediction_hidden": 1},
]
TOLERANCE = 2e-5
STEPS = 6


@functools.cache
def onnx_backend(**specification: Any) -> OnnxBackend:
    network = tiny_network(3, **specification)
    return OnnxBackend(network, build(network, inside=True))


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def run(
    backend: Backend, x: NDArray[np.float32], present: NDArray[np.bool_] | None = None
) -> tuple[Any, ...]:
    """Return encoder outputs, logits of a fixed token sequence, and both states."""
    encoder, prediction = backend.initial_state(len(x))
    f, encoder = backend.encode(x, encoder, present)
    blank = backend.specification.blank
    logits = []
    for step in range(f.shape[1]):
        tokens = (np.arange(len(x)) * 7 + step * 3) % blank if step else np.full(len(x), blank)
        g, prediction = backend.predict(tokens, prediction)
        logits.append(backend.join(f[:, step], g))
    return f, np.stack(logits, axis=1), encoder, prediction


@pytest.mark.parametrize("name", ["numpy", "torch", "bfp16", "onnx"])
@pytest.mark.parametrize("decoder", ["ctc", "both"])
def test_a_ctc_head_gives_log_probabilities_of_the_encoder_frames(name: str, decoder: str) -> None:
    if name == "torch":
        pytest.importorskip("torch")
    network, f = tiny_network(3, decoder=decoder), noise(2, 3, 16)
    backend = onnx_backend(decoder=decoder) if name == "onnx" else load_backend(name, network)
    got = backend.ctc(f)
    assert backend.ctc(f[:, :0]).shape == (2, 0, 21)
    logits = np.maximum(f, 0.0) @ network.arrays["ctc.weight"].T + network.arrays["ctc.bias"]
    want = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["numpy", "onnx", "torch"])
def test_no_two_arrays_of_a_state_share_memory(name: str) -> None:
    """The engine writes rows of a state in place."""
    if name == "torch":
        pytest.importorskip("torch")
    backend = onnx_backend() if name == "onnx" else load_backend(name, tiny_network())
    leaves: list[Any] = []
    map_state(leaves.append, backend.initial_state(2))
    assert len(leaves) >= 6
    for index, leaf in enumerate(leaves):
        assert not any(np.shares_memory(leaf, other) for other in leaves[index + 1 :])


@pytest.mark.parametrize("specification", SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_onnx_computes_what_numpy_computes(specification: dict[str, Any], batch: int) -> None:
    x = noise(batch, 2 * STEPS, 240)
    reference = load_backend("numpy", tiny_network(3, **specification))
    want_f, want_logits, _, want_prediction = run(reference, x)
    f, logits, _, prediction = run(onnx_backend(**specification), x)
    np.testing.assert_allclose(f, want_f, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(logits, want_logits, rtol=0, atol=TOLERANCE)
    for kind in range(2):  # h and c; NumPy keeps them by layer, ONNX packed
        want = np.stack([layer[kind] for layer in want_prediction], axis=1)
        np.testing.assert_allclose(prediction[kind], want, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("specification", SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 3, 8, 16])
def test_a_row_is_bit_for_bit_the_same_in_any_batch_and_slot(
    specification: dict[str, Any], batch: int
) -> None:
    backend = onnx_backend(**specification)
    (row,) = noise(1, 2 * STEPS, 240)
    (alone,), *_ = run(backend, row[None])
    for slot in range(batch):
        x = 10.0 * noise(batch, 2 * STEPS, 240, seed=slot + 1)
        x[slot] = row
        x[slot - 1 if batch > 1 else slot][...] = row if batch == 1 else np.nan
        np.testing.assert_array_equal(run(backend, x)[0][slot], alone)


@pytest.mark.parametrize("name", ["numpy", "onnx"])
def test_a_frame_past_the_end_is_a_zero_half_of_its_pair(name: str) -> None:
    network = tiny_network(3)
    backend = onnx_backend() if name == "onnx" else load_backend("numpy", network)
    x = noise(2, 4, 240)
    present = np.array([[True, True, True, False], [True, True, True, True]])
    f = run(backend, x, present)[0]
    np.testing.assert_array_equal(f[1], run(backend, x)[0][1])
    assert np.abs(f[0] - run(backend, x)[0][0]).max() > 1e-3
    # What the absent frame holds does not count.
    x[0, 3] = 5.0
    np.testing.assert_array_equal(run(backend, x, present)[0], f)
    want = run(load_backend("numpy", network), x, present)[0]
    np.testing.assert_allclose(f, want, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["numpy", "onnx"])
def test_blank_as_a_token_is_a_zero_vector(name: str) -> None:
    network = tiny_network(3)
    zeroed = dict(network.arrays)
    zeroed["prediction.embedding"] = network.arrays["prediction.embedding"].copy()
    zeroed["prediction.embedding"][4] = 0.0
    other = Network(network.specification, zeroed, network.tokenizer)
    backend: Backend = (
        OnnxBackend(other, build(other, inside=True))
        if name == "onnx"
        else load_backend("numpy", other)
    )
    tokens = np.array([network.specification.blank, 4, 5])
    g, _ = backend.predict(tokens, backend.initial_state(3)[1])
    np.testing.assert_array_equal(g[0], g[1])
    assert np.abs(g[0] - g[2]).max() > 1e-3


def test_any_cut_between_pairs_gives_the_same_bits() -> None:
    backend = onnx_backend()
    x = noise(2, 12, 240)
    state = backend.initial_state(2)[0]
    want, want_state = backend.encode(x, state)
    parts = []
    for begin, end in ((0, 2), (2, 2), (2, 8), (8, 12)):
        f, state = backend.encode(x[:, begin:end], state)
        parts.append(f)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), want)
    map_state(np.testing.assert_array_equal, state, want_state)


def test_graphs_in_memory_and_in_a_directory_compute_the_same_bits(tmp_path: Path) -> None:
    network = tiny_network(3)
    external = build(network)
    directory.write(network, tmp_path / "model", external)
    assert all(len(graph) < 20_000 for graph in external.values())  # the weights are not in them
    moved = shutil.move(tmp_path / "model", tmp_path / "moved")
    x = noise(3, 8, 240)
    got = run(load_backend("onnx", open_model(moved)), x)
    for a, b in zip(got[:2], run(onnx_backend(), x)[:2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_graphs_say_which_format_they_are_of() -> None:
    import onnx

    for name, content in build(tiny_network(), inside=True).items():
        properties = {p.key: p.value for p in onnx.load_from_string(content).metadata_props}
        assert properties == {"format": directory.FORMAT, "graph": name.removesuffix(".onnx")}


def test_graphs_are_a_function_of_the_network_alone() -> None:
    assert build(tiny_network(), inside=True) == build(tiny_network(), inside=True)


def test_a_network_without_graphs_is_told_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="python -m export.onnx --ckpt MODEL --output DIR"):
        load_backend("onnx", tiny_network())
    directory.write(tiny_network(), tmp_path / "model", {})
    with pytest.raises(ModelError, match="has no ONNX graphs"):
        load_backend("onnx", open_model(tmp_path / "model"))


def test_a_graph_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    network = tiny_network()
    broken = {**build(network, inside=True), "joint.onnx": b"no graph"}
    with pytest.raises(ModelError, match="joint.onnx cannot be run: .*protobuf parsing failed.$"):
        OnnxBackend(network, broken)
    external = build(network)
    directory.write(network, tmp_path / "model", external)
    located = open_model(tmp_path / "model")
    (tmp_path / "model" / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="encoder.onnx cannot be run: .* Use --backend numpy"):
        load_backend("onnx", located)


def test_block_floating_point_has_no_graphs() -> None:
    with pytest.raises(ModelError, match="number format is bfp16: run it on the numpy backend"):
        build(tiny_network(number_format="bfp16"), inside=True)


@pytest.mark.parametrize("make", [lambda network: network, quantised], ids=["float32", "integers"])
def test_block_floating_point_is_a_backend_of_any_model(
    make: Callable[[Network], Network],
) -> None:
    model, x = make(tiny_network(3)), noise(2, 2 * STEPS, 240)
    found = [
        run(load_backend(name, network), x)[1]
        for name, network in (
            ("bfp16", model),
            ("numpy", tiny_network(3, number_format="bfp16")),
            ("numpy", tiny_network(3)),
        )
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert 1e-4 < np.abs(found[0] - found[2]).max() < 0.1


def test_a_backend_has_the_network_in_the_arithmetic_that_it_computes() -> None:
    model = quantised(tiny_network())
    assert {name: computed_by(name, model).specification for name in BACKENDS} == {
        **dict.fromkeys(("numpy", "onnx", "int8", "torch"), tiny_network().specification),
        **dict.fromkeys(("integer", "integer-onnx", "torch-integer"), model.specification),
        "bfp16": tiny_network(number_format="bfp16").specification,
    }


def test_an_unknown_backend_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValueError,
        match="no backend 'cuda'; there are numpy, onnx, int8, integer, integer-onnx, bfp16, torch",
    ):
        load_backend("cuda", tiny_network())


def test_a_session_runs_one_thread_that_does_not_spin() -> None:
    options = open_session(build(tiny_network(), inside=True)["joint.onnx"]).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
