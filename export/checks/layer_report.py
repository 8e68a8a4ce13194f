"""What integers do to a model, layer by layer.

Every layer is run on recordings in the arithmetic of `stream.integer.fixed`, and in floats: where it
saturates, how many bits it leaves unused, how far it is from the floats it stands for. That names the
layers where a model loses; how much it loses is a word error rate, which `stream.validate --backend integer`
measures. The joint is run at the nodes that greedy decoding visits. `export.saturation` prints the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.checks.tracer import Batch, batches, nodes
from stream.backends.integer import BlasLayer, BlasLinear, IntegerBackend
from stream.decoding.greedy import Greedy
from stream.encoders.lstm import PAIR
from stream.encoders.lstm_layer import LSTMLayer
from stream.front_end.stacking import join_pairs
from stream.integer import fixed
from stream.integer.network import (
    CELL_EXPONENT,
    HIDDEN_EXPONENT,
    IntegerLayer,
    IntegerLinear,
    to_integers,
)
from stream.manifest import Utterance
from stream.model.network import Network
from stream.stage import Floats, Mask, whole

Ints = NDArray[Any]
# Bounds of the gates' inputs i, f, g, o, beyond which the hard functions are flat.
GATE_BOUNDS = (fixed.HALF_Q15, fixed.HALF_Q15, fixed.ONE_Q12, fixed.HALF_Q15)


@dataclass(frozen=True)
class LayerReport:
    """What a layer did on the recordings; shares are fractions of its values.

    Attributes:
        name: of the layer.
        bits: of a weight.
        exponents: of its tensors: "weight_ih", "weight_hh" or "weight"; "input"; "accumulator"; "output".
        bound_bits: log2 of the largest magnitude that an accumulator may have (rule 9).
        gates_clipped: share of the gates' inputs beyond the bounds of the hard functions; of an LSTM.
        cells_saturated: share of the cell's values at the ends of int16; of an LSTM.
        input_clipped, output_clipped: share of values at the ends of their integer.
        input_unused, output_unused: high bits of the integer that no value needed.
        rms: of the output in floats.
        error: rms of output less float output, over `rms`, all layers before it quantised too.
        own_error: the same where the float layer has this layer's integer input: its own part.
    """

    name: str
    bits: int
    exponents: Mapping[str, int]
    bound_bits: float
    gates_clipped: float | None
    cells_saturated: float | None
    input_clipped: float
    output_clipped: float | None
    input_unused: int
    output_unused: int | None
    rms: float
    error: float
    own_error: float


class _Range:
    """The values of one integer tensor: how many are at its ends, and what bits they need."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self.count = self.at_ends = self.magnitude = 0

    def add(self, values: Ints) -> None:
        self.count += values.size
        self.at_ends += int(np.count_nonzero((values <= self.least) | (values >= self.most)))
        if values.size:
            self.magnitude = max(self.magnitude, int(values.max()), -int(values.min()) - 1)

    @property
    def share(self) -> float:
        return self.at_ends / max(self.count, 1)

    @property
    def unused(self) -> int:
        return self.most.bit_length() - self.magnitude.bit_length()


class _Signal(NamedTuple):
    """One signal, (B, T, n): integers with their exponent, and the floats of the float model."""

    integers: Ints
    exponent: int
    floats: NDArray[Any]

    @property
    def real(self) -> NDArray[np.float64]:
        """The integers as real numbers."""
        return np.ldexp(self.integers.astype(np.float64), -self.exponent)


