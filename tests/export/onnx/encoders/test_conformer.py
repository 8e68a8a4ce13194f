"""The Conformer's graphs: the steps of NumPy in chunks of any length, and what export finds broken in them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

import onnx
from onnx import helper, numpy_helper

from export import build as builder
from export import random
from export.build import build, calibrating
from export.calibration import Calibration
from export.checks.sensitivity import PrecisionError
from export.errors import ExportError
from export.model_directory import export
from export.onnx.encoders import attention
from export.onnx.ranges import Ranges
from hwckpt.writer import from_network
from stream.backends import Backend, load_backend
from stream.backends.int8 import rows_are_independent
from stream.backends.onnx import OnnxBackend
from stream.backends.unsigned_weights import unsigned_weights
from stream.bundled import recordings
from stream.encoders.conformer import Conformer
from stream.model.network import Network, open_model
from stream.model.specification import ModelError
from stream.recogniser import Recogniser
from stream.stage import leaves_of
from tests.tiny import quantised, tiny_network

SIZES: dict[str, Any] = {
    "depth": 3,
    "size": 16,
    "heads": 4,
    "groups": 2,
    "kernel": 4,
    "feed_forward": 24,
    "subsampling": 4,
    "channels": 3,
    "mamba_every": 2,
    "mamba_heads": 4,
    "mamba_state": 5,
    "chunk_ms": 120,
    "chunks_ms": (40, 120, 240),
}
OTHERS: list[dict[str, Any]] = [
    {},
    {"mamba_every": 0, "norm": "layer", "groups": 4},
    {"subsampling": 6, "chunk_ms": 60, "chunks_ms": (), "left_chunks": 3, "groups": 1},
    {"subsampling": 8, "chunk_ms": 160, "chunks_ms": (80, 160), "left_chunks": 0, "kernel": 1},
]
TOLERANCE = 2e-5


@functools.cache
def network(**sizes: Any) -> Network:
    """Return a random model that emits a token now and then."""
    made = tiny_network(1, other_encoder=Conformer(**{**SIZES, **sizes}))
    arrays = dict(made.arrays)
    for name, array in arrays.items():
        if name.startswith("encoder.") and name.endswith("scale"):
            arrays[name] = 1.0 + array
    arrays["joint.output.bias"] = arrays["joint.output.bias"].copy()
    arrays["joint.output.bias"][-1] += 1.5
    return Network(made.specification, arrays, made.tokenizer, made.notes)


@functools.cache
def files(kind: str = "float32") -> dict[str, bytes]:
    return build(network(), inside=True, ranges=ranges() if kind == "int8" else None)


@functools.cache
def ranges() -> Ranges:
    return Calibration(network(), calibrating(network()), recordings()[-2:]).ranges()


def backend(kind: str, chunk_ms: int) -> Backend:
    made = network().with_chunk(chunk_ms)
    if kind == "numpy":
        return load_backend("numpy", made)
    return OnnxBackend(
        made, {n: g for n, g in files(kind).items() if (".int8." in n) == (kind == "int8")}
    )


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def encode(made: Backend, x: Any, present: Any = None) -> Any:
    return made.encode(x, made.initial_state(len(x))[0], present)[0]


@pytest.mark.parametrize("sizes", OTHERS)
def test_one_graph_computes_what_numpy_does_with_chunks_of_any_length(sizes: Any) -> None:
    graphs = build(network(**sizes), inside=True)
    for chunk_ms in network(**sizes).specification.encoder.chunk_lengths:
        made = network(**sizes).with_chunk(chunk_ms)
        encoder = made.specification.encoder
        x = noise(2, 9 * encoder.chunk_inputs, 80)
        present = np.ones(x.shape[:2], np.bool_)
        present[1, -encoder.chunk_inputs - 3 :] = False
        x[~present] = np.nan
        want = encode(load_backend("numpy", made), x, present)
        got = encode(OnnxBackend(made, graphs), x, present)
        np.testing.assert_allclose(got[0], want[0], rtol=0, atol=TOLERANCE)
        heard = int(encoder.frames(present[1].sum()))
        np.testing.assert_allclose(got[1, :heard], want[1, :heard], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_rows_of_any_age_are_what_they_are_alone_and_nan_stays_in_its_row(kind: str) -> None:
    made = backend(kind, 120)
    old, new = noise(1, 12 * 30, 80), noise(1, 12 * 4, 80, seed=1)
    _, aged = made.encode(old, made.initial_state(1)[0])
    fresh, broken = made.initial_state(1)[0], made.initial_state(1)[0]
    state = tuple(np.concatenate(each) for each in zip(aged, fresh, broken, strict=True))
    x = np.concatenate([new, new, np.full_like(new, np.nan)])
    together, _ = made.encode(x, state)
    for row, before in enumerate((aged, fresh)):
        np.testing.assert_array_equal(together[row], made.encode(new, before)[0][0])
    assert kind == "int8" or np.isnan(together[2]).all()


def test_a_stream_that_is_old_says_what_a_younger_one_with_the_same_past_does() -> None:
    """All that a layer sees of the past is in its window, whose places do not count a stream's age."""
    made = backend("float32", 240)
    past, x = noise(1, 24 * 8, 80), noise(1, 24, 80, seed=1)
    _, state = made.encode(past, made.initial_state(1)[0])
    for _ in range(200):
        _, state = made.encode(noise(1, 24, 80, seed=2), state)
    _, old = made.encode(past, state)
    _, young = made.encode(past, made.encode(noise(1, 24, 80, seed=2), made.initial_state(1)[0])[1])
    np.testing.assert_allclose(
        made.encode(x, old)[0], made.encode(x, young)[0], rtol=0, atol=TOLERANCE
    )


