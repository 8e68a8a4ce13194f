"""Integer graphs against the NumPy integers: the same bits, whatever the shifts, the batch, the values."""

from __future__ import annotations

import functools
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.places import VECTORS

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

import onnx

from export.build import build, build_integers
from export.onnx.integer import projection_graph
from export.onnx.joint import joint_graph
from export.onnx.lstm import layer_graph
from hwckpt.conformance.integer import KINDS
from stream.backends import Backend
from stream.backends.integer import FLOAT32_EXACT, IntegerBackend
from stream.backends.integer_onnx import check_equal, graph_state
from stream.backends.onnx import OnnxBackend
from stream.backends.session import open_session
from stream.bundled import model_path, recordings
from stream.integer import fixed
from stream.integer.network import IntegerLayer, IntegerLinear, IntegerNetwork, to_integers
from stream.manifest import read_manifest
from stream.model import directory
from stream.model.network import Network, open_model
from stream.stage import map_state
from stream.validation import validate
from tests.tiny import quantised, tiny_network

SIZES: list[dict[str, Any]] = [
    {},
    {"pre_layers": 2, "post_layers": 3, "prediction_layers": 2, "hidden": 24, "joint": 7},
    {"hidden": 96, "joint": 40, "prediction_hidden": 33, "post_layers": 2},
    {"hidden": 1, "joint": 1, "prediction_hidden": 1},
]
LAYERS = ("pre", "post", "prediction")
ANOTHER_SEED = 23


def scaled(network: Network, gain: float) -> Network:
    """Return the network with LSTM weights that are so many times as large."""
    arrays = {
        name: np.float32(gain) * array if ".weight_" in name else array
        for name, array in network.arrays.items()
    }
    return replace(network, arrays=arrays)


def graphs(integers: IntegerNetwork) -> OnnxBackend:
    network = tiny_network()  # whose specification is not asked for
    backend = OnnxBackend(network, build_integers(integers, inside=True))
    backend.specification = integers.specification
    return backend


def both(network: Network) -> tuple[IntegerBackend, OnnxBackend]:
    integers = to_integers(network)
    return IntegerBackend(integers), graphs(integers)