class _Layer:
    """A layer that is run in integers and in floats, and what was seen of it."""

    input: _Range
    output: _Range | None
    cells: _Range | None = None

    def __init__(self, name: str, bits: int, layer: IntegerLayer | IntegerLinear) -> None:
        self.name, self._bits = name, bits
        self._bound = math.log2(max(int(layer.bound.max()), 1))
        self._exponents: dict[str, int] = {}
        self._gates = self._gates_clipped = self._count = 0
        # Sums of squares: of the float outputs, and of what the integers differ from them by.
        self._floats = self._errors = self._own_errors = 0.0

    def _compare(self, x: _Signal, result: _Signal, own: NDArray[Any], present: Mask) -> None:
        """Add the inputs and outputs that are present.

        Args:
            own: outputs of the float layer on the integer inputs.
        """
        self.input.add(x.integers[present])
        if self.output is not None:
            self.output.add(result.integers[present])
        floats, integers = result.floats[present], result.real[present]
        self._count += floats.size
        self._floats += float(np.square(floats, dtype=np.float64).sum())
        self._errors += float(np.square(integers - floats, dtype=np.float64).sum())
        self._own_errors += float(np.square(integers - own[present], dtype=np.float64).sum())

    def report(self) -> LayerReport:
        scale = max(self._floats, 1e-30)
        return LayerReport(
            self.name,
            self._bits,
            self._exponents,
            self._bound,
            self._gates_clipped / max(self._gates, 1) if self.cells else None,
            self.cells.share if self.cells else None,
            self.input.share,
            self.output.share if self.output else None,
            self.input.unused,
            self.output.unused if self.output else None,
            math.sqrt(self._floats / max(self._count, 1)),
            math.sqrt(self._errors / scale),
            math.sqrt(self._own_errors / scale),
        )


class _LSTM(_Layer):
    def __init__(
        self, name: str, bits: int, layer: IntegerLayer, arrays: Mapping[str, Floats]
    ) -> None:
        super().__init__(name, bits, layer)
        self._layer, self._float = layer, LSTMLayer(dict(arrays), "hard")
        self.input, self.output = _Range(-128, 127), _Range(-128, 127)
        self.cells = _Range(-32768, 32767)
        self._blas = BlasLayer(layer)

    def run(self, x: _Signal, present: Mask) -> _Signal:
        """Return h of every frame; `present`, (B, T), names the frames that count."""
        layer, (batch, steps, _) = self._layer, x.integers.shape
        hidden = layer.weight_hh.shape[1]
        z = np.empty((batch, steps, 4 * hidden), np.int64)
        hs, cs = np.empty((2, batch, steps, hidden), np.int64)
        h = c = np.zeros((batch, hidden), np.int64)
        for t in range(steps):
            acc = self._blas.accumulate(x.integers[:, t], h)
            z[:, t] = fixed.gate_inputs(acc, layer.shift)
            values = fixed.cell_values(z[:, t], c)
            hs[:, t], cs[:, t] = h, c = values.h, values.c
        result = _Signal(hs, HIDDEN_EXPONENT, whole(self._float, x.floats))
        self._compare(x, result, whole(self._float, x.real), present)
        assert self.cells is not None
        self.cells.add(cs[present])
        for gate, bound in zip(np.split(z[present], 4, axis=-1), GATE_BOUNDS, strict=True):
            self._gates_clipped += int(np.count_nonzero(np.abs(gate) >= bound))
            self._gates += gate.size
        f = layer.shift + CELL_EXPONENT
        self._exponents = {
            "weight_ih": f - layer.shift_x - x.exponent,
            "weight_hh": f - layer.shift_h - HIDDEN_EXPONENT,
            "input": x.exponent,
            "accumulator": f,
            "output": HIDDEN_EXPONENT,
        }
        return result


class _Linear(_Layer):
    """A linear layer of the joint; the output layer's input is u8, its output the accumulator."""

    def __init__(self, name: str, bits: int, linear: IntegerLinear, network: Network) -> None:
        super().__init__(name, bits, linear)
        self._linear, self._blas = linear, BlasLinear(linear)
        self._weight = network.arrays[f"{name}.weight"].T.astype(np.float64)
        self._bias = network.arrays[f"{name}.bias"]
        logits = name == "joint.output"
        self.input = _Range(-1, 255) if logits else _Range(-128, 127)  # 0 is no end of u8
        self.output = None if logits else _Range(-32768, 32767)

    def run(self, x: _Signal, present: Mask) -> _Signal:
        """Return the outputs; `present` names those that count."""
        linear = self._linear
        acc = self._blas.accumulate(x.integers)
        if self.output is not None:
            acc = fixed.saturate(fixed.rhe(acc, linear.shift_out), 16)
        own, floats = (v @ self._weight + self._bias for v in (x.real, x.floats.astype(np.float64)))
        result = _Signal(acc, linear.exponent, floats)
        self._compare(x, result, own, present)
        f = linear.exponent + linear.shift_out
        self._exponents = {
            "weight": f - linear.shift_in - x.exponent,
            "input": x.exponent,
            "accumulator": f,
            "output": linear.exponent,
        }
        return result


