"""The integer backend against the operators in int64, and in the engine."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from hwckpt.conformance.integer_transducer import trace
from stream.backends import load_backend
from stream.backends.integer import FLOAT32_EXACT, IntegerBackend
from stream.decoding.beam import BeamConfig
from stream.decoding.greedy import GreedyConfig
from stream.engine.engine import Engine
from stream.integer.network import to_integers
from stream.model.network import Network
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError
from stream.stage import map_state
from tests.tiny import tiny_network

SIZES: list[dict[str, Any]] = [
    {},
    {"pre_layers": 2, "post_layers": 3, "prediction_layers": 2, "hidden": 24, "joint": 7},
    {"hidden": 1, "joint": 1, "prediction_hidden": 1},
]


def made(seed: int = 3, bits: int = 8, *, wide: bool = False, **fields: Any) -> Network:
    """Return a tiny network for integers; a wide one has sums that float32 does not hold."""
    network = tiny_network(seed, **fields)
    layers = network.specification.layer_names
    quantisation = Quantisation(joint=5, weight_bits=dict.fromkeys(layers, bits))
    specification = msgspec.structs.replace(network.specification, quantisation=quantisation)
    arrays = dict(network.arrays)
    if wide:
        for name, array in arrays.items():
            if name.endswith("weight_ih"):
                arrays[name] = np.float32(60.0) * array
        arrays["joint.output.bias"] = network.arrays["joint.output.bias"] + np.float32(8000.0)
    return Network(specification, arrays, network.tokenizer)


def frames(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return normalised frames, some of which saturate."""
    return (3.0 * np.random.default_rng(seed).standard_normal((*shape, 240))).astype(np.float32)


def run(backend: Any, x: NDArray[np.float32], tokens: NDArray[np.int64]) -> dict[str, Any]:
    """Return encoder outputs, those of the prediction network, and the logits of every pair.

    Args:
        tokens: (B, U) after the start of sequence.
    """
    encoder, prediction = backend.initial_state(len(x))
    f, (pre, post) = backend.encode(x, encoder, present(x))
    start = np.full((len(x), 1), backend.specification.blank)
    outputs = []
    for column in np.concatenate([start, tokens], axis=1).T:
        g, prediction = backend.predict(column, prediction)
        outputs.append(g)
    g = np.stack(outputs, axis=1)
    states = {
        f"{stack}.{n}.{leaf}": value
        for stack, after in (("pre", pre), ("post", post), ("prediction", prediction))
        for n, state in enumerate(after)
        for leaf, value in zip("hc", state, strict=True)
    }
    return {"e": f, "g": g, "logits": backend.join(f[:, :, None], g[:, None]), **states}


def present(x: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which frames are: the second row ends within a pair."""
    mask = np.ones(x.shape[:2], np.bool_)
    mask[1:2, -1] = False
    return mask


TOKENS = np.arange(12).reshape(3, 4) * 5 % 21


@pytest.mark.parametrize("fields", SIZES, ids=str)
@pytest.mark.parametrize(("wide", "bits"), [(False, 8), (True, 8), (False, 4)])
def test_the_backend_computes_the_operators_bit_for_bit(
    fields: dict[str, Any], wide: bool, bits: int
) -> None:
    network = made(bits=bits, wide=wide, **fields)
    integers = to_integers(network)
    x = frames(3, 24)
    got = run(load_backend("integer", network), x, TOKENS)
    want = trace(integers, x, present(x), TOKENS)
    for name, linear in (
        ("e", integers.joint_encoder),
        ("g", integers.joint_prediction),
        ("logits", integers.joint_output),
    ):
        np.testing.assert_array_equal(got.pop(name), want[name] / 2.0**linear.exponent)
    for name, state in got.items():
        np.testing.assert_array_equal(state, want[name][:, -1])


def test_products_that_float32_cannot_hold_are_computed_in_float64() -> None:
    x = frames(2, 6)
    for wide, dtype in ((False, np.float32), (True, np.float64)):
        network = made(wide=wide)
        integers = to_integers(network)
        for bounded in (integers.joint_output, integers.pre[0]):
            assert (bounded.bound.max() > FLOAT32_EXACT) == wide
        got = run(IntegerBackend(integers), x, TOKENS[:2])
        assert [got[name].dtype for name in ("e", "g", "logits")] == [np.float32, np.float32, dtype]


def test_states_are_int8_and_int16_and_keep_their_type() -> None:
    backend = load_backend("integer", made())
    before = backend.initial_state(2)[0]
    _, after = backend.encode(frames(2, 2), before)
    for state in (before, after):
        types: list[Any] = []
        map_state(lambda leaf: types.append(leaf.dtype), state)  # noqa: B023
        assert types == [np.int8, np.int16] * 2


@pytest.mark.parametrize("batch", [1, 3, 8, 17])
def test_a_row_is_the_same_in_any_batch_and_slot(batch: int) -> None:
    backend = load_backend("integer", made(hidden=96, joint=40))
    (row,) = frames(1, 12)
    (alone,), _ = backend.encode(row[None], backend.initial_state(1)[0])
    for slot in range(batch):
        x = frames(batch, 12, seed=slot + 1)
        x[slot] = row
        f, _ = backend.encode(x, backend.initial_state(batch)[0])
        np.testing.assert_array_equal(f[slot], alone)


def test_any_cut_between_pairs_gives_the_same_bits() -> None:
    backend = load_backend("integer", made())
    x = frames(2, 12)
    state = backend.initial_state(2)[0]
    want, want_state = backend.encode(x, state)
    parts = []
    for begin, end in ((0, 2), (2, 2), (2, 8), (8, 12)):
        f, state = backend.encode(x[:, begin:end], state)
        parts.append(f)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), want)
    map_state(np.testing.assert_array_equal, state, want_state)


def test_it_is_near_the_float_network() -> None:
    network = made()
    x = frames(4, 20)
    got, want = (
        backend.encode(x, backend.initial_state(4)[0])[0]
        for backend in (load_backend(name, network) for name in ("integer", "numpy"))
    )
    assert np.sqrt(np.mean(np.square(got - want))) < 0.1 * np.sqrt(np.mean(np.square(want)))


@pytest.mark.parametrize("search", [GreedyConfig(), BeamConfig()])
@pytest.mark.parametrize("wide", [False, True])
def test_the_engine_hears_the_same_in_any_slot(
    search: GreedyConfig | BeamConfig, wide: bool
) -> None:
    network = made(wide=wide)
    audio = (0.1 * np.random.default_rng(5).standard_normal(16_000)).astype(np.float32)

    def heard(slots: int) -> list[str]:
        engine = Engine(network, load_backend("integer", network), slots, search)
        for slot in range(slots):
            engine.open()
            engine.push(slot, audio)
            engine.finish(slot)
        texts = [""] * slots
        while engine.pending():
            for result in engine.tick():
                texts[result.slot] += result.text
        return texts

    (alone,) = heard(1)
    assert alone
    assert heard(3) == [alone] * 3


def test_a_network_without_a_quantisation_is_refused() -> None:
    with pytest.raises(ModelError, match="has no quantisation"):
        load_backend("integer", tiny_network())
