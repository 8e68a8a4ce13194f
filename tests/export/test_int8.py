"""int8 graphs: near float32, exact in any batch, and what the export makes of their loss."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export import precision
from export.graphs import build_graphs
from export.int8 import Ranges, build_int8, quantise
from export.onnx import export, main
from export.precision import Precision
from stream import directory
from stream.audio import read_audio
from stream.backends import Backend, load_backend
from stream.bundled import model_path, recordings
from stream.engine import Engine, Result
from stream.network import ModelError, Network, open_model
from tests.tiny import tiny_network

RANGES = Ranges(x=6.0, joint=6.0)
SIZES: list[dict[str, Any]] = [
    {},
    {"activation": "soft"},
    {"pre_layers": 2, "post_layers": 3, "prediction_layers": 2, "hidden": 24, "joint": 7},
    {"hidden": 96, "joint": 40, "prediction_hidden": 33, "activation": "soft", "post_layers": 2},
    {"hidden": 1, "joint": 1, "prediction_hidden": 1},
]


@functools.cache
def backends(**specification: Any) -> tuple[Backend, Backend]:
    """Float32 and int8 of a random network."""
    network = tiny_network(3, **specification)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        graphs = build_graphs(network, directory.serialise(network))
        directory.write(network, path, {**graphs, **build_int8(network, RANGES)})
        return load_backend("numpy", network), load_backend("int8", open_model(path))


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
    graphs = build_graphs(network, directory.serialise(network))
    directory.write(network, tmp_path / "m", {**graphs, **build_int8(network, Ranges(8.0, 20.0))})
    backend = load_backend("int8", open_model(tmp_path / "m"))
    x = noise(70, 8, 240)
    f, logits = run(backend, x)
    for count in (1, 7, 64):
        for all_rows, some in zip((f, logits), run(backend, x[-count:]), strict=True):
            np.testing.assert_array_equal(some, all_rows[-count:])


def test_forty_streams_out_of_phase_say_what_each_says_alone_to_the_bit(tmp_path: Path) -> None:
    network = open_model(model_path())
    graphs = build_graphs(network, directory.serialise(network))
    directory.write(network, tmp_path / "m", {**graphs, **build_int8(network, Ranges(8.0, 20.0))})
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
    arrays = quantise(network, RANGES)
    weight, scale = arrays["joint.output.weight"], arrays["joint.output.scale"]
    assert weight.dtype == np.int8 and np.abs(weight.astype(int)).max(axis=0).tolist() == [127] * 21
    restored = (weight * (scale / (RANGES.joint / 255))).T
    step = np.abs(network.arrays["joint.output.weight"]).max(axis=1) / 127
    assert (np.abs(restored - network.arrays["joint.output.weight"]) <= 0.501 * step[:, None]).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_a_range_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="int8: the range of joint is"):
        Ranges(1.0, value)


def test_a_model_without_int8_is_told_how_to_get_it() -> None:
    with pytest.raises(ModelError, match="has no int8 graphs; write them: python -m export.onnx"):
        load_backend("int8", tiny_network())


def quiet() -> Network:
    network = tiny_network()
    bias = network.arrays["joint.output.bias"].copy()
    bias[-1] += 1.5
    arrays = {**network.arrays, "joint.output.bias": bias}
    return Network(network.specification, arrays, network.tokenizer, network.notes)


@pytest.mark.parametrize(
    ("loss", "allowed", "written"), [(0.004, 0.5, True), (0.006, 0.5, False), (0.006, 1.0, True)]
)
def test_int8_is_written_unless_it_loses_more_than_is_allowed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    loss: float,
    allowed: float,
    written: bool,
) -> None:
    real = precision.int8_files
    found = Precision(0.02, 0.1, 0.1 + loss, 9, 2)
    monkeypatch.setattr("export.onnx.int8_files", lambda *given: (real(*given)[0], found))
    for name in ("export.onnx", "export.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])
    directory.write(quiet(), tmp_path / "given", {})
    arguments = ["--ckpt", str(tmp_path / "given"), "--output", str(tmp_path / "model")]
    assert main([*arguments, "--most-loss", str(allowed)]) == 0
    out = capsys.readouterr().out
    assert (": written" in out, ": left out" in out) == (written, not written)
    files = {file.name for file in (tmp_path / "model").iterdir()}
    assert files & directory.INT8 == (directory.INT8 if written else set())
    open_model(tmp_path / "model")


def test_the_loss_without_texts_is_what_changes() -> None:
    assert Precision(0.02, 0.0, 0.0, 0, 2).loss == 0.02
    assert Precision(0.02, 0.2, 0.1, 5, 2).loss == pytest.approx(-0.1)


def test_int8_of_the_bundled_model_says_the_same(tmp_path: Path) -> None:
    exported = export(open_model(model_path()), tmp_path / "model", int8_loss=0.0)
    assert exported.int8 and exported.precision is not None
    assert exported.precision.loss <= 0.0
    size = sum(file.stat().st_size for file in (tmp_path / "model").iterdir())
    assert size < 24e6


def test_without_int8_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("export.onnx", "export.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])
    exported = export(quiet(), tmp_path / "model", int8=False)
    assert exported.precision is None and not exported.int8
    assert not directory.INT8 & {file.name for file in (tmp_path / "model").iterdir()}
