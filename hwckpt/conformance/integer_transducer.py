"""Vectors of a whole transducer in integers, from float weights to tokens. Rules by number: docs/integer.md.

The file holds its own small network, of random sizes and weights, with two layers of 4 bits and biases
that lie on rounding ties, and every value that `stream.integer.fixed` computes on the way. The integer
backend and its ONNX graphs are checked against it, every bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance import models
from hwckpt.conformance.comparison import (
    Kind,
    Rng,
    Row,
    VectorError,
    Vectors,
    compare,
    on_each,
)
from hwckpt.conformance.integer import BACKEND, FIXED, GRAPHS, ZERO
from hwckpt.reader import read_checkpoint
from stream.backends import Backend
from stream.backends.integer import IntegerBackend
from stream.backends.onnx import OnnxBackend
from stream.decoding.greedy import Greedy
from stream.encoders.lstm import PAIR
from stream.front_end.log_mel import BINS
from stream.front_end.stacking import STACK
from stream.integer import fixed
from stream.integer import network as integer
from stream.integer.network import CELL_EXPONENT, IntegerLayer, IntegerLinear, IntegerNetwork
from stream.model.network import Network
from stream.model.quantisation import Quantisation
from stream.model.specification import Specification
from stream.stage import Floats, Mask, leaves_of
from stream.vocabulary import Vocabulary

Ints: TypeAlias = NDArray[Any]  # of integers

ROWS, LABELS = 2, 5
JOINT_EXPONENT = 7  # so that the largest hidden values saturate
SYMBOLS_PER_STEP = 30  # of NUMERICS 4.1
STACKS = ("pre", "post", "prediction")


def _make(rng: Rng, folder: Path) -> dict[str, Any]:
    """Draw a network; returns it, its integers, and all that is computed with them."""
    tokenizer = read_checkpoint(folder / models.network_file("1.4")).sentpiece_model
    frames = 2 * int(rng.integers(6, 10))
    z = rng.normal(0.0, 2.5, (ROWS, frames, STACK * BINS)).astype(np.float32)
    present = np.ones((ROWS, frames), np.bool_)
    present[-1, -1] = False
    network = None
    while network is None:
        network = _talkative(_network(rng, tokenizer), z, present)
    made = integer.to_integers(network)
    tokens = rng.integers(0, network.specification.vocabulary, (ROWS, LABELS))
    values = trace(made, z, present, tokens)
    return {
        "specification": msgspec.json.encode(network.specification).decode(),
        "tokenizer": np.frombuffer(tokenizer, np.uint8),
        **{f"w:{name}": array for name, array in network.arrays.items()},
        **_integers(made),
        "z": z,
        "present": present,
        "tokens": tokens,
        **{name: _narrow(value) for name, value in values.items()},
        **_decoded(made, values["e"]),
    }


def _check(z: Vectors) -> Iterator[Row]:
    try:
        specification = msgspec.json.decode(z["specification"], type=Specification)
    except msgspec.DecodeError as error:
        raise VectorError(f"{z.path}: its specification is not understood: {error}") from error
    arrays = {name[2:]: value for name, value in z.items() if name.startswith("w:")}
    network = Network(specification, arrays, z["tokenizer"].tobytes(), path=z.path)
    made = integer.to_integers(network)
    yield from z.close(FIXED, _integers(made))
    yield from z.close(FIXED, trace(made, z["z"], z["present"], z["tokens"]))
    yield from z.exact(FIXED, _decoded(made, z["e"].astype(np.int64)))

    def rows(name: str) -> Iterator[Row]:
        if name == BACKEND:
            return _check_backend(z, made, name, IntegerBackend(made))
        from export.build import build_integers

        graphs = build_integers(made, inside=True)
        return _check_backend(z, made, name, OnnxBackend(network, graphs))

    yield from on_each("transducer", (BACKEND, GRAPHS), rows)


def _check_backend(z: Vectors, made: IntegerNetwork, name: str, backend: Backend) -> Iterator[Row]:
    encoder, _ = backend.initial_state(len(z["z"]))
    f, encoder = backend.encode(z["z"], encoder, z["present"])
    g, state = models.predict_tokens(backend, z["tokens"])
    scaled = {
        "e": np.ldexp(f, made.joint_encoder.exponent),
        "g": np.ldexp(g, made.joint_prediction.exponent),
        "logits": np.ldexp(models.join_all(backend, f, g), made.joint_output.exponent),
    }
    yield from z.close(name, scaled)
    names = (
        f"{stack}.{n}.{leaf}"
        for stack in STACKS
        for n in range(len(getattr(made, stack)))
        for leaf in "hc"
    )
    for key, leaf in zip(names, leaves_of((encoder, state)), strict=True):
        got = leaf.astype(np.int64) - (ZERO if leaf.dtype == np.uint8 else 0)
        yield compare(f"last {key}", name, got, z[key][:, -1], 0.0)
    greedy = Greedy(backend)
    found, _ = greedy.step(f, greedy.initial_state(len(f)))
    for row, tokens in enumerate(found):
        of = {f"greedy_tokens_{row}": [token.id for token in tokens]}
        yield from z.exact(name, of | {f"greedy_frames_{row}": [t.step for t in tokens]})


def _integers(network: IntegerNetwork) -> dict[str, Any]:
    """Return the arrays, shifts and exponents of a network by their names in a file."""
    found: dict[str, Any] = {
        "q:embedding": network.embedding,
        "q:embedding_exponent": network.embedding_exponent,
    }
    for name, part in _parts(network).items():
        found |= {f"q:{name}.{key}": value for key, value in vars(part).items()}
    return found


def _decoded(network: IntegerNetwork, e: Ints) -> dict[str, list[int]]:
    """Decode the encoder frames of a batch, e (B, E, J), greedily."""
    found = {}
    for row, frames in enumerate(e):
        found[f"greedy_tokens_{row}"], found[f"greedy_frames_{row}"] = _greedy(network, frames)
    return found


def _parts(network: IntegerNetwork) -> dict[str, IntegerLayer | IntegerLinear]:
    parts: dict[str, IntegerLayer | IntegerLinear] = {}
    for stack in STACKS:
        parts |= {f"{stack}.{n}": layer for n, layer in enumerate(getattr(network, stack))}
    for name in ("joint_encoder", "joint_prediction", "joint_output"):
        parts[name] = getattr(network, name)
    return parts


def _narrow(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return integers in the smallest signed type that holds them."""
    return next(
        values.astype(kind)
        for kind in (np.int8, np.int16, np.int32, np.int64)
        if np.array_equal(values.astype(kind), values)
    )


