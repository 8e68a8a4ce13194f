"""Decoders in the engine: CPU milliseconds of a step, and how many times greedy decoding's.

    pytest tests/benchmarks/bench_decoding.py --benchmark-json=decoding.json

The bundled model on its own recordings, every channel from a place of its own. The decoders take turns
chunk by chunk, so that a busy machine is as busy for all of them. `extra_info` is of CPU seconds of
one thread: a step of each (median), and its ratio to greedy's; with the words of both checked first to be
mostly the same.

`test_decoding_alone` leaves encoders out: frames of the recordings are computed once, and decoded by each decoder in turn.
Its `extra_info` is of CPU milliseconds a second of audio. The language models are of random texts of the recordings' words.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.audio import read_audio
from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.decoding.options import DecoderOptions, decoding_of
from stream.encoders.lstm import LSTM
from stream.engine.engine import load_engine
from stream.front_end.log_mel import SAMPLE_RATE
from stream.language_model.written import write_arpa
from stream.model.network import Network, open_model
from stream.records.workspace import workspace
from train.lm.encoded import encode
from train.lm.kneser_ney import build_ngrams

CHUNK = LSTM.chunk_samples

ROUNDS = 60
OFF: dict[str, Any] = {"endpoint_silence": None, "endpoint_length": None}
ENDPOINTS: dict[str, Any] = {"endpoint_silence": 1.2, "endpoint_length": 20.0}
DECODERS = {
    "greedy": DecoderOptions(**OFF),
    "greedy, endpoints": DecoderOptions(**ENDPOINTS),
    "beam 4": DecoderOptions(decoder="beam", **OFF),
    "beam 4, endpoints": DecoderOptions(decoder="beam", **ENDPOINTS),
    "beam 8": DecoderOptions(decoder="beam", beam_width=8, **OFF),
}


@pytest.mark.parametrize("channels", [32, 256])
def test_step(benchmark: Any, channels: int) -> None:
    audio = np.concatenate([read_audio(recording.audio) for recording in recordings()])
    chunks = len(audio) // CHUNK
    network = open_model(model_path())
    engines = {
        name: load_engine(network, channels, "onnx", 1, decoding_of(network, options))
        for name, options in DECODERS.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    texts = dict.fromkeys(engines, "")
    for engine in engines.values():
        while engine.open() is not None:
            pass

    def turn(chunk: int) -> None:
        for name, engine in engines.items():
            for slot in range(channels):
                at = (slot * 7 + chunk) % chunks * CHUNK
                engine.push(slot, audio[at : at + CHUNK])
            began = time.process_time()
            results = engine.tick()
            seconds[name].append(time.process_time() - began)
            texts[name] += "".join(result.text for result in results if result.slot == 0)

    turns = iter(range(ROUNDS))
    benchmark.pedantic(lambda: turn(next(turns)), rounds=ROUNDS)
    greedy = set(texts["greedy"].split())
    for name, text in texts.items():
        assert len(greedy & set(text.split())) > len(greedy) / 2, (name, text)
        step = float(np.median(seconds[name][5:]))
        benchmark.extra_info[f"{name}, ms"] = round(1e3 * step, 2)
        ratio = step / float(np.median(seconds["greedy"][5:]))
        benchmark.extra_info[f"{name}, times greedy"] = round(ratio, 2)


def language_models(network: Network, folder: Path) -> dict[str, str]:
    """Write trigrams over pieces and over words; returns their paths."""
    words = sorted({word for each in recordings() for word in each.text.split()})
    draw = random.Random(0)
    texts = [" ".join(draw.choices(words, k=5)) for _ in range(2000)]
    vocabulary = network.vocabulary
    of_pieces = ([vocabulary.pieces[i] for i in vocabulary.encode(text)] for text in texts)
    paths = {}
    for name, of, known in (
        ("pieces", of_pieces, vocabulary.pieces),
        ("words", (text.split() for text in texts), ()),
    ):
        with workspace() as space, (path := folder / f"{name}.arpa").open("wb") as file:
            write_arpa(build_ngrams(of, 3, space, known), file, space)
        paths[name] = str(path)
    return paths


def test_decoding_alone(benchmark: Any, tmp_path: Path) -> None:
    network = open_model(model_path())
    backend = load_backend("onnx", network)
    spoken = list(recordings()) * 6
    seconds = sum(len(each.read()) for each in spoken) / SAMPLE_RATE
    encoded = encode(network, spoken, backend)
    beam = DECODERS["beam 4"]
    paths = language_models(network, tmp_path)
    weights: dict[str, Any] = {"ngram_weight": 0.2}
    decoders = {
        "greedy": DECODERS["greedy"],
        "beam 4": beam,
        "beam 4, n-gram of pieces": replace(beam, ngram=paths["pieces"], **weights),
        "beam 4, n-gram of words": replace(beam, ngram=paths["words"], **weights),
        "beam 4, n-gram of pieces, internal language model": replace(
            beam, ngram=paths["pieces"], internal_weight=0.1, **weights
        ),
    }
    decodings = {name: decoding_of(network, options) for name, options in decoders.items()}
    taken: dict[str, list[float]] = {name: [] for name in decoders}
    heard: dict[str, list[str]] = {}

    def turn() -> None:
        for name, decoding in decodings.items():
            began = time.process_time()
            heard[name] = encoded.transcripts(backend, network.vocabulary, decoding)
            taken[name].append(time.process_time() - began)

    benchmark.pedantic(turn, rounds=7)
    said = set(" ".join(heard["greedy"]).split())
    for name, texts in heard.items():
        assert len(said & set(" ".join(texts).split())) > len(said) / 2, (name, texts)
        cost = 1e3 * float(np.median(taken[name])) / seconds
        benchmark.extra_info[f"{name}, ms a second of audio"] = round(cost, 3)
