"""Build the files of a model directory that ONNX Runtime runs: graphs and the weights they point into.

    float32   encoder.onnx, prediction.onnx, joint.onnx, and ctc.onnx of a model with a CTC head; their
              weights are the model's own file
    int8      encoder.int8.onnx, ..., weights.int8.safetensors (`export.onnx.int8`)
    integer   encoder.integer.onnx, ..., weights.integer.safetensors (`export.onnx.integer`)

All formats have the same inputs and outputs, except for the states. This module needs the package onnx, an
extra: import it inside the function that builds (`stream.extras`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from numpy.typing import NDArray

from export.onnx import ctc, int8, integer, joint, lstm
from export.onnx.arithmetic import Arithmetic
from export.onnx.encoders import encoder_of
from export.onnx.float32 import Float32Graph
from export.onnx.graph import WeightFile
from export.onnx.int8 import Int8Graph
from export.onnx.integer import IntegerGraph
from export.onnx.prediction import prediction_of
from export.onnx.ranges import Ranges
from export.watched import WatchedBackend
from stream.backends import Backend
from stream.backends.numpy import NumpyBackend
from stream.integer.network import IntegerLayer, IntegerNetwork, to_integers
from stream.model.directory import CTC_GRAPH, INT8_WEIGHTS, INTEGER_WEIGHTS, WEIGHTS
from stream.model.network import Network
from stream.model.specification import ModelError, Specification

Arrays = Mapping[str, NDArray[Any]]


def build(
    network: Network,
    *,
    ranges: Ranges | None = None,
    float_layers: Collection[str] = (),
    integers: bool = False,
    standard: bool = False,
    inside: bool = False,
) -> dict[str, bytes]:
    """Build the graphs in float32, and in int8 and integers where these are asked for.

    Args:
        network: of number format float32.
        ranges: of the int8 graphs; None: build none.
        float_layers: to keep in float32 there, by `Specification.layer_names`.
        integers: whether to build the graphs of the network's quantisation.
        standard: write int8 and integers with operators of ONNX alone.
        inside: put the weights into the graphs, for a model that never touches a disk.
    Returns:
        contents by file name, as `stream.model.directory.writing` takes them.
    Raises:
        ModelError: ONNX Runtime lacks the network's number format, the encoder family lacks a
            format, or the integers may overflow.
        ValueError: there is no layer of such a name.
    """
    spec = network.specification
    if spec.number_format != "float32":
        raise ModelError(
            f"ONNX graphs compute float32, the model's number format is {spec.number_format}: run it "
            "on the numpy backend",
            network.path,
        )
    spec.check_layers(float_layers, "float_layers")
    model = WeightFile(network.arrays, None if inside else WEIGHTS)
    files = _graphs("", spec, lambda: Float32Graph([model]))
    if "ctc" in spec.heads:
        head = Float32Graph([model])
        ctc.write(head, spec.joint, spec.vocabulary + 1)
        files[CTC_GRAPH] = head.model("ctc")
    if ranges is not None:
        arrays = int8_arrays(network, ranges, float_layers)
        rounded = WeightFile(arrays, None if inside else INT8_WEIGHTS)
        files |= _graphs(".int8", spec, lambda: Int8Graph([rounded, model], standard=standard))
        files |= _content(rounded)
    if integers:
        files |= build_integers(to_integers(network), standard=standard, inside=inside)
    return files


def build_integers(
    network: IntegerNetwork, *, standard: bool = False, inside: bool = False
) -> dict[str, bytes]:
    """Build the graphs of integers alone; arguments as for `build`."""
    file = WeightFile(integer_arrays(network), None if inside else INTEGER_WEIGHTS)

    def new() -> IntegerGraph:
        return IntegerGraph(
            [file],
            standard=standard,
            layers=_integer_layers(network),
            linears=integer.linears(network),
            input_exponent=network.quantisation.input,
            joint_exponent=network.joint_encoder.exponent,
        )

    return {**_graphs(".integer", network.specification, new), **_content(file)}


def calibrating(network: Network) -> Backend:
    """Return the backend that `export.calibration` takes ranges from.

    Raises:
        ModelError: the encoder family has no graphs.
    """
    if not encoder_of(network.specification).calibrated:
        return NumpyBackend(network)
    return WatchedBackend(network, build(network, inside=True))


def int8_arrays(network: Network, ranges: Ranges, float_layers: Collection[str] = ()) -> Arrays:
    """Return the content of `weights.int8.safetensors`, by name."""
    parts = [encoder_of(network.specification)]
    if "transducer" in network.specification.heads:
        parts.append(prediction_of(network.specification))
    arrays = dict(int8.joint_arrays(network, ranges, float_layers))
    for part in parts:
        arrays |= part.int8_arrays(network, ranges, float_layers)
    return arrays


def integer_arrays(network: IntegerNetwork) -> Arrays:
    """Return the content of `weights.integer.safetensors`, by name."""
    return {**lstm.integer_arrays(_integer_layers(network)), **integer.part_arrays(network)}


def _integer_layers(network: IntegerNetwork) -> dict[str, IntegerLayer]:
    return {
        **encoder_of(network.specification).integer_layers(network),
        **prediction_of(network.specification).integer_layers(network),
    }


def _graphs(kind: str, spec: Specification, new: Callable[[], Arithmetic]) -> dict[str, bytes]:
    """Write the encoder and the transducer of a kind, such as ".int8", each part into a new graph."""
    parts: dict[str, Callable[[Arithmetic], None]] = {
        "encoder": lambda graph: encoder_of(spec).write(graph, spec),
    }
    if "transducer" in spec.heads:
        parts["prediction"] = lambda graph: prediction_of(spec).write(graph, spec)
        parts["joint"] = lambda graph: joint.write(graph, spec.joint, spec.vocabulary + 1)
    files = {}
    for name, write in parts.items():
        graph = new()
        write(graph)
        files[f"{name}{kind}.onnx"] = graph.model(f"{name}{kind}")
    return files


def _content(file: WeightFile) -> dict[str, bytes]:
    return {file.location: file.content} if file.location else {}
