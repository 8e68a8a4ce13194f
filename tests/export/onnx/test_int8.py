"""int8 graphs: near float32, exact in any batch, with layers in float or the scales of integers."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.build import build, int8_arrays
from export.model_directory import export
from export.onnx.ranges import Ranges
from stream.audio import read_audio
from stream.backends import Backend, load_backend
from stream.bundled import model_path, recordings
from stream.engine.engine import Engine, Result
from stream.model import directory
from stream.model.network import Network, open_model
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError
from stream.stage import map_state
from tests.tiny import quiet_network, tiny_network, tiny_specification

RANGES = Ranges(x=6.0, joint=6.0)
SIZES: list[dict[str, Any]] = [
    {},
    {"activation": "soft"},
    {"pre_layers": 2, "post_layers": 3, "prediction_layers": 2, "hidden": 24, "joint": 7},
    {"hidden": 96, "joint": 40, "prediction_hidden": 33, "activation": "soft", "post_layers": 2},
    {"hidden": 1, "joint": 1, "prediction_hidden": 1},
]


@functools.cache
def backends(float_layers: tuple[str, ...] = (), **specification: Any) -> tuple[Backend, Backend]:
    """Float32 and int8 of a random network."""
    network = tiny_network(3, **specification)
    return load_backend("numpy", network), loaded(network, float_layers)


def loaded(
    network: Network, float_layers: tuple[str, ...] = (), ranges: Ranges = RANGES
) -> Backend:
    """Load the int8 graphs of a network from a model directory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        directory.write(network, path, build(network, ranges=ranges, float_layers=float_layers))
        return load_backend("int8", open_model(path))


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def run(backend: Backend, x: NDArray[np.float32], present: Any = None) -> tuple[Any, Any]:
    """Encode, and after every encoder frame predict and join; returns f and the logits."""
    rows = len(x)
    encoder, prediction = backend.initial_state(rows)
    f, _ = backend.encode(x, encoder, present)
    token, logits = np.full(rows, backend.specification.blank), []
    for step in range(f.shape[1]):
        g, prediction = backend.predict(token, prediction)
        logits.append(backend.join(f[:, step], g))
        token = np.full(rows, step % backend.specification.vocabulary)
    return f, np.stack(logits, axis=1)


@pytest.mark.parametrize("specification", SIZES[:4], ids=str)
def test_int8_is_near_float32(specification: dict[str, Any]) -> None:
    x = noise(6, 24, 240)
    for want, got in zip(*(run(backend, x) for backend in backends(**specification)), strict=True):
        error = np.sqrt(np.mean((want - got) ** 2) / np.mean((want - want.mean()) ** 2))
        assert 0.0 < error < 0.1


@pytest.mark.parametrize("specification", SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 2, 3, 8, 16, 33])
def test_a_row_is_bit_for_bit_the_same_in_any_batch_and_slot(
    specification: dict[str, Any], batch: int
) -> None:
    _, backend = backends(**specification)
    (row,) = noise(1, 12, 240)
    want = run(backend, row[None])
    for slot in range(0, batch, 5):
        x = 10.0 * noise(batch, 12, 240, seed=slot + 1)
        x[slot] = row
        for alone, together in zip(want, run(backend, x), strict=True):
            np.testing.assert_array_equal(together[slot], alone[0])


def test_a_row_of_the_bundled_models_size_is_the_same_in_any_batch(tmp_path: Path) -> None:
    network = open_model(model_path())
    directory.write(network, tmp_path / "m", build(network, ranges=Ranges(8.0, 20.0)))
    backend = load_backend("int8", open_model(tmp_path / "m"))
    x = noise(70, 8, 240)
    f, logits = run(backend, x)
    for count in (1, 7, 64):
        for all_rows, some in zip((f, logits), run(backend, x[-count:]), strict=True):
            np.testing.assert_array_equal(some, all_rows[-count:])


