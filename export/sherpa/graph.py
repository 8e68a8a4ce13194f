"""Rill's graphs with the inputs and outputs of sherpa-onnx's stateful transducer or CTC model, those for NeMo.

The graphs of one step are taken as they are, float32 or int8; nodes before and after them make what
sherpa-onnx 2 feeds and reads, by position:

    encoder   features (B, 80, n), length (B,) int64, cache_last_channel (B, 1, 1, S),
              cache_last_time (B, 1, 2, 80), cache_last_channel_len (B,) int64
              -> f (B, J, m), length (B,) int64, the three caches
    ctc       the same -> log_probabilities (B, m, C), the rest
    decoder   token (1, 1) int32, length (1,) int32, h, c (layers, 1, P) -> g (1, J, 1), length, h, c
    joiner    f (1, J, 1), g (1, J, 1) -> logits (1, 1, 1, C)

float32 unless stated otherwise. S is all of an encoder's states, flattened; n are the log-mel frames of its chunk,
m its encoder frames. The decoder is an LSTM's.

1. Caches begin as zeros. The encoder's third counts frames: while it is 0 the running statistics are
   the data set's. A state of int8, whose zero is 128, lies in its cache less 128.
2. The normaliser is unrolled over the frames of a chunk in the order of `stream.front_end.normaliser`, so that it rounds
   as that does, and int8 after it gives the same integers.
3. What sherpa-onnx has to know is in the encoder's metadata; one missing integer ends its process.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from export.onnx.graph import FLOAT, INT64, Graph
from stream.backends.onnx import AFTER, NEW
from stream.front_end.log_mel import BINS, HOP
from stream.front_end.stacking import STACK
from stream.model.network import Network
from stream.model.specification import ModelError

INT32, UINT8 = TensorProto.INT32, TensorProto.UINT8
FLOOR = 2.0**-23  # of mel power, in sherpa-onnx' front end
END = np.iinfo(np.int64).max  # of a slice that goes to the end
LEAST_VARIANCE = 1e-6  # its digital silence is constant, and a variance that decays to 0 divides
ZERO = 128  # of a u8 state
INNER, HEAD = "inner.", "head."


def wrap(network: Network, graphs: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return sherpa-onnx' three models of a transducer, or the one of a CTC model.

    Args:
        graphs: of one step, with their weights inside: "encoder", and "prediction" and "joint" or "ctc".
    Returns:
        serialised models by file name.
    Raises:
        ModelError: sherpa-onnx cannot compute this model's features.
    """
    spec = network.specification
    if spec.window != 400 or spec.initial_padding or spec.floor < FLOOR:
        raise ModelError(
            f"sherpa-onnx' front end has a window of 400 samples, no initial padding and a floor of "
            f"{FLOOR}; this model wants {spec.window}, {spec.initial_padding}, {spec.floor}",
            network.path,
        )
    inner = {name: onnx.load_from_string(content) for name, content in graphs.items()}
    if "ctc" in inner:
        return {"model.onnx": _encoder(_Inner(inner["encoder"]), network, inner["ctc"])}
    return {
        "encoder.onnx": _encoder(_Inner(inner["encoder"]), network),
        "decoder.onnx": _decoder(_Inner(inner["prediction"]), network),
        "joiner.onnx": _joiner(_Inner(inner["joint"]), network),
    }