def _network(rng: Rng, tokenizer: bytes) -> Network:
    """Draw a network of a random size."""
    sizes = {
        "pre_layers": rng.integers(1, 3),
        "post_layers": rng.integers(1, 3),
        "hidden": rng.integers(8, 20),
        "prediction_layers": rng.integers(1, 3),
        "prediction_hidden": rng.integers(6, 16),
        "joint": rng.integers(8, 20),
    }
    fields: dict[str, Any] = {name: int(n) for name, n in sizes.items()}
    plain = Specification(vocabulary=len(Vocabulary(tokenizer)), **fields)
    *recurrent, e, g, output = plain.layer_names
    narrow = (recurrent[int(rng.integers(len(recurrent)))], (e, g, output)[int(rng.integers(3))])
    quantisation = Quantisation(joint=JOINT_EXPONENT, weight_bits=dict.fromkeys(narrow, 4))
    specification = msgspec.structs.replace(plain, quantisation=quantisation)
    arrays = {
        name: models.draw_weight(rng, shape, recurrent="weight_hh" in name)
        for name, shape in specification.shapes().items()
    }
    arrays["normaliser.variance"] = rng.uniform(1.0, 4.0, BINS).astype(np.float32)
    _direct_biases(Network(specification, arrays, tokenizer))
    return Network(specification, arrays, tokenizer)


def _direct_biases(network: Network) -> None:
    """Lay the first biases of every layer on rounding ties, the network's arrays in place."""
    names = {"pre": "encoder.pre", "post": "encoder.post", "prediction": "prediction.lstm"}
    for short, part in _parts(integer.to_integers(network)).items():
        if isinstance(part, IntegerLinear):
            step = 2.0 ** -(part.exponent + part.shift_out)
            bias = network.arrays[f"{short.replace('_', '.')}.bias"]
            bias[:4] = np.array([6.5, 7.5, -6.5, -7.5]) * step
            continue
        stack, n = short.split(".")
        step = 2.0 ** -(CELL_EXPONENT + part.shift)
        bias, other = (network.arrays[f"{names[stack]}.{n}.bias_{kind}"] for kind in ("ih", "hh"))
        bias[:4] = np.array([6.5, 7.5, -6.5, -7.5]) * step
        # The sum of these two is above a tie, and on it in float32.
        bias[4], other[:4], other[4] = 2048.5 * step, 0.0, 2.0**-16 * step


