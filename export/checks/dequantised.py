"""Dequantised weights: the float network that int8 or integer files stand for, checked against the model.

The inverse of `export.onnx.int8` and `stream.integer.network`, written without them: a weight is its
integer times its scale, and the scale that it should have follows from the model's floats. So a weight,
a bias or a scale that was written wrongly is found by its name, whatever computes with it. Dequantised
networks also tell rounded weights from rounded activations: `export.checks.verification` runs them in
float32.

Biases are dequantised as their sum, in `bias_ih`, with `bias_hh` zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.integer.network import CELL_EXPONENT, HIDDEN_EXPONENT, IntegerNetwork
from stream.model.network import Network

Arrays = dict[str, NDArray[Any]]
EMBEDDING = "prediction.embedding"
ZERO = 128  # of the embedding as u8
UNIT = 1.0 / 127.0  # scale of h in int8
SLACK = 1.01  # float32 scales against float64 ones
BIAS_ERROR = 1e-5  # of a bias that stays a float


def dequantise_int8(network: Network, stored: Mapping[str, NDArray[Any]]) -> tuple[Network, Arrays]:
    """Return the network that int8 weights stand for.

    Args:
        stored: content of `weights.int8.safetensors`; a layer that is not in it is in float.
    Returns:
        the dequantised network, and by array how far it may be from the model: half a step.
    """
    spec = network.specification
    arrays: Arrays = dict(network.arrays)
    allowed: Arrays = {}
    step = 0.0
    if EMBEDDING in stored:
        step = max(float(np.abs(arrays[EMBEDDING]).max()), 1e-12) / 127.0
        arrays[EMBEDDING] = (stored[EMBEDDING][:-1] - float(ZERO)) * step
        allowed[EMBEDDING] = np.array(step / 2)

    def weight(name: str, of_input: float) -> NDArray[np.float64]:
        scale = stored[f"{name}.scale"].astype(np.float64) / of_input
        dequantised: NDArray[np.float64] = stored[f"{name}.weight"].T * scale[:, None]
        return dequantised

    def layer(name: str, of_input: float) -> None:
        weights = {key: network.arrays[f"{name}.{key}"] for key in ("weight_ih", "weight_hh")}
        inputs, units = (each.shape[1] for each in weights.values())
        slope, offset = np.ones(4 * units), np.zeros(4 * units)
        if spec.activation == "hard":
            slope = np.repeat([0.125, 0.125, 1.0, 0.125], units)
            offset = np.repeat([0.5, 0.5, 0.0, 0.5], units)
        bias = stored[f"{name}.bias"]
        if f"{name}.input.scale" in stored:  # a product for each, each with its own steps
            parts = weight(f"{name}.input", of_input), weight(name, UNIT)
            bias = stored[f"{name}.input.bias"] + bias
        else:
            both = weight(name, UNIT)
            parts = both[:, :inputs], both[:, inputs:]
        largest = np.maximum(*(np.abs(each).max(axis=1) for each in weights.values()))
        for key, part in zip(weights, parts, strict=True):
            arrays[f"{name}.{key}"] = part / slope[:, None]
            allowed[f"{name}.{key}"] = largest[:, None] / 254.0
        arrays[f"{name}.bias_ih"] = (bias - offset) / slope
        arrays[f"{name}.bias_hh"] = np.zeros_like(network.arrays[f"{name}.bias_hh"])
        allowed[f"{name}.bias_ih"] = np.array(BIAS_ERROR)

    def linear(name: str, of_input: float) -> None:
        largest = np.abs(network.arrays[f"{name}.weight"]).max(axis=1, keepdims=True)
        arrays[f"{name}.weight"], allowed[f"{name}.weight"] = (
            weight(name, of_input),
            largest / 254.0,
        )
        if f"{name}.bias" in arrays:
            arrays[f"{name}.bias"] = stored[f"{name}.bias"]
            allowed[f"{name}.bias"] = np.array(BIAS_ERROR)

    for name in (key.removesuffix(".weight") for key in stored if key.endswith(".weight")):
        if f"{name}.x.scale" in stored:
            linear(name, stored[f"{name}.x.scale"].item())
        elif name.startswith("joint."):
            linear(name, stored["joint.scale"].item() if name == "joint.output" else UNIT)
        elif name in spec.layer_names:  # of LSTMs, with its part ".input"
            layer(name, stored["x.scale"].item() if name.startswith("encoder.") else step)
    return _network(network, arrays), allowed


def dequantise_integers(network: Network, integers: IntegerNetwork) -> tuple[Network, Arrays]:
    """Return the network that integers stand for, rules 1, 3, 5, 7 and 8 of docs/integer.md.

    Args:
        integers: of it.
    Returns:
        the dequantised network, and by array how far it may be from the model: half a step, and a
        whole one where the largest weight is a power of two and saturates.
    """
    spec = network.specification
    arrays: Arrays = dict(network.arrays)
    allowed: Arrays = {}
    chosen = integers.quantisation

    def weight(name: str, values: NDArray[np.int8], exponent: int, bits: int) -> float:
        """Dequantise a weight; returns its step."""
        model = np.abs(network.arrays[name]).astype(np.float64)
        largest = float(model.max())
        most = (1 << (bits - 1)) - 1
        ceiling = math.ceil(math.log2(largest)) if largest else 0
        step = math.ldexp(1.0, ceiling) / (most + 1)
        arrays[name] = np.ldexp(values.astype(np.float64), -exponent)
        allowed[name] = np.where(model > (most + 0.5) * step, step, step / 2)
        return step

    weight(EMBEDDING, integers.embedding[:-1], integers.embedding_exponent, 8)
    encoder, prediction = spec.encoder.layers(), spec.prediction.layers()
    layers = (*integers.pre, *integers.post, *integers.prediction)
    first = {encoder[0]: chosen.input, prediction[0]: integers.embedding_exponent}
    for name, layer in zip((*encoder, *prediction), layers, strict=True):
        of_input, f = first.get(name, HIDDEN_EXPONENT), layer.shift + CELL_EXPONENT
        bits = chosen.bits(name)
        weight(f"{name}.weight_ih", layer.weight_ih, f - layer.shift_x - of_input, bits)
        exponent = f - layer.shift_h - HIDDEN_EXPONENT
        step = weight(f"{name}.weight_hh", layer.weight_hh, exponent, bits)
        arrays[f"{name}.bias_ih"] = np.ldexp(layer.bias.astype(np.float64), -f)
        arrays[f"{name}.bias_hh"] = np.zeros_like(network.arrays[f"{name}.bias_hh"])
        allowed[f"{name}.bias_ih"] = np.array(step * 2.0 ** -(HIDDEN_EXPONENT + 1))
    for name, linear, of_input in (
        ("joint.encoder", integers.joint_encoder, HIDDEN_EXPONENT),
        ("joint.prediction", integers.joint_prediction, HIDDEN_EXPONENT),
        ("joint.output", integers.joint_output, chosen.joint),
    ):
        f = linear.exponent + linear.shift_out
        exponent = f - linear.shift_in - of_input
        step = weight(f"{name}.weight", linear.weight, exponent, chosen.bits(name))
        arrays[f"{name}.bias"] = np.ldexp(linear.bias.astype(np.float64), -f)
        allowed[f"{name}.bias"] = np.array(step * 2.0 ** -(of_input + 1))
    return _network(network, arrays), allowed


def check_weights(
    network: Network, dequantised: Network, allowed: Mapping[str, NDArray[Any]]
) -> None:
    """Refuse a dequantised network that is further from the model than rounding takes it.

    Raises:
        ValueError: a weight is; the message names it.
    """
    for name, most in allowed.items():
        want, got = (each.arrays[name].astype(np.float64) for each in (network, dequantised))
        if name.endswith(".bias_ih"):
            other = f"{name.removesuffix('ih')}hh"
            want, got = want + network.arrays[other], got + dequantised.arrays[other]
        # What is compared is float32 of float64 values.
        excess = np.abs(want - got) - SLACK * most - 1e-6 * np.abs(want)
        if not excess.max() <= 0.0:
            excess[np.isnan(excess)] = np.inf
            at = np.unravel_index(int(excess.argmax()), excess.shape)
            moved = float(np.broadcast_to(most, excess.shape)[at])
            raise ValueError(
                f"{name} at {[int(n) for n in at]} stands for {got[at]:.6g}, the model's is "
                f"{want[at]:.6g}, which rounding moves by {moved:.2g} at most"
            )


def _network(network: Network, arrays: Mapping[str, NDArray[Any]]) -> Network:
    """Return the network with other arrays, as float32."""
    return replace(network, arrays={name: a.astype(np.float32) for name, a in arrays.items()})