class _Inner(Graph):
    """A graph around another one: its inputs are fed, its outputs become values.

    Attributes:
        states: name, type and shape of the states of the inner graph, without the batch.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self.inner = compose.add_prefix(model, INNER).graph
        self.initializers = {each.name: each for each in self.inner.initializer}
        self._outputs = {value.name for value in self.inner.output}
        self.states = [
            (
                value.name.removeprefix(INNER),
                kind.elem_type,
                [dim.dim_value for dim in kind.shape.dim[1:]],
            )
            for value in self.inner.input
            if {f"{value.name}{AFTER}", f"{value.name}{NEW}"} & self._outputs
            for kind in [value.type.tensor_type]
        ]

    def feed(self, name: str, value: str) -> None:
        """Give an input of the inner graph a value."""
        self.nodes.append(helper.make_node("Identity", [value], [f"{INNER}{name}"]))

    def insert(self) -> None:
        """Add the inner graph; all its inputs were fed."""
        self.nodes.extend(self.inner.node)

    def from_cache(self, value: str, kind: int) -> str:
        """Return a state as the inner graph has it (rule 1)."""
        if kind == UINT8:
            return self.node("Cast", [self.node("Add", [value, self.number(ZERO)])], to=UINT8)
        return value

    def to_cache(self, value: str, kind: int) -> str:
        """Return a state as it lies in a cache."""
        if kind == UINT8:
            return self.node("Sub", [self.node("Cast", [value], to=FLOAT), self.number(ZERO)])
        return value

    def after(self, name: str, frames: int) -> str:
        """Return a state after the step, whose encoder frames are so many."""
        state = f"{INNER}{name}"
        if f"{state}{AFTER}" in self._outputs:
            return f"{state}{AFTER}"
        longer = self.node("Concat", [state, f"{state}{NEW}"], axis=1)
        return self.slice(longer, self.axes(frames), self.axes(END), 1)


def _encoder(graph: _Inner, network: Network, head: onnx.ModelProto | None = None) -> bytes:
    """Return the encoder, or with a head a CTC model."""
    spec = network.specification
    encoder = spec.encoder
    inputs = encoder.chunk_samples // HOP
    x = graph.input("features", FLOAT, ["B", BINS, inputs])
    length = graph.input("length", INT64, ["B"])
    sizes = [int(np.prod(shape)) for _, _, shape in graph.states]
    channel = graph.input("cache_last_channel", FLOAT, ["B", 1, 1, sum(sizes)])
    statistics = graph.input("cache_last_time", FLOAT, ["B", 1, 2, BINS])
    count = graph.input("cache_last_channel_len", INT64, ["B"])

    z, statistics = _normalise(graph, x, statistics, count, network)
    graph.feed("x", graph.node("Reshape", [z, graph.axes(0, encoder.chunk_inputs, encoder.inputs)]))
    if encoder.family == "lstm":
        whole = graph.node("Greater", [length, graph.constant("stack", np.array(STACK, np.int64))])
        there = graph.node("Unsqueeze", [graph.node("Cast", [whole], to=FLOAT), graph.axes(1)])
        graph.feed("second", there)
    else:
        order = graph.constant("order", np.arange(inputs))
        there = graph.node("Less", [order, graph.unsqueeze(length, 1)])
        graph.feed("present", graph.node("Cast", [there], to=FLOAT))
    first = graph.node("Split", [channel, graph.axes(*sizes)], outputs=len(sizes), axis=3)
    for n, (name, kind, shape) in enumerate(graph.states):
        part = graph.from_cache(f"{first}.{n}" if n else first, kind)
        graph.feed(name, graph.node("Reshape", [part, graph.axes(0, *shape)]))
    graph.insert()

    if head is not None:
        scores = _scores(graph, head, spec.joint, encoder.chunk_frames)
        graph.output(scores, "log_probabilities", ["B", encoder.chunk_frames, spec.vocabulary + 1])
    elif encoder.family == "lstm":
        f = graph.node("Unsqueeze", [f"{INNER}f", graph.axes(2)])
        graph.output(f, "outputs", ["B", spec.joint, 1])
    else:
        f = graph.node("Transpose", [f"{INNER}f"], perm=[0, 2, 1])
        graph.output(f, "outputs", ["B", spec.joint, encoder.chunk_frames])
    graph.output(length, "output_length", ["B"], INT64)
    parts = [
        graph.node("Reshape", [graph.to_cache(after, kind), graph.axes(0, 1, 1, -1)])
        for name, kind, _ in graph.states
        for after in [graph.after(name, encoder.chunk_frames)]
    ]
    packed = graph.node("Concat", parts, axis=3)
    graph.output(packed, "next_cache_last_channel", ["B", 1, 1, sum(sizes)])
    graph.output(statistics, "next_cache_last_time", ["B", 1, 2, BINS])
    graph.output(graph.node("Add", [count, length]), "next_cache_last_channel_len", ["B"], INT64)
    return _model(
        graph,
        "encoder",
        {
            "vocab_size": spec.vocabulary,
            "window_size": inputs,
            "chunk_shift": inputs,
            "subsampling_factor": encoder.frame_samples // HOP,
            "normalize_type": "NA",  # it is in the graph
            **({} if head else {"pred_rnn_layers": spec.prediction_layers}),
            **({} if head else {"pred_hidden": spec.prediction_hidden}),
            **dict(zip(_dimensions("channel"), (1, 1, sum(sizes)), strict=True)),
            **dict(zip(_dimensions("time"), (1, 2, BINS), strict=True)),
        },
    )


def _scores(graph: _Inner, head: onnx.ModelProto, joint: int, frames: int) -> str:
    """Add CTC's log-probabilities, (B, frames, C), of the encoder's frames."""
    inner = compose.add_prefix(head, HEAD).graph
    graph.initializers |= {each.name: each for each in inner.initializer}
    rows = graph.reshape(f"{INNER}f", -1, joint)
    graph.nodes.append(helper.make_node("Identity", [rows], [f"{HEAD}f"]))
    graph.nodes.extend(inner.node)
    return graph.reshape(
        f"{HEAD}log_probabilities",
        -1,
        frames,
        inner.output[0].type.tensor_type.shape.dim[1].dim_value,
    )


def _dimensions(cache: str) -> list[str]:
    return [f"cache_last_{cache}_dim{n}" for n in (1, 2, 3)]


def _normalise(
    graph: _Inner, x: str, statistics: str, count: str, network: Network
) -> tuple[str, str]:
    """Add rule 2; returns z (B, 6, 80) and mean and variance, (B, 1, 2, 80), after."""
    statistic = [network.arrays[f"normaliser.{name}"] for name in ("mean", "variance")]
    stored = graph.constant("statistics", np.stack(statistic)[None])
    begun = graph.node("Greater", [count, graph.constant("none", np.array(0, np.int64))])
    begun = graph.node("Unsqueeze", [begun, graph.axes(1, 2)])
    cached = graph.node("Squeeze", [statistics, graph.axes(1)])
    both = graph.node("Where", [begun, cached, stored])
    first = graph.node("Split", [both], outputs=2, axis=1, num_outputs=2)
    mean, variance = first, f"{first}.1"
    x = graph.node("Transpose", [x], perm=[0, 2, 1])
    if network.specification.floor > FLOOR:
        x = graph.node("Max", [x, graph.number(float(np.log(network.specification.floor)))])
    frames = network.specification.encoder.chunk_samples // HOP
    means, variances = [mean] * frames, [variance] * frames
    if weight := network.specification.alpha:
        alpha, rest = graph.number(weight), graph.number(1.0 - weight)
        first = graph.node("Split", [x], outputs=frames, axis=1, num_outputs=frames)
        for n in range(frames):
            difference = graph.node("Sub", [f"{first}.{n}" if n else first, mean])
            scaled = graph.node("Mul", [alpha, difference])
            mean = graph.node("Add", [mean, scaled])
            squared = graph.node("Mul", [scaled, difference])
            variance = graph.node("Mul", [rest, graph.node("Add", [variance, squared])])
            means[n], variances[n] = mean, variance
    centred = graph.node("Sub", [x, graph.node("Concat", means, axis=1)])
    variances = [graph.node("Concat", variances, axis=1), graph.number(LEAST_VARIANCE)]
    deviation = graph.node("Sqrt", [graph.node("Max", variances)])
    after = graph.node("Concat", [mean, variance], axis=1)
    return (
        graph.node("Div", [centred, deviation]),
        graph.node("Unsqueeze", [after, graph.axes(1)]),
    )


def _decoder(graph: _Inner, network: Network) -> bytes:
    spec = network.specification
    layers, hidden = spec.prediction_layers, spec.prediction_hidden
    token = graph.input("targets", INT32, [1, 1])
    length = graph.input("target_length", INT32, [1])
    packed = {kind: graph.input(kind, FLOAT, [layers, 1, hidden]) for kind in "hc"}
    flat = graph.node("Reshape", [graph.node("Cast", [token], to=INT64), graph.axes(-1)])
    graph.feed("token", flat)
    for name, kind, shape in graph.states:
        if len(shape) == 1:  # a layer's
            index = graph.constant(f"index{name[1:]}", np.array(int(name[2:]), np.int64))
            part = graph.node("Gather", [packed[name[0]], index], axis=0)
        else:
            part = graph.node("Transpose", [packed[name[0]]], perm=[1, 0, 2])
        graph.feed(name, graph.from_cache(part, kind))
    graph.insert()

    graph.output(
        graph.node("Unsqueeze", [f"{INNER}g", graph.axes(2)]), "outputs", [1, spec.joint, 1]
    )
    graph.output(length, "prednet_lengths", [1], INT32)
    for packed_kind in "hc":
        rows = []
        for name, kind, shape in graph.states:
            if name[0] != packed_kind:
                continue
            row = graph.to_cache(graph.after(name, 0), kind)
            if len(shape) == 1:
                rows.append(graph.node("Unsqueeze", [row, graph.axes(0)]))
            else:
                rows.append(graph.node("Transpose", [row], perm=[1, 0, 2]))
        whole = graph.node("Concat", rows, axis=0)
        graph.output(whole, f"next_{packed_kind}", [layers, 1, hidden])
    return _model(graph, "decoder", {})


def _joiner(graph: _Inner, network: Network) -> bytes:
    spec = network.specification
    for name, given in (("f", "encoder_outputs"), ("g", "decoder_outputs")):
        value = graph.input(given, FLOAT, [1, spec.joint, 1])
        graph.feed(name, graph.node("Squeeze", [value, graph.axes(2)]))
    graph.insert()
    logits = graph.node("Unsqueeze", [f"{INNER}logits", graph.axes(1, 2)])
    graph.output(logits, "outputs", [1, 1, 1, spec.vocabulary + 1])
    return _model(graph, "joiner", {})


def _model(graph: Graph, name: str, metadata: Mapping[str, object]) -> bytes:
    """Serialise a graph, with sherpa-onnx' metadata."""
    model = onnx.load_from_string(graph.model(name))
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    return bytes(model.SerializeToString())
