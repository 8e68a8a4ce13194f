"""The vector file of a whole transducer in integers, from float weights to tokens.

`hwckpt.conformance.check_integer` reads it. It holds its own small network, of random sizes and weights, with two
layers of 4 bits and biases that lie on rounding ties, and every value of `hwckpt.conformance.integer_trace`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hwckpt.conformance.integer_trace import greedy, trace
from hwckpt.conformance.models import network_file
from hwckpt.reader import read_checkpoint
from stream.front_end.log_mel import BINS
from stream.front_end.stacking import STACK
from stream.integer.network import (
    CELL_EXPONENT,
    IntegerLayer,
    IntegerLinear,
    IntegerNetwork,
    quantise,
)
from stream.model.network import Network
from stream.model.quantisation import Quantisation
from stream.model.specification import Specification
from stream.vocabulary import Vocabulary

__all__ = ["INTEGER_MODEL_FILES", "integers"]

Rng = np.random.Generator
ROWS, LABELS = 2, 5
JOINT_EXPONENT = 7  # so that the largest hidden values saturate


def _transducer(rng: Rng, folder: Path) -> dict[str, Any]:
    tokenizer = read_checkpoint(folder / network_file("1.4")).sentpiece_model
    frames = 2 * int(rng.integers(6, 10))
    z = rng.normal(0.0, 2.5, (ROWS, frames, STACK * BINS)).astype(np.float32)
    present = np.ones((ROWS, frames), np.bool_)
    present[-1, -1] = False
    network = None
    while network is None:
        network = _talkative(_network(rng, tokenizer), z, present)
    made = quantise(network)
    tokens = rng.integers(0, network.specification.vocabulary, (ROWS, LABELS))
    values = trace(made, z, present, tokens)
    arrays: dict[str, Any] = {
        "specification": msgspec.json.encode(network.specification).decode(),
        "tokenizer": np.frombuffer(tokenizer, np.uint8),
        **{f"w:{name}": array for name, array in network.arrays.items()},
        **{f"q:{name}": value for name, value in integers(made).items()},
        "z": z,
        "present": present,
        "tokens": tokens,
        **{name: _narrow(value) for name, value in values.items()},
    }
    for row in range(ROWS):
        arrays[f"greedy_tokens_{row}"], arrays[f"greedy_frames_{row}"] = greedy(
            made, values["e"][row]
        )
    return arrays


def integers(network: IntegerNetwork) -> dict[str, Any]:
    """Return the arrays, shifts and exponents of a network by name."""
    found: dict[str, Any] = {
        "embedding": network.embedding,
        "embedding_exponent": network.embedding_exponent,
    }
    for name, part in _parts(network).items():
        found |= {f"{name}.{key}": value for key, value in vars(part).items()}
    return found


def _parts(network: IntegerNetwork) -> dict[str, IntegerLayer | IntegerLinear]:
    parts: dict[str, IntegerLayer | IntegerLinear] = {}
    for stack in ("pre", "post", "prediction"):
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
    arrays = {}
    for name, shape in specification.shapes().items():
        deviation = (
            0.2 if len(shape) == 1 else (0.8 if "weight_hh" in name else 2.0) / shape[1] ** 0.5
        )
        arrays[name] = rng.normal(0.0, deviation, shape).astype(np.float32)
    arrays["normaliser.variance"] = rng.uniform(1.0, 4.0, BINS).astype(np.float32)
    _direct_biases(Network(specification, arrays, tokenizer))
    return Network(specification, arrays, tokenizer)


def _direct_biases(network: Network) -> None:
    """Lay the first biases of every layer on rounding ties, the network's arrays in place."""
    names = {"pre": "encoder.pre", "post": "encoder.post", "prediction": "prediction.lstm"}
    for short, part in _parts(quantise(network)).items():
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
    e = trace(quantise(network), z, present, np.zeros((len(z), 0), np.int64))["e"]
    for more in np.arange(6.0, -6.0, -0.25).tolist():
        changed = bias.copy()
        changed[-1] += more
        tried = replace(network, arrays={**network.arrays, "joint.output.bias": changed})
        made = quantise(tried)
        said = [greedy(made, row)[0] for row in e]
        count = sum(map(len, said))
        if count > 2 * e.shape[0] * e.shape[1]:
            return None
        if all(said) and count > e.shape[1] // 2 and len(set().union(*said)) > 3:
            return tried
    return None


INTEGER_MODEL_FILES: dict[str, Callable[[Rng, Path], dict[str, Any]]] = {
    "integer_transducer.npz": _transducer,
}