class _Model:
    """A network all of whose layers are run in integers and in floats."""

    def __init__(self, network: Network) -> None:
        self._network, self._integers = network, to_integers(network)
        self._backend = IntegerBackend(self._integers)
        bits = self._integers.quantisation.bits
        self._pre, self._post, self._prediction = (
            [
                _LSTM(f"{stack}.{n}", bits(f"{stack}.{n}"), layer, arrays)
                for n, (layer, arrays) in enumerate(zip(layers, network.layers(stack), strict=True))
            ]
            for stack, layers in (
                ("encoder.pre", self._integers.pre),
                ("encoder.post", self._integers.post),
                ("prediction.lstm", self._integers.prediction),
            )
        )
        self._encoder, self._predicting, self._output = (
            _Linear(f"joint.{name}", bits(f"joint.{name}"), linear, network)
            for name, linear in (
                ("encoder", self._integers.joint_encoder),
                ("prediction", self._integers.joint_prediction),
                ("output", self._integers.joint_output),
            )
        )

    def run(self, batch: Batch) -> None:
        """Run all layers over a batch; the prediction network on what is decoded."""
        chosen, integers = self._integers.quantisation, self._integers
        x = _Signal(fixed.quantise_input(batch.x, chosen.input), chosen.input, batch.x)
        for layer in self._pre:
            x = layer.run(x, batch.present)
        joined, floats = (join_pairs(v, batch.present) for v in (x.integers, x.floats))
        x, pairs = _Signal(joined, HIDDEN_EXPONENT, floats), batch.present[:, ::PAIR]
        for layer in self._post:
            x = layer.run(x, pairs)
        f, lengths = self._encoder.run(x, pairs), pairs.sum(1)

        greedy = Greedy(self._backend)
        found, _ = greedy.step(f.real.astype(np.float32), greedy.initial_state(len(pairs)), lengths)
        counts = np.array([len(emitted) for emitted in found])
        tokens = np.full((len(found), 1 + counts.max()), self._network.specification.blank)
        for row, emitted in zip(tokens, found, strict=True):
            row[1 : len(emitted) + 1] = [token.id for token in emitted]
        known = np.arange(tokens.shape[1])[None] <= counts[:, None]
        table = self._network.arrays["prediction.embedding"]
        table = np.vstack([table, np.zeros((1, table.shape[1]), np.float32)])
        y = _Signal(integers.embedding[tokens], integers.embedding_exponent, table[tokens])
        for layer in self._prediction:
            y = layer.run(y, known)
        g = self._predicting.run(y, known)

        for row, emitted in enumerate(found):
            t, u = nodes([token.step for token in emitted], int(lengths[row]))
            a = fixed.joint_hidden(f.integers[row, t], g.integers[row, u])
            joint = np.maximum(f.floats[row, t] + g.floats[row, u], 0.0)
            self._output.run(_Signal(a, chosen.joint, joint), np.ones(len(a), bool))

    def reports(self) -> list[LayerReport]:
        layers = (*self._pre, *self._post, *self._prediction)
        linears = (self._encoder, self._predicting, self._output)
        return [layer.report() for layer in (*layers, *linears)]


def layer_reports(network: Network, utterances: Sequence[Utterance]) -> list[LayerReport]:
    """Run a network over recordings and report on its layers, in the order of the signal.

    Args:
        network: with a quantisation.
        utterances: the recordings; their texts are not looked at.
    Raises:
        ModelError: the network has no quantisation, or its integers may overflow.
        AudioError: a recording cannot be decoded.
        ValueError: there are no recordings.
    """
    model = _Model(network)
    for batch in batches(network, utterances):
        model.run(batch)
    return model.reports()
