"""Checks that need a model: the transducer's stages, samples to tokens, and checkpoints themselves.

A vector file names its hardware checkpoint, which lies beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance.comparison import (
    Arrays,
    Row,
    VectorError,
    compare,
    exact,
    installed,
    load,
    skipped,
)
from hwckpt.conversion import convert
from hwckpt.layout import Format
from hwckpt.reader import network_of, read_checkpoint
from hwckpt.writer import write_checkpoint
from stream.backends import Backend, load_backend
from stream.backends.onnx import OnnxBackend
from stream.decoding.greedy import Greedy, GreedyConfig, Token
from stream.encoders.lstm import PAIR
from stream.encoders.lstm_layer import lstm_stack
from stream.engine.engine import Engine
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.normaliser import utterance_normalise
from stream.front_end.stacking import STACK, join_pairs, stack
from stream.model.network import Network

__all__ = ["checkpoint", "pcm_to_tokens", "training_checkpoint", "transducer"]

STAGE = 2e-5
FEATURES = 5e-3
PROBABILITY = 1e-4
CHUNKS = 7  # random chunkings are drawn with this seed


def network_beside(path: Path, z: Arrays) -> Network:
    checkpoint = path.parent / str(z["checkpoint"])
    if not checkpoint.is_file():
        raise VectorError(f"{path}: wants {checkpoint.name} beside it")
    return network_of(read_checkpoint(checkpoint))


def backends(
    stage: str, network: Network, names: tuple[str, ...]
) -> Iterator[tuple[str, Backend] | Row]:
    """Yield the backends that are installed as (name, backend), and a skipped row for others."""
    for name in names:
        if name == "numpy" or name == "torch" and installed("torch"):
            yield name, load_backend(name, network)
        elif name == "onnx" and installed("onnx"):
            from export.build import build

            yield name, OnnxBackend(network, build(network, inside=True))
        else:
            yield skipped(stage, name, f"{name} is not installed")


def transducer(path: Path) -> Iterator[Row]:
    """transducer: every stage, the logits, and greedy decoding with its caps."""
    z = load(path)
    network = network_beside(path, z)
    if "hard" in z:
        activation = "hard" if z["hard"] else "soft"
        network = changed(network, activation=activation)
    yield from _stages(z, network)
    projected = "joint_enc_out" not in z  # generation 1.14 returns the projected outputs
    want_f = z["encoder_out"] if projected else z["joint_enc_out"]
    want_g = z["pred_out"] if projected else z["joint_pred_out"]
    for found in backends("transducer", network, ("numpy", "torch", "onnx")):
        if isinstance(found, Row):
            yield found
            continue
        name, backend = found
        f = encode_batch(backend, np.ascontiguousarray(z["x"].transpose(1, 0, 2)))
        g = predict_tokens(backend, z["y"])
        yield compare("encoder", name, f, want_f, STAGE)
        yield compare("prediction", name, g, want_g, STAGE)
        grid = np.broadcast_to(f[:, :, None], (*f.shape[:2], g.shape[1], f.shape[2]))
        flat = grid.reshape(-1, f.shape[2])
        other = np.broadcast_to(g[:, None], grid.shape).reshape(-1, f.shape[2])
        logits = backend.join(np.ascontiguousarray(flat), np.ascontiguousarray(other))
        yield compare("logits", name, logits.reshape(z["logits"].shape), z["logits"], STAGE)
        yield from _greedy(z, name, backend, f)


def _stages(z: Arrays, network: Network) -> Iterator[Row]:
    """Compare what lies inside the encoder and the prediction network, on NumPy."""
    x = np.ascontiguousarray(z["x"].transpose(1, 0, 2))
    y, rows = _layers(z, network, "encoder.pre", "pre", x)
    yield from rows
    fill = np.zeros((len(y), -y.shape[1] % PAIR, y.shape[2]), np.float32)
    pairs = join_pairs(np.concatenate([y, fill], axis=1))
    yield compare("stacked", "numpy", pairs.transpose(1, 0, 2), z["stacked"], STAGE)
    stacked = np.ascontiguousarray(z["stacked"].transpose(1, 0, 2))
    y, rows = _layers(z, network, "encoder.post", "post", stacked)
    yield from rows
    if "joint_enc_out" in z:  # generation 1.4 has the encoder's output before its projection too
        yield compare("encoder, unprojected", "numpy", y, z["encoder_out"], STAGE)
    if "pred_h" in z:
        embedding = network.arrays["prediction.embedding"]
        start = np.zeros((len(x), 1, embedding.shape[1]), np.float32)
        embedded = np.concatenate([start, embedding[z["y"]]], axis=1)
        y, rows = _layers(z, network, "prediction.lstm", "pred", embedded)
        yield from rows
        if "joint_pred_out" in z:
            yield compare("prediction, unprojected", "numpy", y, z["pred_out"], STAGE)
    for key in (key for key in ("stacked_lens", "encoder_lens") if key in z):
        yield exact(key, "numpy", -(-z["x_lens"] // PAIR), z[key])


def _layers(
    z: Arrays, network: Network, name: str, key: str, x: NDArray[np.float32]
) -> tuple[NDArray[np.float32], list[Row]]:
    """Run a stack of LSTM layers, compare it and its last state; returns its output too."""
    spec = network.specification
    layers = lstm_stack(list(network.layers(name)), spec.activation, spec.number_format)
    y, after = layers.step(x, layers.initial_state(len(x)))
    rows = []
    if f"{key}_rnn_out" in z:
        want = z[f"{key}_rnn_out"]
        rows.append(compare(f"{key}-RNN", "numpy", y.transpose(1, 0, 2), want, STAGE))
    for index, leaf in enumerate("hc"):
        got, want = np.stack([layer[index] for layer in after]), z[f"{key}_{leaf}"]
        rows.append(compare(f"{key}-RNN {leaf}", "numpy", got, want, STAGE, relative_above=1.0))
    return y, rows


def encode_batch(backend: Backend, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Encode a padded batch as one, frames past its end being absent."""
    batch, frames, size = x.shape
    fill = -frames % PAIR
    x = np.concatenate([x, np.zeros((batch, fill, size), np.float32)], axis=1)
    present = np.broadcast_to(np.arange(frames + fill) < frames, x.shape[:2])
    return backend.encode(x, backend.initial_state(batch)[0], np.ascontiguousarray(present))[0]


