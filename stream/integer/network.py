"""IntegerNetwork: the integers that a network with a quantisation stands for, and that they cannot overflow.

`to_integers` is a pure function of the network. Weights by rule 1, biases, shifts and exponents by rules
3, 5 and 7, the embedding by rule 8; the bound of every accumulator by rule 9, without which a network is
refused. Rules by number: docs/integer.md. `stream.integer.fixed` computes with them.

Exponents: t = q 2^-f. The hidden state h has exponent 7, the cell c has 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.model.network import Network
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError, Specification
from stream.stage import Floats

HIDDEN_EXPONENT = 7  # of h, int8: 127/128 is the most
CELL_EXPONENT = 12  # of c, int16, Q3.12
JOINT_HEADROOM = 6  # e and g have so many bits more than the joint's hidden vector
WEIGHT_EXPONENTS = range(-20, 31)
SIGNED, UNSIGNED = 128, 255  # largest magnitudes of int8 and u8 activations
ACCUMULATOR = 1 << 31

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """An LSTM layer of I inputs and H units, gate order i, f, g, o (rule 3).

    Attributes:
        weight_ih, weight_hh: (4H, I), (4H, H).
        bias: (4H,), in the accumulator's exponent.
        shift_x, shift_h: left, of the two products.
        shift: right, from the accumulator to the exponent 12.
        bound: (4H,) that no partial sum of a row exceeds in magnitude (rule 9).
    """

    weight_ih: Int8
    weight_hh: Int8
    bias: Int32
    shift_x: int
    shift_h: int
    shift: int
    bound: Int64


@dataclass(frozen=True, eq=False)
class IntegerLinear:
    """A linear layer of K inputs and N outputs (rules 5 and 7).

    Attributes:
        weight: (N, K).
        bias: (N,), in the accumulator's exponent.
        shift_in: left, of the product.
        shift_out: right, of the accumulator; 0 for the logits.
        exponent: of the result.
        bound: (N,) that no partial sum of a row exceeds in magnitude (rule 9).
    """

    weight: Int8
    bias: Int32
    shift_in: int
    shift_out: int
    exponent: int
    bound: Int64


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A model in integers.

    Attributes:
        specification, quantisation: of the network that it was made from.
        pre, post, prediction: LSTM layers, the first one first.
        embedding: (V + 1, P); the last row, at the id of blank, is the start of a sequence: zeros.
        embedding_exponent: of the embedding.
        joint_encoder, joint_prediction, joint_output: linear layers; the first two have one exponent.
    """

    specification: Specification
    quantisation: Quantisation
    pre: tuple[IntegerLayer, ...]
    post: tuple[IntegerLayer, ...]
    prediction: tuple[IntegerLayer, ...]
    embedding: Int8
    embedding_exponent: int
    joint_encoder: IntegerLinear
    joint_prediction: IntegerLinear
    joint_output: IntegerLinear


def to_integers(network: Network) -> IntegerNetwork:
    """Return the integers of a network.

    Raises:
        ModelError: the network has layers of another family than the LSTM, or no quantisation; the exponent
            of a weight is out of range, or an accumulator may overflow: then the message names the layer,
            and the row.
    """
    network.specification.require_lstm("integer arithmetic")
    chosen = network.specification.quantisation
    if chosen is None:
        raise ModelError(
            "has no quantisation, and integers want one: fine-tune the model with "
            "--set quantize=int8, or let python -m export.onnx --integers choose the formats",
            network.path,
        )
    embedding, exponent = _weight(
        network, "prediction.embedding", network.arrays["prediction.embedding"], 8
    )
    start = np.zeros((1, embedding.shape[1]), np.int8)
    e_exponent = chosen.joint + JOINT_HEADROOM
    return IntegerNetwork(
        network.specification,
        chosen,
        _layers(network, chosen, "encoder.pre", chosen.input),
        _layers(network, chosen, "encoder.post", HIDDEN_EXPONENT),
        _layers(network, chosen, "prediction.lstm", exponent),
        np.concatenate([embedding, start]),
        exponent,
        _linear(network, chosen, "joint.encoder", HIDDEN_EXPONENT, SIGNED, e_exponent),
        _linear(network, chosen, "joint.prediction", HIDDEN_EXPONENT, SIGNED, e_exponent),
        _linear(network, chosen, "joint.output", chosen.joint, UNSIGNED, None),
    )


