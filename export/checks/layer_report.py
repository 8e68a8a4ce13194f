"""What integers do to a model, layer by layer.

Every layer is run on recordings in the arithmetic of `stream.integer.fixed`, and in floats: where it saturates, how
many bits it leaves unused, how far it is from the floats it stands for. It says where a model loses,
not how much: that is a word error rate, which `stream.validate --backend integer` measures. The joint
is looked at where greedy decoding takes it. `export.saturation` prints a table of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.calibration import Batch, batches
from stream.backends.integer import BlasLinear, IntegerBackend
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
    quantise,
)
from stream.manifest import Utterance
from stream.model.network import Network
from stream.stage import whole

__all__ = ["LayerReport", "layer_reports"]

Floats = NDArray[np.float32]
Ints = NDArray[Any]
Mask = NDArray[np.bool_]


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


class _Error:
    """Sums of squares: of floats, and of what integers differ from them by."""

    def __init__(self) -> None:
        self.count = 0
        self.float_square = self.square = self.own_square = 0.0

    def add(self, floats: NDArray[Any], whole: NDArray[Any], own: NDArray[Any]) -> None:
        self.count += floats.size
        self.float_square += float(np.square(floats, dtype=np.float64).sum())
        self.square += float(np.square(whole - floats, dtype=np.float64).sum())
        self.own_square += float(np.square(whole - own, dtype=np.float64).sum())

    def figures(self) -> dict[str, float]:
        scale = max(self.float_square, 1e-30)
        return {
            "rms": math.sqrt(self.float_square / max(self.count, 1)),
            "error": math.sqrt(self.square / scale),
            "own_error": math.sqrt(self.own_square / scale),
        }


class _Both(NamedTuple):
    """One signal: integers with their exponent, and the floats of the float model; (B, T, n)."""

    integers: Ints
    exponent: int
    floats: NDArray[Any]

    @property
    def real(self) -> NDArray[np.float64]:
        """The integers as real numbers."""
        return np.ldexp(self.integers.astype(np.float64), -self.exponent)


class _WatchedLayer:
    """An LSTM layer, run in integers and in floats."""

    def __init__(
        self, name: str, bits: int, layer: IntegerLayer, arrays: Mapping[str, Floats]
    ) -> None:
        self.name, self._bits, self._layer = name, bits, layer
        self._float = LSTMLayer(dict(arrays), "hard")
        self._weight_ih, self._weight_hh = (
            np.ldexp(w.T.astype(np.float64), left)
            for w, left in ((layer.weight_ih, layer.shift_x), (layer.weight_hh, layer.shift_h))
        )
        self._x, self._h = _Range(-128, 127), _Range(-128, 127)
        self._c, self._error = _Range(-32768, 32767), _Error()
        self._clipped = self._gates = self._exponent = 0

    def run(self, x: _Both, present: Mask) -> _Both:
        """Return h of every frame; `present`, (B, T), names the frames that count."""
        self._exponent = x.exponent
        batch, steps, _ = x.integers.shape
        hidden = self._weight_hh.shape[0]
        # Integers below 2^31 in float64: exact, whatever the order of the sums.
        share = x.integers.astype(np.float64) @ self._weight_ih + self._layer.bias
        h = c = np.zeros((batch, hidden), np.int64)
        z = np.empty((batch, steps, 4 * hidden), np.int64)
        hs, cs = np.empty((2, batch, steps, hidden), np.int64)
        for t in range(steps):
            acc = (share[:, t] + h.astype(np.float64) @ self._weight_hh).astype(np.int64)
            z[:, t] = fixed.gate_inputs(acc, self._layer.shift)
            values = fixed.cell_values(z[:, t], c)
            h, c = values.h, values.c
            hs[:, t], cs[:, t] = h, c
        own, out = whole(self._float, x.real), whole(self._float, x.floats)
        result = _Both(hs, HIDDEN_EXPONENT, out)
        self._error.add(out[present], result.real[present], own[present])
        self._x.add(x.integers[present])
        self._h.add(hs[present])
        self._c.add(cs[present])
        gates = np.split(z[present], 4, axis=-1)
        bounds = (fixed.HALF_Q15, fixed.HALF_Q15, fixed.ONE_Q12, fixed.HALF_Q15)
        for gate, bound in zip(gates, bounds, strict=True):
            self._clipped += int(np.count_nonzero(np.abs(gate) >= bound))
            self._gates += gate.size
        return result

    def report(self) -> LayerReport:
        layer = self._layer
        f = layer.shift + CELL_EXPONENT
        return LayerReport(
            self.name,
            self._bits,
            {
                "weight_ih": f - layer.shift_x - self._exponent,
                "weight_hh": f - layer.shift_h - HIDDEN_EXPONENT,
                "input": self._exponent,
                "accumulator": f,
                "output": HIDDEN_EXPONENT,
            },
            math.log2(max(int(layer.bound.max()), 1)),
            self._clipped / max(self._gates, 1),
            self._c.share,
            self._x.share,
            self._h.share,
            self._x.unused,
            self._h.unused,
            **self._error.figures(),
        )


class _WatchedLinear:
    """A linear layer of the joint, run in integers and in floats."""

    def __init__(
        self, name: str, bits: int, linear: IntegerLinear, network: Network, signed: bool
    ) -> None:
        self.name, self._bits, self._linear = name, bits, linear
        self._blas = BlasLinear(linear)
        self._weight = network.arrays[f"{name}.weight"].T.astype(np.float64)
        self._bias = network.arrays[f"{name}.bias"]
        self._x = _Range(-128, 127) if signed else _Range(-1, 255)  # 0 is no end of u8
        self._out = _Range(-32768, 32767) if signed else None
        self._error, self._exponent = _Error(), 0

    def run(self, x: _Both, present: Mask) -> _Both:
        """Return the outputs; `present` names those that count."""
        self._exponent = x.exponent
        acc = self._blas.accumulate(x.integers)
        if self._out is not None:
            acc = fixed.saturate(fixed.rhe(acc, self._linear.shift_out), 16)
            self._out.add(acc[present])
        own, out = (v @ self._weight + self._bias for v in (x.real, x.floats.astype(np.float64)))
        result = _Both(acc, self._linear.exponent, out)
        self._error.add(out[present], result.real[present], own[present])
        self._x.add(x.integers[present])
        return result

    def report(self) -> LayerReport:
        linear = self._linear
        f = linear.exponent + linear.shift_out
        return LayerReport(
            self.name,
            self._bits,
            {
                "weight": f - linear.shift_in - self._exponent,
                "input": self._exponent,
                "accumulator": f,
                "output": linear.exponent,
            },
            math.log2(max(int(linear.bound.max()), 1)),
            None,
            None,
            self._x.share,
            self._out.share if self._out else None,
            self._x.unused,
            self._out.unused if self._out else None,
            **self._error.figures(),
        )


class _Watch:
    """A network whose layers are all watched."""

    def __init__(self, network: Network) -> None:
        self._network, self._integers = network, quantise(network)
        self._backend = IntegerBackend(self._integers)
        self._chosen = self._integers.quantisation
        self._pre, self._post, self._prediction = (
            [
                _WatchedLayer(f"{stack}.{n}", self._chosen.bits(f"{stack}.{n}"), layer, arrays)
                for n, (layer, arrays) in enumerate(zip(layers, network.layers(stack), strict=True))
            ]
            for stack, layers in (
                ("encoder.pre", self._integers.pre),
                ("encoder.post", self._integers.post),
                ("prediction.lstm", self._integers.prediction),
            )
        )
        self._encoder, self._predicting, self._output = (
            _WatchedLinear(
                f"joint.{name}",
                self._chosen.bits(f"joint.{name}"),
                getattr(self._integers, f"joint_{name}"),
                network,
                signed=name != "output",
            )
            for name in ("encoder", "prediction", "output")
        )

    def run(self, batch: Batch) -> None:
        """Run all layers over a batch; the prediction network on what is decoded."""
        chosen, integers = self._chosen, self._integers
        x = _Both(fixed.quantise_input(batch.x, chosen.input), chosen.input, batch.x)
        for layer in self._pre:
            x = layer.run(x, batch.present)
        pairs = batch.present[:, ::PAIR]
        joined = (join_pairs(v, batch.present) for v in (x.integers, x.floats))
        x = _Both(next(joined), HIDDEN_EXPONENT, next(joined))
        for layer in self._post:
            x = layer.run(x, pairs)
        f = self._encoder.run(x, pairs)
        steps = pairs.sum(1)
        greedy = Greedy(self._backend)
        real = f.real.astype(np.float32)
        found, _ = greedy.step(real, greedy.initial_state(len(real)), steps)
        blank = self._network.specification.blank
        most = max(map(len, found), default=0)
        tokens = np.full((len(found), most + 1), blank)
        for row, emitted in zip(tokens, found, strict=True):
            row[1 : len(emitted) + 1] = [token.id for token in emitted]
        known = np.arange(most + 1)[None] <= np.array([len(emitted) for emitted in found])[:, None]
        table = self._network.arrays["prediction.embedding"]
        table = np.vstack([table, np.zeros((1, table.shape[1]), np.float32)])
        y = _Both(integers.embedding[tokens], integers.embedding_exponent, table[tokens])
        for layer in self._prediction:
            y = layer.run(y, known)
        g = self._predicting.run(y, known)
        # The nodes of the lattice that decoding came through: (row, step, tokens so far).
        nodes = [
            (row, t, u)
            for row, emitted in enumerate(found)
            for t, u in _path([token.step for token in emitted], int(steps[row]))
        ]
        if nodes:
            row, t, u = np.array(nodes).T
            a = fixed.hidden(f.integers[row, t], g.integers[row, u])
            floats = np.maximum(f.floats[row, t] + g.floats[row, u], 0.0)
            self._output.run(_Both(a, chosen.joint, floats), np.ones(len(a), bool))

    def reports(self) -> list[LayerReport]:
        layers = [*self._pre, *self._post, *self._prediction]
        linears = [self._encoder, self._predicting, self._output]
        return [*(layer.report() for layer in layers), *(linear.report() for linear in linears)]


def _path(emitted: Sequence[int], steps: int) -> Iterator[tuple[int, int]]:
    """Yield the nodes (step, tokens so far) of a greedy path whose tokens have the given steps."""
    u = 0
    for t in range(steps):
        yield t, u
        while u < len(emitted) and emitted[u] == t:
            u += 1
            yield t, u


def layer_reports(network: Network, utterances: Sequence[Utterance]) -> list[LayerReport]:
    """Run a network over recordings and report on its layers, in the order of the signal's way.

    Args:
        network: with a quantisation.
        utterances: the recordings; their texts are not looked at.
    Raises:
        ModelError: the network has no quantisation, or no integers.
        AudioError: a recording cannot be decoded.
        ValueError: there are no recordings.
    """
    watch = _Watch(network)
    for batch in batches(network, utterances):
        watch.run(batch)
    return watch.reports()