def predict_tokens(backend: Backend, y: NDArray[np.int64]) -> NDArray[np.float32]:
    blank = backend.specification.blank
    start = np.full((len(y), 1), blank, np.int64)
    _, state = backend.initial_state(len(y))
    outputs = []
    for tokens in np.concatenate([start, y.astype(np.int64)], axis=1).T:
        g, state = backend.predict(np.ascontiguousarray(tokens), state)
        outputs.append(g)
    return np.stack(outputs, axis=1)


def _greedy(z: Arrays, name: str, backend: Backend, f: NDArray[np.float32]) -> Iterator[Row]:
    """Decode each row with every variant that the file has."""
    counter = "running" if "eos" in z else "frame"
    for key in (k for k in z if k.startswith(("greedy_tokens_", "greedy_framecap_tokens_"))):
        row, variant = key.rsplit("_", 2)[1:]
        length = int(z["encoder_lens"][int(row[1:])])
        if variant.startswith("sample"):
            config = GreedyConfig(counter="running", sample_cap=int(variant[6:]))
        elif "framecap" in key:
            config = GreedyConfig(int(variant[3:]))
        else:
            config = GreedyConfig(int(variant[3:]), "running" if counter == "running" else "frame")
        tokens = decode_steps(backend, f[int(row[1:]), :length], config)
        label = f"greedy {variant}{' per frame' if 'framecap' in key else ''} {row}"
        yield exact(label, name, [t.id for t in tokens], z[key].tolist())
        frames = key.replace("tokens", "frames")
        if frames in z:
            yield exact(f"{label} steps", name, [t.step for t in tokens], z[frames].tolist())
        probs = key.replace("tokens", "probs")
        if probs in z:
            got = np.exp([t.log_probability for t in tokens])
            yield compare(f"{label} probabilities", name, got, z[probs], PROBABILITY)


def decode_steps(backend: Backend, f: NDArray[np.float32], config: GreedyConfig) -> list[Token]:
    greedy = Greedy(backend, config)
    (tokens,), _ = greedy.step(np.ascontiguousarray(f[None]), greedy.initial_state(1))
    return tokens


def changed(network: Network, **fields: Any) -> Network:
    specification = msgspec.structs.replace(network.specification, **fields)
    return replace(network, specification=specification)


def pcm_to_tokens(path: Path) -> Iterator[Row]:
    """pcm_to_tokens: features, encoder, tokens and text, streamed in random chunks."""
    z = load(path)
    network = changed(network_beside(path, z), final_padding=int(z.get("final_padding_samples", 0)))
    for found in backends("samples to tokens", network, ("numpy", "onnx")):
        if isinstance(found, Row):
            yield found
        else:
            yield from _samples_to_tokens(z, network, *found)