def test_int8_is_near_to_float32_and_its_rows_are_independent_bit_for_bit() -> None:
    x = noise(3, 24 * 10, 80)
    want, got = (encode(backend(kind, 240), x) for kind in ("float32", "int8"))
    deviation = np.sqrt(((want - want.mean(axis=(0, 1))) ** 2).mean())
    assert 0.0 < np.sqrt(((want - got) ** 2).mean()) < 0.2 * deviation
    assert rows_are_independent(backend("int8", 240))


@pytest.mark.parametrize("shape", ["conformer-s", "conformer-m", "conformer-l"])
def test_rows_of_the_named_shapes_are_independent_with_short_chunks_too(shape: str) -> None:
    named = random.shape(shape, network().specification).encoder
    assert isinstance(named, Conformer)
    sizes = {"depth": 6, "size": 8 * named.mamba_heads, "mamba_every": 2, "feed_forward": 32}
    small = msgspec.structs.replace(named, **sizes)
    made = tiny_network(1, other_encoder=small)
    found = Calibration(made, calibrating(made), recordings()[-1:]).ranges()
    graphs = {n: g for n, g in build(made, inside=True, ranges=found).items() if ".int8." in n}
    for chunk_ms in small.chunk_lengths[:2]:
        assert rows_are_independent(OnnxBackend(made.with_chunk(chunk_ms), graphs))


def test_u8_weights_for_cpus_without_vnni_give_the_same_bits() -> None:
    graphs = {name: graph for name, graph in files("int8").items() if ".int8." in name}
    unsigned = {name: unsigned_weights(graph) for name, graph in graphs.items()}
    assert unsigned["encoder.int8.onnx"] != graphs["encoder.int8.onnx"]
    x = noise(2, 24, 80)
    want, got = (encode(OnnxBackend(network(), each), x) for each in (graphs, unsigned))
    np.testing.assert_array_equal(got, want)


def test_standard_operators_compute_the_same_but_for_rounding() -> None:
    made = build(network(), inside=True, ranges=ranges(), standard=True)
    standard = {name: graph for name, graph in made.items() if ".int8." in name}
    domains = {
        node.domain for node in onnx.load_from_string(standard["encoder.int8.onnx"]).graph.node
    }
    assert domains == {""}
    x = noise(2, 24, 80)
    got = encode(OnnxBackend(network(), standard), x)
    np.testing.assert_allclose(got, encode(backend("int8", 120), x), rtol=0, atol=1e-5)


def test_layers_in_float_leave_int8_with_the_weights_of_the_model() -> None:
    names = network().specification.encoder.layers()
    made = build(network(), inside=True, ranges=ranges(), float_layers=[*names, "joint.encoder"])
    rounded = OnnxBackend(network(), {n: g for n, g in made.items() if ".int8." in n})
    x = noise(2, 24, 80)
    np.testing.assert_array_equal(encode(rounded, x), encode(backend("float32", 120), x))


@pytest.fixture
def two_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify on two of the bundled recordings, of a second each, for speed."""
    for name in ("export.model_directory", "export.checks.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])


@pytest.mark.usefixtures("two_recordings")
def test_what_is_exported_says_the_same_in_chunks_of_each_length(tmp_path: Path) -> None:
    exported = export(network(), tmp_path / "model", most_loss=1e9)
    assert exported.difference < TOLERANCE
    assert exported.int8 is not None
    read, counts = open_model(tmp_path / "model"), []
    for chunk_ms in (40, 120, 240):
        made = read.with_chunk(chunk_ms)
        for recording in recordings()[-4:]:
            want, got = (
                [(token.id, token.step) for token in of.transcribe(recording.read()).tokens]
                for of in (Recogniser(made, "numpy"), Recogniser(made, "onnx"))
            )
            assert got == want
            counts.append(len(got))
    assert sum(counts) > 20


@pytest.mark.usefixtures("two_recordings")
def test_int8_that_loses_too_much_is_refused_with_the_layers_that_cost_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A calibration that misses the large values of one layer."""
    narrow = replace(ranges(), layers={**ranges().layers, "encoder.1.mamba.output": 1e-3})
    monkeypatch.setattr("export.model_directory.Calibration.ranges", lambda self: narrow)
    monkeypatch.setattr("export.model_directory.verify", lambda *_: 0.0)
    with pytest.raises(PrecisionError) as error:
        export(network(), tmp_path / "model")
    assert next(iter(error.value.layers)) == "encoder.1"
    assert error.value.float_layers[0] == "encoder.1"