def test_forty_streams_out_of_phase_say_what_each_says_alone_to_the_bit(tmp_path: Path) -> None:
    network = open_model(model_path())
    directory.write(network, tmp_path / "m", build(network, ranges=Ranges(8.0, 20.0)))
    network = open_model(tmp_path / "m")
    backend = load_backend("int8", network)
    audio = [read_audio(recording.audio) for recording in recordings()]
    rng = np.random.default_rng(0)
    shared = Engine(network, backend, 40)
    rest, begins, found = {}, {}, dict[int, list[Result]]()
    for _ in range(40):
        slot = shared.open()
        assert slot is not None
        rest[slot], begins[slot], found[slot] = audio[slot % len(audio)], rng.integers(30), []
    ticks = 0
    while rest or shared.pending():
        for slot in [slot for slot in rest if begins[slot] <= ticks]:
            count = int(rng.integers(1, 2000))
            shared.push(slot, rest[slot][:count])
            rest[slot] = rest[slot][count:]
            if not len(rest[slot]):
                shared.finish(slot)
                del rest[slot]
        for result in shared.tick():
            found[result.slot].append(result)
        ticks += 1
    for n, samples in enumerate(audio):
        alone = Engine(network, backend, 1)
        alone.open()
        alone.push(0, samples)
        alone.finish(0)
        results: list[Result] = []
        while alone.pending():
            results += alone.tick()
        want = [token for result in results for token in result.tokens]
        assert want
        for slot in range(n, 40, len(audio)):
            assert [token for result in found[slot] for token in result.tokens] == want


def test_a_frame_past_the_end_is_a_zero_half_of_its_pair() -> None:
    reference, backend = backends()
    x = noise(2, 4, 240)
    present = np.array([[True, True, True, False], [True, True, True, True]])
    f, _ = run(backend, x, present)
    np.testing.assert_array_equal(f[1], run(backend, x)[0][1])
    assert np.abs(f[0] - run(backend, x)[0][0]).max() > 0.05
    np.testing.assert_allclose(f, run(reference, x, present)[0], rtol=0, atol=0.05)


def test_blank_as_a_token_is_a_zero_vector() -> None:
    reference, backend = backends()
    tokens = np.array([reference.specification.blank, 4])
    want, got = (b.predict(tokens, b.initial_state(2)[1])[0] for b in (reference, backend))
    np.testing.assert_allclose(got, want, rtol=0, atol=0.03)


def test_weights_are_rounded_by_column_to_the_nearest() -> None:
    network = tiny_network()
    arrays = int8_arrays(network, RANGES)
    weight, scale = arrays["joint.output.weight"], arrays["joint.output.scale"]
    assert weight.dtype == np.int8 and np.abs(weight.astype(int)).max(axis=0).tolist() == [127] * 21
    dequantised = (weight * (scale / (RANGES.joint / 255))).T
    step = np.abs(network.arrays["joint.output.weight"]).max(axis=1) / 127
    assert (
        np.abs(dequantised - network.arrays["joint.output.weight"]) <= 0.501 * step[:, None]
    ).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_a_range_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="int8: the range of joint is"):
        Ranges(1.0, value)


def test_a_model_without_int8_is_told_how_to_get_it() -> None:
    with pytest.raises(ModelError, match="has no int8 graphs; write them: python -m export.onnx"):
        load_backend("int8", tiny_network())


def test_int8_of_the_bundled_model_says_nearly_the_same(tmp_path: Path) -> None:
    """One of the 42 words of its recordings may be lost; the card has thousands."""
    exported = export(open_model(model_path()), tmp_path / "model", most_loss=1.5 / 42)
    assert exported.int8 is not None
    size = sum(file.stat().st_size for file in (tmp_path / "model").iterdir())
    assert size < 24e6


