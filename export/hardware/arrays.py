"""The arrays, layers and numbers of a hardware bundle: all that a board needs of a model.

Weights, biases and shifts are those of `stream.integer.network`; tables and starting statistics those of
`stream.integer.log_mel` and `stream.integer.normaliser`. Nothing here computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwckpt.hardware_bundle import ArrayEntry, LayerEntry, Type
from stream.engine.front_end import front_end_stages
from stream.front_end.gate import FRAMES_PER_SECOND
from stream.front_end.log_mel import BINS, HOP
from stream.integer.gain_control import STATE
from stream.integer.log_mel import (
    FRACTION,
    LOUDEST,
    ONE_MEL,
    ONE_TABLE,
    ONE_TWIDDLE,
    ONE_WINDOW,
    decibels,
    log2_of,
    log2_table,
    mel_weights,
    twiddles,
    window_weights,
)
from stream.integer.network import (
    CELL_EXPONENT,
    HIDDEN_EXPONENT,
    IntegerLayer,
    IntegerLinear,
    IntegerNetwork,
)
from stream.integer.normaliser import (
    MEAN,
    ONE_ROOT,
    VARIANCE,
    FixedNormaliser,
    inverse_root_table,
)
from stream.model.network import Network
from stream.model.specification import ModelError


class ModelArray(NamedTuple):
    """An array of the bundle and its values."""

    entry: ArrayEntry
    values: NDArray[Any]


def network_layers(
    integers: IntegerNetwork,
) -> Iterator[tuple[str, IntegerLayer | IntegerLinear]]:
    """Yield the layers of a network by name, in the order of computation."""
    for stack, layers in (
        ("encoder.pre", integers.pre),
        ("encoder.post", integers.post),
    ):
        yield from ((f"{stack}.{n}", layer) for n, layer in enumerate(layers))
    yield "joint.encoder", integers.joint_encoder
    yield from ((f"prediction.lstm.{n}", layer) for n, layer in enumerate(integers.prediction))
    yield "joint.prediction", integers.joint_prediction
    yield "joint.output", integers.joint_output


def layer_entries(integers: IntegerNetwork) -> tuple[LayerEntry, ...]:
    """Return the layers of the manifest."""
    return tuple(
        _layer_entry(name, layer, integers.quantisation.bits(name))
        for name, layer in network_layers(integers)
    )


def _layer_entry(name: str, layer: IntegerLayer | IntegerLinear, bits: int) -> LayerEntry:
    if isinstance(layer, IntegerLayer):
        return LayerEntry(
            name=name,
            kind="lstm",
            inputs=layer.weight_ih.shape[1],
            outputs=layer.weight_hh.shape[1],
            bits=bits,
            shift_x=layer.shift_x,
            shift_h=layer.shift_h,
            shift=layer.shift,
            exponent=HIDDEN_EXPONENT,
            bound=int(layer.bound.max()),
        )
    outputs, inputs = layer.weight.shape
    return LayerEntry(
        name=name,
        kind="joint" if name == "joint.output" else "projection",
        inputs=inputs,
        outputs=outputs,
        bits=bits,
        shift_x=layer.shift_in,
        shift=layer.shift_out,
        exponent=layer.exponent,
        bound=int(layer.bound.max()),
    )


def model_arrays(network: Network, integers: IntegerNetwork) -> tuple[ModelArray, ...]:
    """Return all arrays of a model: the front end's tables, then the layers' weights.

    Raises:
        ModelError: the model's front end has no fixed form.
    """
    return (*_front_end_arrays(network), *_weights(integers))


def _array(
    name: str, kind: Type, values: NDArray[Any], meaning: str, exponent: int | None = None
) -> ModelArray:
    entry = ArrayEntry(name=name, type=kind, shape=values.shape, exponent=exponent, meaning=meaning)
    return ModelArray(entry, values)


def _front_end_arrays(network: Network) -> Iterator[ModelArray]:
    """Yield tables and starting statistics (rules 10.4 to 10.15)."""
    specification = network.specification
    normaliser = _normaliser(network)
    mean, variance = (leaf[0] for leaf in normaliser.initial_state(1)[:2])
    last = twiddles()[-1]  # k = 0 to 255: every other stage has a part of them
    mel = mel_weights().T  # (80, 257), a triangle a row
    begins = (mel > 0).argmax(axis=1)
    counts = (mel > 0).sum(axis=1)
    triangles = np.concatenate(
        [row[b : b + n] for row, b, n in zip(mel, begins, counts, strict=True)]
    )
    if len(triangles) != np.count_nonzero(mel):
        raise ValueError("mel triangles are not contiguous")
    yield _array(
        "window", "u16", window_weights(specification.window), "Hann window, 10.4", ONE_WINDOW
    )
    yield _array("twiddle_cos", "i32", last[0], "-cos(2 pi k / 512), 10.6", ONE_TWIDDLE)
    yield _array("twiddle_sin", "i32", last[1], "-sin(2 pi k / 512), 10.6", ONE_TWIDDLE)
    yield _array("mel_begin", "u16", begins, "first spectral bin of each mel bin, 10.9")
    yield _array("mel_count", "u16", counts, "spectral bins of each mel bin, 10.9")
    yield _array(
        "mel_weight", "u16", triangles, "weights of the mel bins, one after another, 10.9", ONE_MEL
    )
    yield _array("log2_table", "u32", log2_table(), "log2(1 + i / 64), 10.10", ONE_TABLE)
    yield _array(
        "root_table", "u32", inverse_root_table(), "1 / sqrt(i / 128), i from 32, 10.15", ONE_ROOT
    )
    yield _array("mean", "i32", mean, "log2 mel power at the start of a stream, 10.12", MEAN)
    yield _array("variance", "u32", variance, "its variance, 10.14", VARIANCE)


def _weights(integers: IntegerNetwork) -> Iterator[ModelArray]:
    """Yield the weights and biases of all layers, and the embedding."""
    for name, layer in network_layers(integers):
        if name == "prediction.lstm.0":
            yield _array(
                "prediction.embedding",
                "i8",
                integers.embedding,
                "a row for each piece, the last for the start of a sequence: zeros; rule 8",
                integers.embedding_exponent,
            )
        if isinstance(layer, IntegerLayer):
            yield _array(
                f"{name}.weight_ih",
                "i8",
                layer.weight_ih,
                "gates i, f, g, o by rows; inputs by columns",
            )
            yield _array(f"{name}.weight_hh", "i8", layer.weight_hh, "the same for h")
            exponent = CELL_EXPONENT + layer.shift
        else:
            yield _array(f"{name}.weight", "i8", layer.weight, "outputs by rows, inputs by columns")
            exponent = layer.exponent + layer.shift_out
        yield _array(f"{name}.bias", "i32", layer.bias, "added to the accumulator", exponent)


def _normaliser(network: Network) -> FixedNormaliser:
    normaliser = front_end_stages(network, "fixed")[1]
    if not isinstance(normaliser, FixedNormaliser):
        raise TypeError("the fixed front end has another normaliser")
    return normaliser


def model_constants(network: Network, integers: IntegerNetwork) -> dict[str, int]:
    """Return sizes, flags and thresholds by their names in manifest and header.

    Raises:
        ModelError: the model's front end has no fixed form, or its encoder's chunk is not six frames.
    """
    specification = network.specification
    encoder = specification.encoder
    control, gate = specification.gain_control, specification.gate
    floor = log2_of(specification.floor)
    if encoder.chunk_samples != 6 * HOP:
        raise ModelError(f"hardware bundle: a chunk has {encoder.chunk_samples} samples, wants 960")
    constants = {
        "window": specification.window,
        "initial_padding": int(specification.initial_padding),
        "final_padding": specification.final_padding,
        "floor": floor,
        "lowest": log2_of(control.lowest(specification.floor)) if control else floor,
        "gain_control": int(control is not None),
        "gate": int(gate is not None),
        "alpha": _normaliser(network).weight,
        "input_exponent": integers.quantisation.input,
        "mute_chunks": specification.mute_chunks,
        "sound_chunks": specification.sound_chunks,
        "pre_layers": len(integers.pre),
        "post_layers": len(integers.post),
        "hidden": specification.hidden,
        "prediction_layers": len(integers.prediction),
        "prediction_hidden": specification.prediction_hidden,
        "joint": specification.joint,
        "classes": specification.blank + 1,
        "symbols": specification.token_cap,
        "running_symbols": int(specification.symbol_counter == "running"),
    }
    if control is not None:
        constants |= {
            "gain_most": decibels(control.gain, STATE),
            "gain_background": decibels(control.background, STATE),
            "gain_speech": decibels(control.speech, STATE),
            "gain_rise": decibels(control.rise / FRAMES_PER_SECOND, STATE),
            "gain_attack": decibels(control.attack / FRAMES_PER_SECOND, STATE),
            "gain_release": decibels(control.release / FRAMES_PER_SECOND, STATE),
            "gain_loudest": LOUDEST << STATE,
            "tone": BINS * decibels(control.tone, FRACTION),
        }
    if gate is not None:
        constants |= {
            "gate_margin": BINS * decibels(gate.margin, FRACTION),
            "gate_rise": decibels(BINS * gate.rise / FRAMES_PER_SECOND, FRACTION),
            "gate_hold": gate.frames,
            "gate_loudest": BINS * (LOUDEST << FRACTION),
        }
    return constants