def _talkative(network: Network, z: Any, present: Any) -> Network | None:
    """Give blank a bias with which the network says a token now and then.

    Returns None where there is none.
    """
    bias = network.arrays["joint.output.bias"]
    e = trace(integer.to_integers(network), z, present, np.zeros((len(z), 0), np.int64))["e"]
    for more in np.arange(6.0, -6.0, -0.25).tolist():
        changed = bias.copy()
        changed[-1] += more
        tried = replace(network, arrays={**network.arrays, "joint.output.bias": changed})
        made = integer.to_integers(tried)
        said = [_greedy(made, row)[0] for row in e]
        count = sum(map(len, said))
        if count > 2 * e.shape[0] * e.shape[1]:
            return None
        if all(said) and count > e.shape[1] // 2 and len(set().union(*said)) > 3:
            return tried
    return None


def trace(
    network: IntegerNetwork, z: Floats, present: Mask, tokens: NDArray[np.int64]
) -> dict[str, Ints]:
    """Compute all values of a batch, int64.

    Args:
        z: (B, S, 240) normalised and stacked, S even.
        present: (B, S), False where a frame lies past the end of its stream.
        tokens: (B, U) given to the prediction network after the start of sequence.
    Returns:
        "x" (B, S, 240); "stacked" (B, E, 2H) with E = S / 2; "e" (B, E, J); "embedded" (B, U + 1, P);
        "g" (B, U + 1, J); "a" and "logits" (B, E, U + 1, J or C) and "best" (B, E, U + 1), every frame
        with every token; "pre.N.h", "pre.N.c", "post.…", "prediction.…" (B, frames, H) after each
        frame.
    """
    values: dict[str, Ints] = {"x": fixed.quantise_input(z, network.quantisation.input)}
    h = _run("pre", network.pre, values["x"], values)
    values["stacked"] = np.stack(
        [fixed.pair(h[:, t], h[:, t + 1], present[:, t + 1]) for t in range(0, h.shape[1], PAIR)],
        axis=1,
    )
    h = _run("post", network.post, values["stacked"], values)
    values["e"] = fixed.project(network.joint_encoder, h)
    start = np.full((len(z), 1), network.specification.blank)
    values["embedded"] = network.embedding[np.concatenate([start, tokens], axis=1)]
    h = _run("prediction", network.prediction, values["embedded"], values)
    values["g"] = fixed.project(network.joint_prediction, h)
    values["a"] = fixed.joint_hidden(values["e"][:, :, None], values["g"][:, None])
    values["logits"] = fixed.logits(network.joint_output, values["a"])
    values["best"] = fixed.best_class(values["logits"])
    return values


def _greedy(network: IntegerNetwork, e: Ints) -> tuple[list[int], list[int]]:
    """Decode the encoder frames of one utterance, e (E, J); returns tokens and their frames."""
    blank = network.specification.blank
    tokens: list[int] = []
    steps: list[int] = []
    g, state = _predict(network, blank, [_zeros(layer, 1) for layer in network.prediction])
    for step, frame in enumerate(e):
        for _ in range(SYMBOLS_PER_STEP):
            logits = fixed.logits(network.joint_output, fixed.joint_hidden(frame[None], g))
            best = int(fixed.best_class(logits)[0])
            if best == blank:
                break
            tokens.append(best)
            steps.append(step)
            g, state = _predict(network, best, state)
    return tokens, steps


def _predict(
    network: IntegerNetwork, token: int, state: list[tuple[Ints, Ints]]
) -> tuple[Ints, list[tuple[Ints, Ints]]]:
    x: Ints = network.embedding[[token]]
    after = []
    for layer, (h, c) in zip(network.prediction, state, strict=True):
        x, c = fixed.lstm_step(layer, x, h, c)
        after.append((x, c))
    return fixed.project(network.joint_prediction, x), after


def _run(stack: str, layers: Sequence[IntegerLayer], x: Ints, values: dict[str, Ints]) -> Ints:
    """Run a stack of layers over the frames of x, (B, S, I), and note its states."""
    for n, layer in enumerate(layers):
        h, c = _zeros(layer, len(x))
        states = []
        for frame in range(x.shape[1]):
            h, c = fixed.lstm_step(layer, x[:, frame], h, c)
            states.append((h, c))
        x, cells = (np.stack(leaf, axis=1) for leaf in zip(*states, strict=True))
        values[f"{stack}.{n}.h"], values[f"{stack}.{n}.c"] = x, cells
    return x


def _zeros(layer: IntegerLayer, batch: int) -> tuple[Ints, Ints]:
    shape = batch, layer.weight_hh.shape[1]
    return np.zeros(shape, np.int64), np.zeros(shape, np.int64)


KINDS = (Kind("integer_transducer*.npz", _check, {"integer_transducer.npz": _make}),)