def test_without_int8_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("export.model_directory", "export.checks.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])
    exported = export(quiet_network(), tmp_path / "model", int8=False)
    assert exported.int8 is None
    assert not directory.INT8 & {file.name for file in (tmp_path / "model").iterdir()}


DEEP: dict[str, Any] = {"pre_layers": 2, "post_layers": 2, "prediction_layers": 2, "hidden": 24}
ALL = tiny_specification(**DEEP).layer_names
KEPT = [
    *[(layer,) for layer in ALL],
    ("encoder.pre.0", "joint.output"),
    ("encoder.pre.1", "encoder.post.0", "prediction.lstm.0", "joint.encoder"),
    ALL,
]


@pytest.mark.parametrize("activation", ["hard", "soft"])
@pytest.mark.parametrize("kept", KEPT, ids=",".join)
def test_a_row_with_layers_in_float_is_the_same_in_any_batch_and_slot(
    kept: tuple[str, ...], activation: str
) -> None:
    _, backend = backends(kept, activation=activation, **DEEP)
    (row,) = noise(1, 12, 240)
    want = run(backend, row[None])
    for batch, slot in ((2, 1), (3, 0), (8, 7), (33, 20)):
        x = 10.0 * noise(batch, 12, 240, seed=slot + 1)
        x[slot] = row
        for alone, together in zip(want, run(backend, x), strict=True):
            np.testing.assert_array_equal(together[slot], alone[0])


@pytest.mark.parametrize("activation", ["hard", "soft"])
def test_with_all_layers_in_float_it_is_float32(activation: str) -> None:
    x = noise(3, 24, 240)
    present = np.ones((3, 24), np.bool_)
    present[0, -1] = False
    reference, backend = backends(ALL, activation=activation, **DEEP)
    for want, got in zip(*(run(b, x, present) for b in (reference, backend)), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def outlier(network: Network, layer: str) -> Network:
    """Return the network with weights of a first input that leave int8 no steps for the others."""
    arrays = dict(network.arrays)
    arrays["prediction.embedding"] = arrays["prediction.embedding"].copy()
    arrays["prediction.embedding"][:, 0] = 0.0
    name = next(f"{layer}.{k}" for k in ("weight_ih", "weight") if f"{layer}.{k}" in arrays)
    arrays[name] = arrays[name].copy()
    arrays[name][:, 0] = 1000.0
    return Network(network.specification, arrays, network.tokenizer, network.notes)


def test_a_layer_in_float_computes_what_float32_does_with_an_outlier_too() -> None:
    layers = ("encoder.pre.0", "prediction.lstm.0", "joint.output")
    network = tiny_network(3)
    for layer in layers:
        network = outlier(network, layer)
    x, tokens, (f, g) = noise(3, 8, 240), np.array([4, 20, 0]), noise(2, 3, 16)
    x[..., 0] = 0.0
    f[:, 0] = g[:, 0] = -1.0  # the ReLU makes them 0

    def results(backend: Backend) -> list[NDArray[np.float32]]:
        encoder, prediction = backend.initial_state(3)
        leaves: list[NDArray[np.float32]] = []
        map_state(leaves.append, backend.encode(x, encoder)[1])
        map_state(leaves.append, backend.predict(tokens, prediction)[1])
        return [*leaves[:2], *leaves[-2:], backend.join(f, g)]  # of the first layers

    for want, kept, rounded in zip(
        *(results(b) for b in (load_backend("numpy", network), loaded(network, layers))),
        results(loaded(network)),
        strict=True,
    ):
        np.testing.assert_allclose(kept, want.reshape(kept.shape), rtol=1e-5, atol=1e-5)
        if rounded.dtype == np.float32:
            assert np.abs(rounded - want.reshape(kept.shape)).max() > 0.05


def test_layers_in_float_are_not_stored_again() -> None:
    network = tiny_network(3)
    all_int8, kept = (
        int8_arrays(network, RANGES, layers)
        for layers in ((), ("encoder.pre.0", "prediction.lstm.0"))
    )
    left_out = {name for name in all_int8 if name not in kept}
    assert left_out == {
        "prediction.embedding",
        *(
            f"{layer}{part}.{kind}"
            for layer in ("encoder.pre.0", "prediction.lstm.0")
            for part in ("", ".input")
            for kind in ("weight", "scale", "bias")
        ),
    }


def test_a_layer_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="float_layers names 'encoder.pre.7', the layers are enc"):
        build(tiny_network(), ranges=RANGES, float_layers=["encoder.pre.0", "encoder.pre.7"])


@pytest.mark.parametrize(("input_exponent", "joint"), [(4, 3), (0, -6), (7, 15)])
def test_the_ranges_of_integers_give_their_scales(input_exponent: int, joint: int) -> None:
    ranges = Ranges.of(Quantisation(input=input_exponent, joint=joint))
    arrays = int8_arrays(tiny_network(), ranges)
    assert arrays["x.scale"] == 2.0**-input_exponent
    assert arrays["joint.scale"] == 2.0**-joint
