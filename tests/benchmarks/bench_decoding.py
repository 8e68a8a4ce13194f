"""Decoders in the engine: CPU milliseconds of a step, and how many times greedy decoding's.

    pytest tests/benchmarks/bench_decoding.py --benchmark-json=decoding.json

The bundled model on its own recordings, every channel from a place of its own. The decoders take turns
chunk by chunk, so that a busy machine is as busy for all of them. `extra_info` is of CPU seconds of
one thread: a step of each (median), and its ratio to greedy's; with the words of both checked first to be
mostly the same.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from stream.audio import read_audio
from stream.bundled import model_path, recordings
from stream.decoding.options import DecoderOptions, decoding_of
from stream.encoders.lstm import LSTM
from stream.engine.engine import load_engine
from stream.model.network import open_model

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
