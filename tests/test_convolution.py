"""A family that no product file knows trains, streams, is exported, compared and served."""

from __future__ import annotations

import asyncio
import functools
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

torch = pytest.importorskip("torch")
pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.model_directory import export
from export.onnx import encoders as onnx_encoders
from export.sherpa.__main__ import export as to_sherpa
from hwckpt.writer import from_network
from stream import encoders
from stream.backends import load_backend
from stream.bundled import recordings
from stream.engine.engine import load_engine
from stream.manifest import read_manifest
from stream.model.network import Network, open_model
from stream.model.specification import ModelError
from stream.recogniser import Recogniser
from stream.stage import map_state
from stream.validation import validate
from tests.convolution import Convolution, graphs
from tests.server.scripted import pcm, samples_of, serving
from tests.tiny import TEXTS, quantised, tiny_network, tiny_tokenizer
from train import __main__ as train
from train import mel_stats
from train.evaluation import training_tokens

CONFIG = """
updates = 12
validate_every = 6
checkpoint_every = 6
precision = "float32"

[model]
prediction = {family = "stateless", size = 8}
joint = 16
encoder = {family = "convolution", size = 24}

[data]
train = ["train.jsonl"]
dev = "train.jsonl"
tokenizer = "tokenizer.model"
statistics = "statistics.npz"

[batches]
seconds = 4.0
short_seconds = 1.6

[augmentation]
"""


@pytest.fixture(autouse=True, scope="module")
def registered() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(encoders.FAMILIES, "convolution", Convolution)
        patch.setitem(onnx_encoders.FAMILIES, "convolution", graphs())
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every word is a tone, with the configuration above."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    words = sorted({word for text in TEXTS for word in text.split()})
    lines = []
    for n in range(6):
        time = np.arange(6000 + 700 * n) / 16000
        tone = 0.3 * np.sin(2 * np.pi * 300 * (1 + n) * time)
        soundfile.write(folder / f"{n}.wav", tone + 0.01 * rng.standard_normal(len(time)), 16000)
        line = {"audio_filepath": f"{n}.wav", "text": words[n], "duration": len(time) / 16000}
        lines.append(json.dumps(line) + "\n")
    (folder / "train.jsonl").write_text("".join(lines))
    (folder / "tokenizer.model").write_bytes(tiny_tokenizer())
    config = CONFIG
    for name in ("train.jsonl", "tokenizer.model", "statistics.npz"):
        config = config.replace(f'"{name}"', json.dumps(str(folder / name)))
    (folder / "run.toml").write_text(config)
    return folder


def talking(network: Network) -> Network:
    """Return a network that emits a token now and then."""
    bias = network.arrays["joint.output.bias"].copy()
    bias[-1] += 1.5
    return Network(
        network.specification,
        {**network.arrays, "joint.output.bias": bias},
        network.tokenizer,
        network.notes,
    )


@functools.cache
def random_model() -> Network:
    return talking(tiny_network(1, other_encoder=Convolution()))


def test_it_trains_and_its_checkpoint_streams_as_it_was_trained(
    corpus: Path, tmp_path: Path
) -> None:
    assert mel_stats.main(["--config", str(corpus / "run.toml")]) == 0
    run = tmp_path / "run"
    assert train.main(["--config", str(corpus / "run.toml"), "--output", str(run)]) == 0
    network = open_model(run / "best.pt")
    assert network.specification.encoder == Convolution(24)
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("loss" in line for line in losses)
    utterances = read_manifest(corpus / "train.jsonl")
    report = validate(network, utterances, reset_stats=True, reference=training_tokens)
    assert report.different == 0


@given(cuts=st.lists(st.integers(0, 10), max_size=4))
def test_any_chunking_gives_the_frames_of_one_big_step(cuts: list[int]) -> None:
    backend = load_backend("numpy", random_model())
    x = np.random.default_rng(0).standard_normal((2, 120, 80), np.float32)
    want, _ = backend.encode(x, backend.initial_state(2)[0])
    assert want.shape[1] == 30
    state, got = backend.initial_state(2)[0], []
    for part in np.split(x, [12 * cut for cut in sorted(cuts)], axis=1):
        f, state = backend.encode(part, state)
        got.append(f)
    np.testing.assert_allclose(np.concatenate(got, axis=1), want, rtol=0, atol=1e-6)


def test_torch_has_the_values_and_gradients_of_the_same_lines() -> None:
    encoder, rng = Convolution(5), np.random.default_rng(0)
    arrays = {n: rng.normal(0, 0.1, s).astype(np.float32) for n, s in encoder.shapes().items()}
    x = rng.standard_normal((2, 24, 80), np.float32)
    want, _ = encoder.step(arrays, x, encoder.initial_state(2))
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    state = map_state(torch.from_numpy, encoder.initial_state(2))
    got, _ = encoder.step(tensors, torch.from_numpy(x), state)
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=0, atol=1e-5)
    got.sum().backward()
    assert all(bool(tensor.grad.abs().sum() > 0) for tensor in tensors.values())


def test_it_is_exported_and_says_the_same_there_and_over_a_websocket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("export.model_directory", "export.checks.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])
    path = tmp_path / "model"
    exported = export(random_model(), path, int8=False)
    assert exported.difference < 1e-5
    read = open_model(path)
    utterances = recordings()[-4:]
    report = validate(read, utterances, reset_stats=True, reference=training_tokens)
    assert (report.different, len(report.utterances)) == (0, 4)
    assert sum(len(outcome.tokens) for outcome in report.utterances) > 3
    audio = pcm(2.1)
    recogniser = Recogniser(read, "onnx")
    results = recogniser.push(samples_of(audio)) + recogniser.finish()
    assert [result.end for result in results[:2]] == [0.12, 0.24]
    assert {result.frame_seconds for result in results if result.tokens} == {0.04}

    async def spoken() -> str:
        async with (
            serving(load_engine(read, 2, "onnx"), slots=2) as service,
            connect(service.url) as client,
        ):
            for begin in range(0, len(audio), 1000):
                await client.send(audio[begin : begin + 1000])
            await client.send(b"")
            return "".join([final_text(message) async for message in client])

    assert asyncio.run(spoken()) == "".join(result.text for result in results)


def final_text(message: str | bytes) -> str:
    response = msgspec.json.decode(message)
    return "" if response["is_provisional"] else str(response["alternatives"][0]["transcript"])


def test_it_is_written_for_sherpa_onnx(tmp_path: Path) -> None:
    assert to_sherpa(random_model(), tmp_path / "sherpa") > 0


def test_what_the_family_lacks_is_refused_by_name(tmp_path: Path) -> None:
    network = random_model()
    with pytest.raises(ModelError, match="encoder is of the family 'convolution', .* int8 graphs"):
        export(network, tmp_path / "int8", calibration=recordings()[-1:])
    with pytest.raises(ModelError, match="bfp16 is for LSTM layers, .* 'convolution'"):
        load_backend("bfp16", network)
    with pytest.raises(
        ModelError, match="a hardware checkpoint is for LSTM layers, .* 'convolution'"
    ):
        from_network(network, "1.4")
    with pytest.raises(ValueError, match="a quantisation is for LSTM layers, .* 'convolution'"):
        quantised(network)
    assert not list(tmp_path.iterdir())
