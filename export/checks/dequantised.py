"""Restored weights: the float network that int8 or integer files stand for, held against the model.

The inverse of `export.onnx.int8` and `stream.integer.network`, written without them: a weight is its integer times
its scale, and the scale that it should have follows from the model's floats. So a weight, a bias or a
scale that was written wrongly is found by its name, whatever computes with it. Restored networks also
tell rounded weights from rounded activations: `export.checks.verification` runs them in float32.

Biases are restored as their sum in `bias_ih`, with `bias_hh` zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.integer.network import CELL_EXPONENT, HIDDEN_EXPONENT, IntegerLinear, IntegerNetwork
from stream.model.network import Network

__all__ = ["check_weights", "restore_int8", "restore_integers"]

Arrays = dict[str, NDArray[Any]]
ZERO = 128  # of the embedding as u8
UNIT = 1.0 / 127.0  # scale of h in int8
SLACK = 1.01  # float32 scales against float64 ones
BIAS_ERROR = 1e-5  # of a bias that stays a float


def restore_int8(network: Network, stored: Mapping[str, NDArray[Any]]) -> tuple[Network, Arrays]:
    """Return the network that int8 weights stand for.

    Args:
        network: the model.
        stored: content of `weights.int8.safetensors`; a layer that it has not is in float.
    Returns:
        the restored network, and by array how far it may be from the model: half a step.
    """
    arrays: Arrays = dict(network.arrays)
    allowed: Arrays = {}
    embedding = arrays["prediction.embedding"]
    step = max(float(np.abs(embedding).max()), 1e-12) / 127.0
    if "prediction.embedding" in stored:
        arrays["prediction.embedding"] = (stored["prediction.embedding"][:-1] - float(ZERO)) * step
        allowed["prediction.embedding"] = np.array(step / 2)

    def weight(name: str, of_input: float) -> NDArray[np.float64]:
        scale = stored[f"{name}.scale"].astype(np.float64) / of_input
        restored: NDArray[np.float64] = stored[f"{name}.weight"].T * scale[:, None]
        return restored

    for stack, first in (
        ("encoder.pre", stored["x.scale"].item()),
        ("encoder.post", None),
        ("prediction.lstm", step),
    ):
        for n, layer in enumerate(network.layers(stack)):
            name = f"{stack}.{n}"
            if f"{name}.scale" not in stored:
                continue
            inputs, units = layer["weight_ih"].shape[1], layer["weight_hh"].shape[1]
            slope = np.repeat([0.125, 0.125, 1.0, 0.125], units)
            offset = np.repeat([0.5, 0.5, 0.0, 0.5], units)
            if network.specification.activation == "soft":
                slope, offset = np.ones_like(slope), np.zeros_like(offset)
            if n == 0 and first is not None:
                parts = weight(f"{name}.input", first), weight(name, UNIT)
                bias = stored[f"{name}.input.bias"] + stored[f"{name}.bias"]
            else:
                both = weight(name, UNIT)
                parts, bias = (both[:, :inputs], both[:, inputs:]), stored[f"{name}.bias"]
            largest = np.maximum(
                *(np.abs(layer[k]).max(axis=1) for k in ("weight_ih", "weight_hh"))
            )
            for key, part in zip(("weight_ih", "weight_hh"), parts, strict=True):
                arrays[f"{name}.{key}"] = part / slope[:, None]
                allowed[f"{name}.{key}"] = largest[:, None] / 254.0
            arrays[f"{name}.bias_ih"] = (bias - offset) / slope
            arrays[f"{name}.bias_hh"] = np.zeros_like(layer["bias_hh"])
            allowed[f"{name}.bias_ih"] = np.array(BIAS_ERROR)
    for name, of_input in (
        ("joint.encoder", UNIT),
        ("joint.prediction", UNIT),
        ("joint.output", stored["joint.scale"].item()),
    ):
        if f"{name}.scale" not in stored:
            continue
        largest = np.abs(network.arrays[f"{name}.weight"]).max(axis=1, keepdims=True)
        arrays[f"{name}.weight"] = weight(name, of_input)
        allowed[f"{name}.weight"] = largest / 254.0
        arrays[f"{name}.bias"] = stored[f"{name}.bias"]
        allowed[f"{name}.bias"] = np.array(BIAS_ERROR)
    return _network(network, arrays), allowed


def restore_integers(network: Network, integers: IntegerNetwork) -> tuple[Network, Arrays]:
    """Return the network that integers stand for, rules 1, 3, 5, 7 and 8 of docs/integer.md.

    Args:
        network: the model.
        integers: of it.
    Returns:
        the restored network, and by array how far it may be from the model: half a step, and a whole
        one where the largest weight is a power of two and saturates.
    """
    arrays: Arrays = dict(network.arrays)
    allowed: Arrays = {}
    chosen = integers.quantisation

    def weight(name: str, values: NDArray[np.int8], exponent: int, bits: int) -> float:
        """Restore a weight; returns its step."""
        model = np.abs(network.arrays[name]).astype(np.float64)
        largest = float(model.max())
        most = (1 << (bits - 1)) - 1
        ceiling = math.ceil(math.log2(largest)) if largest else 0
        step = math.ldexp(1.0, ceiling) / (most + 1)
        arrays[name] = np.ldexp(values.astype(np.float64), -exponent)
        allowed[name] = np.where(model > (most + 0.5) * step, step, step / 2)
        return step

    weight("prediction.embedding", integers.embedding[:-1], integers.embedding_exponent, 8)
    for stack, layers, first in (
        ("encoder.pre", integers.pre, chosen.input),
        ("encoder.post", integers.post, HIDDEN_EXPONENT),
        ("prediction.lstm", integers.prediction, integers.embedding_exponent),
    ):
        for n, layer in enumerate(layers):
            name, bits = f"{stack}.{n}", chosen.bits(f"{stack}.{n}")
            f = layer.shift + CELL_EXPONENT
            of_input = first if n == 0 else HIDDEN_EXPONENT
            weight(f"{name}.weight_ih", layer.weight_ih, f - layer.shift_x - of_input, bits)
            exponent = f - layer.shift_h - HIDDEN_EXPONENT
            step = weight(f"{name}.weight_hh", layer.weight_hh, exponent, bits)
            arrays[f"{name}.bias_ih"] = np.ldexp(layer.bias.astype(np.float64), -f)
            arrays[f"{name}.bias_hh"] = np.zeros_like(network.arrays[f"{name}.bias_hh"])
            allowed[f"{name}.bias_ih"] = np.array(step * 2.0 ** -(HIDDEN_EXPONENT + 1))

    def linear(name: str, of: IntegerLinear, of_input: int) -> None:
        f = of.exponent + of.shift_out
        exponent = f - of.shift_in - of_input
        step = weight(f"{name}.weight", of.weight, exponent, chosen.bits(name))
        arrays[f"{name}.bias"] = np.ldexp(of.bias.astype(np.float64), -f)
        allowed[f"{name}.bias"] = np.array(step * 2.0 ** -(of_input + 1))

    linear("joint.encoder", integers.joint_encoder, HIDDEN_EXPONENT)
    linear("joint.prediction", integers.joint_prediction, HIDDEN_EXPONENT)
    linear("joint.output", integers.joint_output, chosen.joint)
    return _network(network, arrays), allowed


def check_weights(network: Network, restored: Network, allowed: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a restored network that is further from the model than rounding takes it.

    Raises:
        ValueError: a weight is; the message names it.
    """
    for name, most in allowed.items():
        want, got = (each.arrays[name].astype(np.float64) for each in (network, restored))
        if name.endswith(".bias_ih"):
            other = f"{name.removesuffix('ih')}hh"
            want, got = want + network.arrays[other], got + restored.arrays[other]
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
