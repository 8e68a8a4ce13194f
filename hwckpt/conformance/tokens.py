"""Vectors from samples to tokens: every greedy variant and normalisation, and state resets.

NumPy and the ONNX graphs are checked; a recogniser takes the samples in random chunks. A file names a
checkpoint that lies beside it. Kinds of generation 1.4: statistics reset for every utterance ("reset"),
carried on in their order ("carry"), or of each utterance by itself ("uttnorm"). Kinds of generation 1.14,
with global statistics: with final padding ("greedy"), without ("greedy_nofinalpad"), and with the
probability of the end-of-sequence token given to blank ("greedy_eosblank").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance import models
from hwckpt.conformance.comparison import (
    Arrays,
    Kind,
    Rng,
    Row,
    VectorError,
    Vectors,
    compare,
    exact,
)
from hwckpt.conformance.whole_recordings import merge, split
from hwckpt.layout import Format
from hwckpt.reader import network_of, read_checkpoint
from stream.backends import Backend, load_backend
from stream.decoding.greedy import GreedyConfig
from stream.front_end.log_mel import HOP, SAMPLE_RATE, streamed_log_mel
from stream.front_end.normaliser import utterance_normalise
from stream.front_end.stacking import STACK
from stream.model.network import Network
from stream.recogniser import Recogniser
from stream.stage import Floats, State

FEATURES = 5e-3
CHUNKS = 7  # random chunkings are drawn with this seed
LENGTHS = (11_200, 6_119, 3_001, 320)  # samples of the utterances; the last gives one frame
STEPS, SAMPLE_CAP = 30, 300
OF_1_4 = ("reset", "carry", "uttnorm")
MODES = ("none", "predict", "blank", "ignore")

RESET_SAMPLES = 24_000
SEGMENTS = {"s0.6_o0.18": (20, 6), "s0.33_o0": (11, 0)}  # stacked frames, overlap
NOISE = 2e-6  # of encoder outputs, which must not change a token
STACKED_SECONDS = STACK * HOP / SAMPLE_RATE


def _make_tokens(rng: Rng, folder: Path, kind: str) -> dict[str, Any]:
    """Draw four utterances whose every token is clear."""
    format: Format = "1.4" if kind in OF_1_4 else "1.14"
    network = network_of(read_checkpoint(folder / models.network_file(format)))
    if kind == "greedy_nofinalpad":
        network = models.changed(network, final_padding=0)
    parameters = _parameters(network, kind)
    lengths = LENGTHS[:-1] if kind == "uttnorm" else LENGTHS  # one frame has no deviation
    arrays: dict[str, Any] = {"num": len(lengths), "checkpoint": models.network_file(format)}
    backend = load_backend("numpy", network)
    statistics = network.normaliser.initial_state(1)
    for i, samples in enumerate(lengths):

        def draw(
            samples: int = samples, statistics: State = statistics
        ) -> tuple[dict[str, Any], float, bool]:
            found = _decode_utterance(
                models.utterance(rng, samples), network, backend, parameters, statistics
            )
            return found, found["min_margin"], len(found["tokens"]) > 0

        found = models.settled(draw)
        arrays |= {f"{key}_{i}": value for key, value in found.items()}
        statistics = _features(network, found["pcm"], parameters, statistics)[1]
    return arrays | parameters


def _parameters(network: Network, kind: str) -> dict[str, Any]:
    spec = network.specification
    if kind in OF_1_4:
        return {
            "max_symbols_per_step": STEPS,
            "normalisation": "per_utterance" if kind == "uttnorm" else "ewma",
            "reset": int(kind == "reset"),
            "alpha": spec.alpha,
            "max_symbol_per_sample": SAMPLE_CAP,
        }
    return {
        "max_symbols_per_step": STEPS,
        "normalisation": "dataset_stats",
        "initial_padding_samples": spec.window - HOP,
        "final_padding_samples": spec.final_padding,
        "eos_index": models.EOS,
        "eos_decoding": "blank" if kind == "greedy_eosblank" else "predict",
    }


def _config(z: Arrays) -> GreedyConfig:
    cap = int(z["max_symbols_per_step"])
    if "eos_decoding" not in z:
        return GreedyConfig(cap, sample_cap=int(z["max_symbol_per_sample"]))
    mode = str(z["eos_decoding"])
    if mode not in MODES:
        raise VectorError(f"eos_decoding is {mode!r}, wants one of {', '.join(MODES)}")
    return GreedyConfig(cap, "running", eos=int(z["eos_index"]), eos_mode=cast(Any, mode))


def _carried(z: Arrays) -> bool:
    """Whether the statistics go on from one utterance to the next."""
    return bool(z["normalisation"] == "ewma" and not z["reset"])


def _features(
    network: Network, pcm: NDArray[np.int16], z: Arrays, statistics: State
) -> tuple[Floats, State]:
    """Return stacked frames, (1, S, 240), and the statistics of the next utterance."""
    if z["normalisation"] == "per_utterance":
        samples = pcm.astype(np.float32) / 32768
        frames = streamed_log_mel(samples[None], network.front_end)
        return models.whole_stacks(utterance_normalise(frames)), statistics
    x, after = models.stacked_frames(network, pcm, statistics)
    return x, after if _carried(z) else statistics


def _decode_utterance(
    pcm: NDArray[np.int16], network: Network, backend: Backend, z: Arrays, statistics: State
) -> dict[str, Any]:
    x, _ = _features(network, pcm, z, statistics)
    f = models.encode_batch(backend, x)[0]
    config = _config(z)
    found = models.decode(backend, f, config)
    arrays: dict[str, Any] = {
        "pcm": pcm,
        "features": x[0],
        "tokens": found.ids,
        "text": network.vocabulary.decode(found.ids.tolist()),
        "min_margin": found.margin,
    }
    if "eos_decoding" not in z:  # generation 1.4's outputs are before the projection
        return arrays | {"encoder": models.encode_batch(_unprojected(network), x)[0]}
    per_frame = models.decode(backend, f, replace(config, counter="frame"))
    return arrays | {
        "min_margin": min(found.margin, per_frame.margin),
        "encoder": f,
        "frames": found.steps,
        "probs": found.probabilities,
        "tokens_framecap": per_frame.ids,
        "frames_framecap": per_frame.steps,
    }


def _unprojected(network: Network) -> Backend:
    """Return a backend without the encoder's projection."""
    size = network.specification.hidden
    identity = msgspec.structs.replace(network.specification, joint=size)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in identity.shapes().items()}
    arrays |= {k: v for k, v in network.arrays.items() if v.shape == arrays[k].shape}
    arrays["joint.encoder.weight"] = np.eye(size, dtype=np.float32)
    arrays["joint.encoder.bias"] = np.zeros(size, np.float32)
    return load_backend("numpy", Network(identity, arrays, network.tokenizer))