def frames(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return normalised frames, some of which saturate."""
    return (3.0 * np.random.default_rng(seed).standard_normal((*shape, 240))).astype(np.float32)


def run(backend: Backend, x: NDArray[np.float32], present: Any = None) -> list[NDArray[Any]]:
    """Return f, all g, all logits, and the leaves of both states, as the graphs have them."""
    encoder, prediction = backend.initial_state(len(x))
    f, encoder = backend.encode(x, encoder, present)
    classes = backend.specification.vocabulary + 1
    predicted, logits = [], []
    for step in range(f.shape[1]):
        tokens = (np.arange(len(x)) * 7 + step * 3 - 1) % classes  # the start of a sequence too
        g, prediction = backend.predict(tokens, prediction)
        predicted.append(g)
        logits.append(backend.join(f[:, step], g))
    states = [encoder, prediction]
    if isinstance(backend, IntegerBackend):
        states = [graph_state(state) for state in states]
    leaves: list[NDArray[Any]] = []
    map_state(leaves.append, tuple(states))
    return [f, np.stack(predicted, axis=1), np.stack(logits, axis=1), *leaves]


def assert_same(want: list[NDArray[Any]], got: list[NDArray[Any]]) -> None:
    for a, b in zip(want, got, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("gain", [1.0, 3.0, 20.0])
@pytest.mark.parametrize("specification", SIZES, ids=str)
def test_the_graphs_compute_the_integers(specification: dict[str, Any], gain: float) -> None:
    reference, backend = both(quantised(scaled(tiny_network(3, **specification), gain)))
    for batch in (1, 2, 3, 8, 33):
        x = frames(batch, 24)
        present = np.random.default_rng(batch).random(x.shape[:2]) < 0.8
        present[:, ::2] = True  # of a pair only the second half can be missing
        for mask in (None, present):
            assert_same(run(reference, x, mask), run(backend, x, mask))


def test_large_weights_reach_both_ends_of_the_cell_and_of_h() -> None:
    reference, backend = both(quantised(scaled(tiny_network(3, **SIZES[1]), 60.0)))
    x = frames(33, 160)
    want = run(reference, x)
    cells = np.concatenate([a.ravel() for a in want if a.dtype == np.int16])
    hidden = np.concatenate([a.ravel() for a in want if a.dtype == np.uint8])
    assert (cells.min(), cells.max()) == (-32768, 32767)
    assert (hidden.min(), hidden.max()) == (0, 255)
    assert_same(want, run(backend, x))


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 16, 33])
def test_a_row_is_bit_for_bit_the_same_in_any_batch_and_slot(batch: int) -> None:
    backend = graphs(to_integers(quantised(tiny_network(3, **SIZES[2]))))
    (row,) = frames(1, 12)
    want, _ = backend.encode(row[None], backend.initial_state(1)[0])
    for slot in range(0, batch, 5):
        x = 10.0 * frames(batch, 12, seed=slot + 1)
        x[slot] = row
        got, _ = backend.encode(x, backend.initial_state(batch)[0])
        np.testing.assert_array_equal(got[slot], want[0])


def test_permuted_rows_give_permuted_results() -> None:
    backend = graphs(to_integers(quantised(tiny_network(3))))
    x, order = frames(17, 8), np.random.default_rng(0).permutation(17)
    want, state = backend.encode(x, backend.initial_state(17)[0])
    got, permuted = backend.encode(x[order], backend.initial_state(17)[0])
    np.testing.assert_array_equal(got, want[order])
    map_state(lambda a, b: np.testing.assert_array_equal(b, a[order]), state, permuted)


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 10), max_size=6))
def test_any_chunking_of_one_equals_the_whole_of_the_other(cuts: list[int]) -> None:
    reference, backend = chunked()
    x = frames(3, 20)
    want, state = reference.encode(x, reference.initial_state(3)[0])
    after, parts = backend.initial_state(3)[0], []
    for chunk in np.split(x, [2 * cut for cut in sorted(cuts)], axis=1):
        f, after = backend.encode(chunk, after)
        parts.append(f)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), want)
    map_state(np.testing.assert_array_equal, graph_state(state), after)


@functools.cache
def chunked() -> tuple[IntegerBackend, OnnxBackend]:
    return both(quantised(tiny_network(5, post_layers=2)))


def with_layers(integers: IntegerNetwork, change: Any) -> IntegerNetwork:
    """Return the integers with every LSTM layer changed, bounds made right again."""

    def changed(layer: IntegerLayer) -> IntegerLayer:
        new: IntegerLayer = replace(layer, **change(layer))
        sums = [
            128 * np.abs(w.astype(np.int64)).sum(axis=1) << left
            for w, left in ((new.weight_ih, new.shift_x), (new.weight_hh, new.shift_h))
        ]
        bound = sums[0] + sums[1] + np.abs(new.bias.astype(np.int64))
        assert (bound + (1 << (new.shift + 14)) + (1 << new.shift) < 1 << 31).all()
        return replace(new, bound=bound)

    return replace(
        integers, **{name: tuple(map(changed, getattr(integers, name))) for name in LAYERS}
    )


@settings(max_examples=40)
@given(
    shift_x=st.integers(0, 7),
    shift_h=st.integers(0, 9),
    shift=st.integers(0, 16),
    bits=st.sampled_from([4, 8]),
    hidden=st.integers(1, 20),
    rows=st.integers(1, 9),
    seed=st.integers(0, 999),
)
@example(shift_x=0, shift_h=0, shift=0, bits=8, hidden=16, rows=8, seed=0)
@example(shift_x=7, shift_h=0, shift=16, bits=8, hidden=16, rows=8, seed=0)
@example(shift_x=0, shift_h=9, shift=12, bits=4, hidden=16, rows=8, seed=0)
def test_any_shifts_and_weights_are_computed_from_any_state(
    shift_x: int, shift_h: int, shift: int, bits: int, hidden: int, rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    most = 2 ** (bits - 1) - 1

    def change(layer: IntegerLayer) -> dict[str, Any]:
        def weight(like: NDArray[np.int8]) -> NDArray[np.int8]:
            return rng.integers(-most, most, like.shape, endpoint=True).astype(np.int8)

        reach = 1 << min(shift + 15, 30)
        bias = rng.integers(-reach, reach, layer.bias.shape, endpoint=True) // 4
        return {
            "weight_ih": weight(layer.weight_ih),
            "weight_hh": weight(layer.weight_hh),
            "bias": bias.astype(np.int32),
            "shift_x": shift_x,
            "shift_h": shift_h,
            "shift": shift,
        }

    network = quantised(tiny_network(hidden=hidden, prediction_hidden=hidden))
    integers = with_layers(to_integers(network), change)
    check_equal(integers, graphs(integers), rows, seed)


def operators(content: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(content).graph.node)


@pytest.mark.parametrize("short", [1, 0])
def test_the_bound_decides_between_float32_and_wider_sums(short: int) -> None:
    """A bound one short of 2^24 is the last that float32 holds."""
    integers = to_integers(quantised(tiny_network(3)))
    layer = integers.prediction[0]
    row = 0
    bias = layer.bias.copy()
    offset = 16384 << layer.shift
    products = int(layer.bound[row]) - abs(int(bias[row]))
    bias[row] = FLOAT32_EXACT - short - offset - products

    def change(of: IntegerLayer) -> dict[str, Any]:
        return {"bias": bias} if of is layer else {}

    changed = with_layers(integers, change)
    assert changed.prediction[0].bound[row] + offset == FLOAT32_EXACT - short
    found = operators(build_integers(changed)["prediction.integer.onnx"])
    assert (found["MatMulInteger"], found["MatMulIntegerToFloat"]) == ((0, 3) if short else (2, 1))
    check_equal(changed, graphs(changed), 8)


@pytest.mark.parametrize("bias", [0, 60_000_000])
def test_projections_and_logits_that_float32_cannot_hold_are_exact(bias: int) -> None:
    integers = to_integers(quantised(tiny_network(3)))
    rng = np.random.default_rng(0)
    changed: dict[str, Any] = {}
    for name in ("joint_encoder", "joint_prediction", "joint_output"):
        linear = getattr(integers, name)
        added = rng.integers(-bias, bias, linear.bias.shape, endpoint=True)
        # Some rows stay within int16 after the shift, and must not become coarser there.
        added[::2] = 0
        changed[name] = replace(
            linear,
            bias=(linear.bias + added).astype(np.int32),
            bound=linear.bound + np.abs(added),
        )
    integers = replace(integers, **changed)
    backend = graphs(integers)
    check_equal(integers, backend, 8)
    f = np.zeros((1, 16), np.float32)
    assert backend.join(f, f).dtype == (np.float64 if bias else np.float32)


def test_every_tie_of_the_cell_goes_to_the_even_one() -> None:
    """With gates of one half, half of all c are ties of c / 2, and every 64th of those of h."""

    def change(layer: IntegerLayer) -> dict[str, Any]:
        zeros = {name: np.zeros_like(getattr(layer, name)) for name in ("weight_ih", "weight_hh")}
        return {**zeros, "bias": np.zeros_like(layer.bias)}

    integers = with_layers(to_integers(quantised(tiny_network(prediction_hidden=256))), change)
    c = np.arange(-32768, 32768).astype(np.int16).reshape(256, 256)
    h = np.full((256, 256), 128, np.uint8)
    _, (got_h, got_c) = graphs(integers).predict(np.zeros(256, np.int64), (h, c))
    np.testing.assert_array_equal(got_c, np.rint(c / 2.0))
    np.testing.assert_array_equal(
        got_h.astype(int) - 128, np.rint(np.clip(np.rint(c / 2.0), -4096, 4096) / 64.0)
    )


@pytest.mark.parametrize("shift", [0, 1, 3, 9, 16])
def test_ties_and_limits_of_the_gates_are_those_of_the_definition(shift: int) -> None:
    """Accumulators at every tie around the gates' limits, the products being zero."""
    half = (1 << shift) // 2
    around = [n << shift for n in (-16384, -4096, -1, 0, 1, 2, 4095, 4096, 16383, 16384)]
    sums = np.array([a + d for a in around for d in (-half - 1, -half, -1, 0, 1, half, half + 1)])
    sums = sums[np.abs(sums) + (1 << (shift + 14)) + (1 << shift) < 1 << 31]

    def change(layer: IntegerLayer) -> dict[str, Any]:
        zeros = {name: np.zeros_like(getattr(layer, name)) for name in ("weight_ih", "weight_hh")}
        bias = np.resize(sums, layer.bias.shape).astype(np.int32)
        return {**zeros, "bias": bias, "shift": shift}

    # 83 units and 70 sums have no common factor: all meet all gates.
    integers = with_layers(to_integers(quantised(tiny_network(prediction_hidden=83))), change)
    backend, rng = graphs(integers), np.random.default_rng(0)
    c = rng.integers(-32768, 32767, (16, 83), np.int16, endpoint=True)
    h = np.full((16, 83), 128, np.uint8)
    _, (got_h, got_c) = backend.predict(np.zeros(16, np.int64), (h, c))
    acc = np.broadcast_to(integers.prediction[0].bias.astype(np.int64), (16, 4 * 83))
    want_h, want_c = fixed.lstm_cell(acc, c.astype(np.int64), shift)
    np.testing.assert_array_equal(got_c, want_c)
    np.testing.assert_array_equal(got_h.astype(int) - 128, want_h)


def test_inputs_round_half_to_even_and_saturate() -> None:
    integers = to_integers(quantised(tiny_network(3), input=4))
    reference, backend = IntegerBackend(integers), graphs(integers)
    halves = (np.arange(-300, 300) / 32.0).astype(np.float32)  # every tie, and beyond both ends
    x = np.resize(halves, (5, 4, 240))
    x[0, 0, :2] = -np.inf, np.inf
    x[1] = np.nextafter(x[1], np.float32(np.inf))
    want, _ = reference.encode(np.clip(x, -1e6, 1e6), reference.initial_state(5)[0])
    got, _ = backend.encode(x, backend.initial_state(5)[0])
    np.testing.assert_array_equal(got, want)


def test_files_are_a_function_of_the_integers_alone() -> None:
    network = quantised(tiny_network())
    first, second = (build_integers(to_integers(network)) for _ in range(2))
    assert first == second
    assert set(first) == directory.INTEGER
    assert all(len(first[name]) < 30_000 for name in directory.INTEGER_GRAPHS)  # no weights in them


def written(path: Path) -> Network:
    """Write the bundled model with integers, and read it."""
    network = quantised(open_model(model_path()), joint=4)
    directory.write(network, path, build(network, integers=True))
    return open_model(path)


def test_the_bundled_model_says_the_same_to_the_token(tmp_path: Path) -> None:
    network = written(tmp_path / "model")
    want, got = (
        validate(network, recordings(), backend=backend, reset_stats=True)
        for backend in ("integer", "integer-onnx")
    )
    assert any(outcome.tokens for outcome in want.utterances)
    assert got.utterances == want.utterances


def test_two_hundred_utterances_have_the_same_tokens(tmp_path: Path, speech: Path) -> None:
    network = written(tmp_path / "model")
    every = read_manifest(speech / "dev.jsonl")
    utterances = sorted(every, key=lambda utterance: utterance.duration)[:200]
    want, got = (
        validate(network, utterances, backend=backend, reset_stats=True)
        for backend in ("integer", "integer-onnx")
    )
    assert sum(len(outcome.tokens) for outcome in want.utterances) > 100
    assert got.utterances == want.utterances


FILES = {name: make for kind in KINDS for name, make in kind.files.items()}


def vectors(name: str, another_seed: bool) -> dict[str, Any]:
    """Return the arrays of a file of integer vectors, shipped or made with other sizes."""
    if not another_seed:
        with np.load(VECTORS / name) as file:
            return {key: file[key] for key in file.files}
    rng = np.random.default_rng([ANOTHER_SEED, zlib.crc32(name.encode())])
    return {key: np.asarray(a) for key, a in FILES[name](rng, Path()).items()}


def named(prefix: str) -> list[str]:
    return [name for name in FILES if name.startswith(prefix)]


def fields(kind: type[Any], z: dict[str, Any]) -> Any:
    names = [name for name in kind.__dataclass_fields__ if name in z]
    return kind(**{name: z[name].item() if not z[name].ndim else z[name] for name in names})


def session(graph: bytes) -> Any:
    return open_session(graph)


def u8(a: NDArray[Any]) -> NDArray[np.uint8]:
    return (a.astype(np.int16) + 128).astype(np.uint8)


@pytest.mark.parametrize("another_seed", [False, True])
@pytest.mark.parametrize("name", named("integer_lstm_"))
def test_the_layer_graph_gives_the_vectors(name: str, another_seed: bool) -> None:
    z = vectors(name, another_seed)
    graph = session(layer_graph(fields(IntegerLayer, z)))
    h, c = u8(z["h0"]), z["c0"].astype(np.int16)
    for n, frame in enumerate(z["x"]):
        given = {"x": u8(frame), "h.0": h, "c.0": c}
        h, c = graph.run(["h.0.after", "c.0.after"], given)
        np.testing.assert_array_equal(h.astype(int) - 128, z["h"][n])
        np.testing.assert_array_equal(c, z["c"][n])


@pytest.mark.parametrize("another_seed", [False, True])
@pytest.mark.parametrize("name", named("integer_projection_"))
def test_the_projection_graph_gives_the_vectors(name: str, another_seed: bool) -> None:
    z = vectors(name, another_seed)
    linear = fields(IntegerLinear, z)
    (e,) = session(projection_graph(linear)).run(["e"], {"h": u8(z["h"])})
    np.testing.assert_array_equal(np.ldexp(e, linear.exponent), z["e"])


@pytest.mark.parametrize("another_seed", [False, True])
def test_the_joint_graph_gives_the_vectors(another_seed: bool) -> None:
    z = vectors("integer_joint.npz", another_seed)
    linear, exponent = fields(IntegerLinear, z), 9
    e, g = (np.ldexp(z[name].astype(np.float32), -exponent) for name in "eg")
    (logits,) = session(joint_graph(linear, exponent)).run(["logits"], {"f": e, "g": g})
    np.testing.assert_array_equal(np.ldexp(logits, linear.exponent), z["logits"])
