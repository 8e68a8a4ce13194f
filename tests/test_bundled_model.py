"""The bundled model, end to end on real recordings: what streams is what was trained, everywhere."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hwckpt.reader import network_of, read_checkpoint
from hwckpt.writer import from_network, write_checkpoint
from server.client.stream import stream_audio
from server.demo import running_server
from stream.audio import read_audio
from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.decoding.greedy import Greedy
from stream.encoders.lstm import PAIR
from stream.engine.engine import load_engine
from stream.engine.streams import Streams
from stream.error_rate import word_error_rate
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.stacking import stack
from stream.manifest import Utterance, read_manifest
from stream.model.network import Network, open_model
from stream.recogniser import Recogniser
from stream.validation import validate

pytestmark = pytest.mark.skipif(
    not (Path(__file__).parent.parent / "models/en-commands/model.json").is_file(),
    reason="models/en-commands: the bundled model is not there",
)


@pytest.fixture(scope="module")
def network() -> Network:
    return open_model(model_path())


def pieces_of(audio: NDArray[np.float32], seed: int, most: int) -> Iterator[NDArray[np.float32]]:
    """Cut audio at random, into pieces of 1 to `most` samples."""
    rng = np.random.default_rng(seed)
    while len(audio):
        cut = int(rng.integers(1, most + 1))
        yield audio[:cut]
        audio = audio[cut:]


def streamed(model: Network, backend: str, pieces: Iterator[NDArray[np.float32]]) -> list[object]:
    recogniser = Recogniser(model, backend)
    results = [result for piece in pieces for result in recogniser.push(piece)]
    results += recogniser.finish()
    return [(token.id, token.step) for result in results for token in result.tokens]


@pytest.mark.parametrize(
    "backend, reference",
    [
        ("numpy", "numpy"),
        ("torch", "numpy"),
        ("onnx", "numpy"),
        ("integer", "integer"),
        ("integer-onnx", "integer"),
        ("torch-integer", "integer"),
    ],
)
def test_any_chunking_gives_the_tokens_of_the_whole(
    network: Network, backend: str, reference: str
) -> None:
    audio = read_audio(recordings()[0].audio)[:32000]
    want = streamed(network, reference, iter([audio]))
    assert want
    for seed, most in enumerate((1, 50, 700, 5000)):
        cut = audio[:6000] if most == 1 else audio  # a sample at a time is slow
        wanted = streamed(network, reference, iter([cut])) if most == 1 else want
        assert streamed(network, backend, pieces_of(cut, seed, most)) == wanted


def test_it_says_what_it_knows_and_can_spell_its_example(network: Network) -> None:
    assert network.notes["knows"]
    assert network.notes["example"]
    assert network.vocabulary.unknown(network.notes["example"]) == []


def test_it_was_not_trained_on_the_bundled_recordings_nor_on_their_speakers(speech: Path) -> None:
    speakers = {each.speaker for each in read_manifest(speech / "train.jsonl")}
    assert speakers
    assert not speakers & {each.speaker for each in recordings()}


def test_the_hardware_checkpoint_streams_the_same_tokens(network: Network, tmp_path: Path) -> None:
    written = tmp_path / "model.hw.pt"
    write_checkpoint(from_network(network, "1.4"), written)
    card = network_of(read_checkpoint(written))
    for name, array in network.arrays.items():
        np.testing.assert_array_equal(card.arrays[name], array)
    # The card's log floor is another; speech with a noise floor above it does not notice.
    audio = read_audio(recordings()[0].audio)
    noise = np.random.default_rng(0).normal(0.0, 3e-3, len(audio)).astype(np.float32)
    want = streamed(network, "numpy", iter([audio + noise]))
    assert streamed(card, "numpy", pieces_of(audio + noise, 1, 3000)) == want


def test_encoder_outputs_do_not_depend_on_chunks_or_backend(network: Network) -> None:
    audio = read_audio(recordings()[0].audio)[None]
    z, _ = network.normaliser.step(
        streamed_log_mel(audio, network.specification.front_end),
        network.normaliser.initial_state(1),
    )
    x = stack(z[:, : z.shape[1] - z.shape[1] % 6])
    reference = load_backend("numpy", network)
    want, _ = reference.encode(x, reference.initial_state(1)[0])
    for name in ("numpy", "onnx", "torch"):
        backend = load_backend(name, network)
        state, outputs = backend.initial_state(1)[0], []
        for begin in range(0, x.shape[1], 2):
            f, state = backend.encode(np.ascontiguousarray(x[:, begin : begin + 2]), state)
            outputs.append(f)
        np.testing.assert_allclose(np.concatenate(outputs, axis=1), want, atol=1e-4)


def test_streaming_equals_the_training_forward_on_the_bundled_recordings(network: Network) -> None:
    from train.evaluation import training_tokens

    report = validate(network, recordings(), reset_stats=True, reference=training_tokens)
    assert report.different == 0


def test_streaming_equals_the_training_forward_on_the_development_set(
    network: Network, speech: Path
) -> None:
    from stream.manifest import read_manifest
    from train.evaluation import training_tokens

    utterances = read_manifest(speech / "dev.jsonl")
    report = validate(network, utterances, reset_stats=True, reference=training_tokens)
    assert report.different == 0
    assert report.wer < 0.30


def test_the_websocket_gives_the_texts_of_validate(network: Network) -> None:
    report = validate(network, recordings(), reset_stats=True)
    with running_server("--backend", "onnx") as url:
        for outcome, utterance in zip(report.utterances, recordings(), strict=True):
            pieces = pieces_of(read_audio(utterance.audio), 3, 4000)
            session = asyncio.run(stream_audio(url, pieces, realtime=False))
            assert session.transcript == outcome.hypothesis


@pytest.mark.parametrize("utterance", recordings(), ids=lambda u: u.id)
def test_digital_zeros_after_the_words_change_none(network: Network, utterance: Utterance) -> None:
    audio = read_audio(utterance.audio)
    recogniser = Recogniser(network, "onnx")
    after = recogniser.transcribe(np.concatenate([audio, np.zeros(32000, np.float32)])).text
    assert after.split() == recogniser.transcribe(audio).text.split()


def test_digital_zeros_before_the_words_cost_none(network: Network, speech: Path) -> None:
    # One recording or the other is heard otherwise, since its words lie elsewhere in the chunks.
    utterances = read_manifest(speech / "dev.jsonl")[::4]
    engine = load_engine(network, 32, "onnx")
    found = []
    for zeros in (0, 31680, 32000, 32320):  # 33 chunks, and a third and two of the next

        def delayed(utterance: Utterance, zeros: int = zeros) -> NDArray[np.float32]:
            return np.concatenate([np.zeros(zeros, np.float32), utterance.read()])

        streams = Streams(engine, lambda slot: engine.restart(slot, keep_statistics=False))
        results = streams.run([functools.partial(delayed, u) for u in utterances], 96_000)
        texts = ["".join(result.text for result in of).strip() for of in results]
        found.append(word_error_rate([u.text for u in utterances], texts).wer)
    assert max(found[1:]) < found[0] + 0.025


def test_integers_are_the_same_in_numpy_onnx_and_torch_on_200_recordings(speech: Path) -> None:
    pytest.importorskip("torch")
    from export.checks.tracer import batches

    network = open_model(model_path())
    utterances = [*read_manifest(speech / "dev.jsonl"), *read_manifest(speech / "test.jsonl")]
    chosen = random.Random(7).sample(utterances, 200)
    tokens: dict[str, list[list[tuple[int, int]]]] = {}
    for name in ("integer", "integer-onnx", "torch-integer"):
        backend = load_backend(name, network)
        greedy, tokens[name] = Greedy(backend), []
        for x, present, _ in batches(network, chosen):
            f, _ = backend.encode(x, backend.initial_state(len(x))[0], present)
            frames = -(-present.sum(1) // PAIR)
            rows, _ = greedy.step(f, greedy.initial_state(len(f)), frames)
            tokens[name] += [[(token.id, token.step) for token in row] for row in rows]
    assert tokens["integer"] == tokens["integer-onnx"] == tokens["torch-integer"]
    assert sum(map(len, tokens["integer"])) > 200


@pytest.mark.parametrize("backend", ["integer", "integer-onnx"])
def test_integers_streamed_are_the_integers_of_the_training_forward(backend: str) -> None:
    evaluation = pytest.importorskip("train.evaluation")
    report = validate(
        open_model(model_path()),
        recordings(),
        backend=backend,
        reset_stats=True,
        reference=evaluation.training_tokens,
    )
    assert (report.different, len(report.utterances)) == (0, len(recordings()))
