"""tiny_network: a random model of a few thousand weights, for tests that need any valid one."""

from __future__ import annotations

import functools
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import sentencepiece

from stream.backends import load_backend
from stream.bundled import model_path
from stream.front_end.filterbank import MEL
from stream.front_end.log_mel import mel_bank, streamed_log_mel
from stream.front_end.stacking import stack
from stream.model.directory import GRAPHS, INT8_GRAPHS, INT8_WEIGHTS, write
from stream.model.network import Network, open_model
from stream.model.quantisation import Quantisation
from stream.model.specification import Specification
from stream.stage import whole

__all__ = [
    "TEXTS",
    "quantised",
    "quiet_network",
    "talking_ctc",
    "tiny_network",
    "tiny_specification",
    "tiny_tokenizer",
    "without_int8",
]

TEXTS = ("the cat sat on the mat", "a hen and a cat", "one more mat", "ten hats and the sun")
PIECES = 20
DIMENSIONS: dict[str, Any] = {
    "pre_layers": 1,
    "post_layers": 1,
    "hidden": 16,
    "prediction_layers": 1,
    "prediction_hidden": 8,
    "joint": 16,
}


@functools.cache
def tiny_tokenizer() -> bytes:
    """Return a SentencePiece model of 20 pieces, trained on four sentences; piece 0 is unknown."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 5),
        model_writer=model,
        vocab_size=PIECES,
        model_type="unigram",
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
        num_threads=1,
    )
    return model.getvalue()


def tiny_specification(**specification: Any) -> Specification:
    """Return hidden 16, joint 16, prediction_hidden 8, one layer in each stack, but for what is given."""
    return Specification(**{"vocabulary": PIECES, **DIMENSIONS, **specification})


def tiny_network(seed: int = 0, **specification: Any) -> Network:
    """Return a random model.

    Args:
        seed: of the arrays; equal seeds and specifications give equal arrays.
        specification: fields that differ from those of `tiny_specification`.
    """
    chosen = tiny_specification(**specification)
    rng = np.random.default_rng(seed)
    arrays = {}
    shapes = chosen.shapes()
    learned = shapes.pop(MEL, None) is not None
    for name, shape in shapes.items():
        scale = 1.0 / np.sqrt(shape[-1]) if len(shape) == 2 else 0.2
        arrays[name] = rng.normal(0.0, scale, shape).astype(np.float32)
    if chosen.has_statistics:
        arrays["normaliser.mean"] = rng.normal(-12.0, 2.0, 80).astype(np.float32)
        arrays["normaliser.variance"] = rng.uniform(4.0, 16.0, 80).astype(np.float32)
    if learned:
        bank = mel_bank(chosen.front_end.spectrum)
        arrays[MEL] = (bank * rng.uniform(0.5, 1.5, bank.shape)).astype(np.float32)
    return Network(chosen, arrays, tiny_tokenizer(), {"corpus": "random"})


def talking_ctc(network: Network) -> Network:
    """Return the network with a CTC head whose best class changes with what is heard."""
    backend = load_backend("numpy", network)
    noise = np.random.default_rng(0).standard_normal((1, 32_000)) * 0.3
    heard = (noise * np.abs(np.sin(np.arange(32_000) / 700))).astype(np.float32)
    frames = whole(network.normaliser, streamed_log_mel(heard, network.front_end))
    encoder = network.specification.encoder
    inputs = encoder.stack * encoder.chunk_inputs
    x = stack(frames[:, : frames.shape[1] // inputs * inputs], encoder.stack)
    f, _ = backend.encode(x, backend.initial_state(1)[0])
    weight = 20.0 * network.arrays["ctc.weight"]
    bias = -weight @ np.maximum(f[0], 0.0).mean(axis=0)
    return replace(network, arrays={**network.arrays, "ctc.weight": weight, "ctc.bias": bias})


def quantised(network: Network, **formats: Any) -> Network:
    """Return the network with a quantisation: joint 5, other fields as given."""
    quantisation = Quantisation(**{"joint": 5, **formats})
    specification = msgspec.structs.replace(network.specification, quantisation=quantisation)
    return replace(network, specification=specification)


def without_int8(path: Path) -> Path:
    """Write the bundled model with an int8 encoder that ONNX Runtime cannot run; returns the path."""
    network, source = open_model(model_path()), model_path()
    names = (*GRAPHS, *INT8_GRAPHS, INT8_WEIGHTS)
    files = {name: (source / name).read_bytes() for name in names}
    write(network, path, {**files, INT8_GRAPHS[0]: b"no graph"})
    return path


def quiet_network(seed: int = 0, **specification: Any) -> Network:
    """Return a random model that emits a token now and then, not as many as a frame may have."""
    network = tiny_network(seed, **specification)
    bias = network.arrays["joint.output.bias"].copy()
    bias[-1] += 1.5
    arrays = {**network.arrays, "joint.output.bias": bias}
    return Network(network.specification, arrays, network.tokenizer, network.notes)