def quantise_weight(weight: NDArray[np.floating[Any]], bits: int = 8) -> tuple[Int8, int]:
    """Return a tensor's integers and their exponent (rule 1).

    Args:
        weight: any shape, finite.
        bits: of an integer, sign included.
    Raises:
        ValueError: the exponent is out of range.
    """
    mantissa, exponent = np.frexp(np.float64(np.abs(weight).max()))
    ceiling = int(exponent) - (mantissa == 0.5)  # ceil(log2), exactly
    f = bits - 1 - (int(ceiling) if mantissa else 0)
    if f not in WEIGHT_EXPONENTS:
        raise ValueError(
            f"its largest weight is {float(np.abs(weight).max()):.4g}, so its exponent is {f}, wants "
            f"{WEIGHT_EXPONENTS.start} to {WEIGHT_EXPONENTS.stop - 1}"
        )
    largest = 2 ** (bits - 1) - 1
    scaled = np.rint(np.ldexp(np.asarray(weight, np.float64), f))
    return np.clip(scaled, -largest, largest).astype(np.int8), f


def _weight(network: Network, name: str, weight: Floats, bits: int) -> tuple[Int8, int]:
    try:
        return quantise_weight(weight, bits)
    except ValueError as error:
        raise ModelError(f"{name}: {error}", network.path) from error


def _layers(
    network: Network, chosen: Quantisation, stack: str, exponent: int
) -> tuple[IntegerLayer, ...]:
    """Quantise a stack of LSTM layers whose first input has the given exponent."""
    layers = []
    for n, arrays in enumerate(network.layers(stack)):
        name = f"{stack}.{n}"
        layers.append(_layer(network, name, arrays, chosen.bits(name), exponent))
        exponent = HIDDEN_EXPONENT
    return tuple(layers)


def _layer(
    network: Network, name: str, arrays: Mapping[str, Floats], bits: int, exponent: int
) -> IntegerLayer:
    """Quantise one LSTM layer whose input has the given exponent (rule 3)."""
    weight_ih, f_ih = _weight(network, f"{name}.weight_ih", arrays["weight_ih"], bits)
    weight_hh, f_hh = _weight(network, f"{name}.weight_hh", arrays["weight_hh"], bits)
    f = max(f_ih + exponent, f_hh + HIDDEN_EXPONENT, CELL_EXPONENT)
    shift_x, shift_h = f - f_ih - exponent, f - f_hh - HIDDEN_EXPONENT
    shift = f - CELL_EXPONENT
    bias = arrays["bias_ih"].astype(np.float64) + arrays["bias_hh"]
    products = ((weight_ih, shift_x), (weight_hh, shift_h))
    rounded, bound = _proved(name, bias, f, products, SIGNED, shift, network.path)
    return IntegerLayer(weight_ih, weight_hh, rounded, shift_x, shift_h, shift, bound)


def _linear(
    network: Network,
    chosen: Quantisation,
    name: str,
    exponent: int,
    largest: int,
    result: int | None,
) -> IntegerLinear:
    """Quantise a linear layer.

    Args:
        exponent, largest: of its input.
        result: exponent of its output (rule 5); None: the accumulator's (rule 7).
    """
    weight, f_weight = _weight(
        network, f"{name}.weight", network.arrays[f"{name}.weight"], chosen.bits(name)
    )
    product = f_weight + exponent
    f = product if result is None else max(product, result)
    shift_in, shift_out = f - product, 0 if result is None else f - result
    bias = network.arrays[f"{name}.bias"].astype(np.float64)
    rounded, bound = _proved(name, bias, f, ((weight, shift_in),), largest, shift_out, network.path)
    return IntegerLinear(weight, rounded, shift_in, shift_out, f - shift_out, bound)


def accumulator_bound(
    bias: NDArray[Any], products: tuple[tuple[Int8, int], ...], largest: int
) -> NDArray[np.object_]:
    """Return what no partial sum of a row exceeds in magnitude, as Python integers (rule 9).

    Args:
        bias: (N,), whole numbers.
        products: weights, (N, K), and how far their products with the input are shifted left.
        largest: magnitude of an input.
    """
    bound = np.array([abs(int(b)) for b in bias], object)
    for weight, left in products:
        bound += largest * np.abs(weight.astype(np.int64)).sum(axis=1).astype(object) * (1 << left)
    return bound


def _proved(
    name: str,
    bias: NDArray[np.float64],
    f: int,
    products: tuple[tuple[Int8, int], ...],
    largest: int,
    shift: int,
    path: Path | None,
) -> tuple[Int32, Int64]:
    """Return the bias as integers, and the bound of each row's accumulator (rule 9).

    Args:
        bias: (N,).
        f: exponent of the accumulator.
        products, largest: as of `accumulator_bound`.
        shift: right, of the accumulator.
    """
    rounded = np.rint(np.ldexp(bias, f))
    bound = accumulator_bound(rounded, products, largest)
    row = int(bound.argmax())
    reach = bound[row] + (1 << (shift + 14)) + (1 << shift)
    if reach >= ACCUMULATOR:
        raise ModelError(
            f"{name}: row {row} of the accumulator may reach {bound[row]}, {reach} with its rounding, "
            f"and int32 ends at 2^31: at the layer's exponent {f} its weights or its bias are too "
            "large; clip them in training",
            path,
        )
    return rounded.astype(np.int32), bound.astype(np.int64)