def _check_tokens(z: Vectors) -> Iterator[Row]:
    """Check features, encoder, tokens and text, streamed in random chunks."""
    network = models.changed(
        models.network_beside(z), final_padding=int(z.get("final_padding_samples", 0))
    )
    return models.on_backends(
        "samples to tokens",
        network,
        ("numpy", "onnx"),
        lambda name, backend: _check_utterances(z, network, name, backend),
    )


def _check_utterances(z: Vectors, network: Network, name: str, backend: Backend) -> Iterator[Row]:
    variants = {"": _config(z)}
    if "tokens_framecap_0" in z:
        variants["framecap_"] = replace(variants[""], counter="frame")
    recognisers = {key: Recogniser(network, backend, config) for key, config in variants.items()}
    rng = np.random.default_rng(CHUNKS)
    statistics = network.normaliser.initial_state(1)
    weight, bias = (network.arrays[f"joint.encoder.{part}"] for part in ("weight", "bias"))
    for i in range(int(z["num"])):
        pcm = z[f"pcm_{i}"]
        x, statistics = _features(network, pcm, z, statistics)
        yield compare(f"features_{i}", name, x[0], z[f"features_{i}"], FEATURES)
        f = models.encode_batch(backend, x)[0]
        want = z[f"encoder_{i}"]
        projected = want if "eos_decoding" in z else want @ weight.T + bias
        yield compare(f"encoder_{i}", name, f, projected, FEATURES)
        cuts = np.cumsum(rng.integers(1, 4000, len(pcm) // 2000))
        for key, recogniser in recognisers.items():
            if z["normalisation"] == "per_utterance":  # needs it whole, so it cannot be streamed
                tokens = models.decode_steps(backend, f, variants[key])
            else:
                results = recogniser.stream(pcm.astype(np.float32) / 32768, cuts)
                recogniser.reset(keep_statistics=_carried(z))
                tokens = [token for result in results for token in result.tokens]
            found = models.decoded(tokens)
            frames, probs = f"frames_{key}{i}", f"probs_{i}"
            exactly = {f"tokens_{key}{i}": found.ids, frames: found.steps}
            yield from z.exact(name, exactly, optional=("frames",))
            if not key:
                close = {probs: found.probabilities}
                yield from z.close(name, close, models.PROBABILITY, optional=("probs",))
                text = network.vocabulary.decode(found.ids.tolist())
                yield exact(f"text_{i}", name, [text], [str(z[f"text_{i}"])])


def _make_resets(rng: Rng, folder: Path) -> dict[str, Any]:
    """Draw a recording; returns it in overlapping segments, in others, and whole."""
    network = network_of(read_checkpoint(folder / models.network_file("1.14")))
    arrays: dict[str, Any] | None = None
    while arrays is None:
        arrays = _telling(rng, network, models.utterance(rng, RESET_SAMPLES))
    return {
        "checkpoint": models.network_file("1.14"),
        "final_padding_samples": network.specification.final_padding,
        **arrays,
    }


def _telling(rng: Rng, network: Network, pcm: NDArray[np.int16]) -> dict[str, Any] | None:
    """Decode a recording in segments; None where noise changes a token or nothing is merged."""
    backend = load_backend("numpy", network)
    x = models.stacked_frames(network, pcm)[0][0]
    arrays: dict[str, Any] = {"pcm_0": pcm}
    for tag, (segment, overlap) in {**SEGMENTS, "off": (len(x), 0)}.items():
        encoded = models.encode_batch(backend, split(x, segment, overlap))
        found = _segments(backend, encoded, segment, overlap, tag, 0)
        noisy = (encoded + rng.uniform(-NOISE, NOISE, encoded.shape)).astype(np.float32)
        if found != _segments(backend, noisy, segment, overlap, tag, 0):
            return None
        lengths = [len(found[f"segment_tokens_{tag}_0_{n}"]) for n in range(len(encoded))]
        merged = len(found[f"tokens_{tag}_0"])
        if not all(lengths) or (overlap and not lengths[0] < merged < sum(lengths)):
            return None
        arrays |= {name: np.array(values, np.int64) for name, values in found.items()}
        arrays |= {
            f"segments_{tag}_0": len(encoded),
            f"segment_feats_shape_{tag}_0": np.array([segment, len(encoded), x.shape[1]]),
        }
    return arrays


def _segments(
    backend: Backend, encoded: Floats, segment: int, overlap: int, tag: str, i: int
) -> dict[str, list[int]]:
    """Return the tokens of every segment of a recording, and merged, under their names in a file."""
    config = GreedyConfig(counter="running")
    tokens = [models.decode_steps(backend, f, config) for f in encoded]
    named = {f"segment_tokens_{tag}_{i}_{n}": of for n, of in enumerate(tokens)}
    named[f"tokens_{tag}_{i}"] = merge(tokens, segment, overlap)
    found = {name: [t.id for t in of] for name, of in named.items()}
    frames = {name.replace("tokens", "frames"): [t.step for t in of] for name, of in named.items()}
    return found | frames


def _check_resets(z: Vectors) -> Iterator[Row]:
    """Check tokens and steps of every segment, and merged, for each setting in the file."""
    network = models.changed(
        models.network_beside(z), final_padding=int(z["final_padding_samples"])
    )

    def rows(name: str, backend: Backend) -> Iterator[Row]:
        for i in range(sum(key.startswith("pcm_") for key in z)):
            x = models.stacked_frames(network, z[f"pcm_{i}"])[0][0]
            for key in (k for k in z if k.startswith("tokens_") and k.endswith(f"_{i}")):
                tag = key.removeprefix("tokens_").removesuffix(f"_{i}")
                segment = int(z[f"segment_feats_shape_{tag}_{i}"][0])
                seconds = re.fullmatch(r"s.*_o(.*)", tag)  # a setting without is "off"
                overlap = round(float(seconds[1]) / STACKED_SECONDS) if seconds else 0
                pieces = split(x, segment, overlap)
                count = f"segments_{tag}_{i}"
                yield exact(count, name, [len(pieces)], [z[count]])
                encoded = models.encode_batch(backend, pieces)
                yield from z.exact(name, _segments(backend, encoded, segment, overlap, tag, i))

    return models.on_backends("state resets", network, ("numpy", "onnx"), rows)


KINDS = (
    Kind(
        "pcm_to_tokens_*.npz",
        _check_tokens,
        {
            f"pcm_to_tokens_v1.{4 if kind in OF_1_4 else 14}.0_{kind}.npz": partial(
                _make_tokens, kind=kind
            )
            for kind in (*OF_1_4, "greedy", "greedy_nofinalpad", "greedy_eosblank")
        },
    ),
    Kind("state_resets_*.npz", _check_resets, {"state_resets_v1.14.0.npz": _make_resets}),
)