def cast_cache(graph: Any) -> None:
    """Give the new keys and values out in the precision of float16."""
    (node,) = (each for each in graph.node if list(each.output) == ["attention.0.new"])
    graph.node.remove(node)
    graph.node.append(
        helper.make_node("Cast", list(node.input), ["half"], to=onnx.TensorProto.FLOAT16)
    )
    graph.node.append(
        helper.make_node("Cast", ["half"], ["attention.0.new"], to=onnx.TensorProto.FLOAT)
    )


def shift_queries(graph: Any) -> None:
    """Rotate queries as if each stood one frame later."""
    for tensor in graph.initializer:
        if tensor.name.startswith("queries."):
            values = np.roll(numpy_helper.to_array(tensor), -1, axis=0)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def scale_by_batch(graph: Any) -> None:
    """Take the scale of each layer's input from the batch."""
    nodes = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and node.input[1].endswith(".x.scale"):
            x, scale = node.input[0], f"{node.name}.dynamic"
            nodes.append(helper.make_node("Abs", [x], [f"{scale}.abs"]))
            nodes.append(
                helper.make_node("ReduceMax", [f"{scale}.abs"], [f"{scale}.max"], keepdims=0)
            )
            nodes.append(helper.make_node("Mul", [f"{scale}.max", "step"], [scale]))
            node.input[1] = scale
        nodes.append(node)
    graph.initializer.append(numpy_helper.from_array(np.array(1 / 127, np.float32), "step"))
    del graph.node[:]
    graph.node.extend(nodes)


FAULTS: dict[str, tuple[str, Callable[[Any], None], str]] = {
    "a cache in float16": ("encoder.onnx", cast_cache, "encoder output differs by"),
    "another origin of the rotation": ("encoder.onnx", shift_queries, "encoder output differs by"),
    "scales of the batch": ("encoder.int8.onnx", scale_by_batch, "int8 graph: a row's encoder"),
}


@pytest.mark.usefixtures("two_recordings")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_graph_that_is_broken_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    name, change, message = FAULTS[fault]
    found = ranges()

    def broken(*given: Any, **formats: Any) -> dict[str, bytes]:
        made = build(*given, **formats)
        model = onnx.load_from_string(made[name])
        change(model.graph)
        return {**made, name: model.SerializeToString()}

    monkeypatch.setattr(builder, "build", broken)
    monkeypatch.setattr(builder, "calibrating", lambda _: None)
    calibration = SimpleNamespace(ranges=lambda: found)
    monkeypatch.setattr("export.model_directory.Calibration", lambda *_: calibration)
    with pytest.raises(ExportError, match=message):
        export(network(), tmp_path / "model", int8=name == "encoder.int8.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("two_recordings")
def test_a_start_that_is_not_masked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zeros of an empty cache take part in attention."""
    monkeypatch.setattr(attention, "LOWEST", 0.0)
    with pytest.raises(ExportError, match="encoder output differs by"):
        export(network(), tmp_path / "model", int8=False)


def test_states_are_named_and_caches_are_told_from_what_a_step_replaces() -> None:
    made = backend("float32", 120)
    assert isinstance(made, OnnxBackend)
    names = dict(zip(made.state_names, made.caches or (), strict=True))
    assert names == {
        "subsampling.0": False,
        "subsampling.1": False,
        "filled": True,
        "attention.0": True,
        "convolution.0": True,
        "mamba_convolution.1": True,
        "mamba.1": False,
        "convolution.1": True,
        "attention.2": True,
        "convolution.2": True,
    }
    assert all(leaf.dtype == np.float32 for leaf in leaves_of(made.initial_state(1)[0]))


def test_what_computes_lstms_alone_refuses_the_family_in_one_sentence(tmp_path: Path) -> None:
    whose = "is for LSTM layers, and the model's encoder is of the family 'conformer'$"
    with pytest.raises(ModelError, match=f"^a hardware checkpoint {whose}"):
        from_network(network(), "1.4")
    for name in ("bfp16", "integer"):
        with pytest.raises(ModelError, match=whose):
            load_backend(name, network())
    with pytest.raises(ModelError, match=f"^a quantisation {whose}"):
        quantised(network())