def _samples_to_tokens(z: Arrays, network: Network, name: str, backend: Backend) -> Iterator[Row]:
    kind = str(z["normalisation"])
    carried = kind == "ewma" and not z["reset"]
    variants = {"": _config(z)}
    if "tokens_framecap_0" in z:
        variants["framecap_"] = replace(variants[""], counter="frame")
    engines = {key: _Stream(network, backend, config) for key, config in variants.items()}
    normaliser = network.normaliser
    statistics = normaliser.initial_state(1)
    for i in range(int(z["num"])):
        samples = z[f"pcm_{i}"].astype(np.float32) / 32768
        frames = streamed_log_mel(samples[None], network.specification.front_end)
        if kind == "per_utterance":
            normalised = utterance_normalise(frames)
        else:
            normalised, after = normaliser.step(frames, statistics)
            statistics = after if carried else statistics
        x = stacked_frames(normalised)
        yield compare(f"features {i}", name, x[0], z[f"features_{i}"], FEATURES)
        f = encode_batch(backend, x)
        want = _projected(network, z[f"encoder_{i}"], z)
        yield compare(f"encoder {i}", name, f[0], want, FEATURES)
        for key, stream in engines.items():
            if kind == "per_utterance":  # needs the whole utterance, so it cannot be streamed
                tokens = decode_steps(backend, f[0], variants[key])
            else:
                tokens = stream.run(samples, keep_statistics=carried)
            label = f"{key.replace('_', ' ')}{i}"
            yield exact(
                f"tokens {label}", name, [t.id for t in tokens], z[f"tokens_{key}{i}"].tolist()
            )
            if f"frames_{key}{i}" in z:
                steps = [t.step for t in tokens]
                yield exact(f"steps {label}", name, steps, z[f"frames_{key}{i}"].tolist())
            if not key and f"probs_{i}" in z:
                probabilities = np.exp([t.log_probability for t in tokens])
                yield compare(
                    f"probabilities {i}", name, probabilities, z[f"probs_{i}"], PROBABILITY
                )
            if not key:
                text = network.vocabulary.decode([t.id for t in tokens])
                yield exact(f"text {i}", name, [text], [str(z[f"text_{i}"])])


def _config(z: Arrays) -> GreedyConfig:
    cap = int(z["max_symbols_per_step"])
    if "eos_decoding" not in z:
        return GreedyConfig(cap, sample_cap=int(z["max_symbol_per_sample"]))
    mode = str(z["eos_decoding"])
    if mode not in ("none", "predict", "blank", "ignore"):
        raise VectorError(f"eos_decoding is {mode!r}")
    return GreedyConfig(cap, "running", eos=int(z["eos_index"]), eos_mode=cast(Any, mode))


class _Stream:
    """An engine of one slot that takes utterances in random chunks."""

    def __init__(self, network: Network, backend: Backend, config: GreedyConfig) -> None:
        self._engine = Engine(network, backend, 1, config)
        self._slot = cast(int, self._engine.open())
        self._rng = np.random.default_rng(CHUNKS)

    def run(self, samples: NDArray[np.float32], *, keep_statistics: bool) -> list[Token]:
        engine, slot = self._engine, self._slot
        results, begin = [], 0
        while begin < len(samples):
            end = begin + int(self._rng.integers(1, 4000))
            engine.push(slot, samples[begin:end])
            begin = end
            while engine.pending():
                results += engine.tick()
        engine.finish(slot)
        while engine.pending():
            results += engine.tick()
        engine.restart(slot, keep_statistics=keep_statistics)
        return [token for result in results for token in result.tokens]


def stacked_frames(z: NDArray[np.float32]) -> NDArray[np.float32]:
    batch, frames, bins = z.shape
    return cast(
        NDArray[np.float32],
        stack(np.concatenate([z, np.zeros((batch, -frames % STACK, bins), z.dtype)], axis=1)),
    )


def _projected(network: Network, encoder: NDArray[np.float32], z: Arrays) -> NDArray[np.float32]:
    """Bring an encoder output of generation 1.4 to the joint size, where 1.14's already is."""
    if "eos_decoding" in z:
        return encoder
    arrays = network.arrays
    return cast(
        NDArray[np.float32],
        encoder @ arrays["joint.encoder.weight"].T + arrays["joint.encoder.bias"],
    )


def checkpoint(path: Path) -> Iterator[Row]:
    """hwckpt: read, opened as a network, rewritten in its generation, reread equal."""
    original = read_checkpoint(path)
    network = network_of(original)
    yield exact("read as a network", "numpy", [network.path], [path])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        write_checkpoint(original, copy)
        yield exact(
            "rewritten and reread", "numpy", original.differences(read_checkpoint(copy)), []
        )


def training_checkpoint(path: Path) -> Iterator[Row]:
    """train_ckpt: converted with the statistics, tokenizer and YAML beside it, equal to hwckpt."""
    version = path.stem.removeprefix("train_ckpt_")
    generation: Format = "1.4" if version.removeprefix("v").startswith("1.4.") else "1.14"
    folder = path.parent
    wanted = read_checkpoint(folder / f"hwckpt_{version}.pt")
    statistics = None
    if generation == "1.4":
        statistics = (folder / f"melmeans_{version}.pt", folder / f"melvars_{version}.pt")
    converted = convert(path, folder / f"config_{version}.yaml", generation, statistics=statistics)
    yield exact("converted", "numpy", wanted.differences(converted), [])
