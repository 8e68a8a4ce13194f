"""python -m tests.rtl.sparsity.delta: what gateware would save that skips inputs, and what that costs.

All lanes multiply the same input, so an input that is skipped saves its word of weights in every group of units.
Skipped may be:

1. inputs that are zero: exact, and nothing has to be kept;
2. inputs that moved by no more than a threshold since they were last used, as in a delta network (EdgeDRNN,
   arXiv 1912.12193), where each accumulator is kept from step to step. That is the layer of docs/integer.md, with
   the inputs that were last used in place of the present ones: exact if the threshold is 0.

Printed is the table of docs/rtl.md: word error rate, share of the encoder's inputs that are used by layer, share of
its products, and clocks of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.backends.integer import BlasLayer, IntegerBackend
from stream.integer.fixed import lstm_cell
from stream.integer.network import IntegerLayer, IntegerNetwork, to_integers
from stream.manifest import Utterance
from stream.model.network import Network
from stream.process import reports_errors, run_main
from stream.stage import State
from tests.rtl.sparsity.recordings import heard, parser_of, recordings_of, word_errors
from tests.rtl.streams import step_clocks

Ints = NDArray[np.integer[Any]]

ZEROS = -1  # in place of a threshold: zeros are skipped, and nothing else
THRESHOLDS = (ZEROS, 0, 1, 2, 4, 8, 16)


class DeltaLayer(BlasLayer):
    """An LSTM layer that skips inputs; state: (h, c, x last used, h last used).

    Args:
        threshold: an input that moved by no more is skipped; or ZEROS.
        units: that gateware computes at a time.
    Attributes:
        inputs, hidden: sizes.
        steps: so far, of all rows.
        used: inputs and hidden units that were not skipped, of all steps, (2,).
        clocks: of all steps.
    """

    def __init__(self, layer: IntegerLayer, threshold: int, units: int) -> None:
        super().__init__(layer)
        self.inputs, self.hidden = layer.weight_ih.shape[1], layer.weight_hh.shape[1]
        self._threshold, self._units = threshold, units
        self.steps, self.used, self.clocks = 0, np.zeros(2, np.int64), 0

    def initial_state(self, batch: int) -> State:
        """Return zeros."""
        used = np.zeros((batch, self.inputs), np.int8), np.zeros((batch, self.hidden), np.int8)
        return *super().initial_state(batch), *used

    def step(self, x: Ints, state: State) -> tuple[NDArray[np.int8], State]:
        """Run the layer over the frames of x, (B, S, I)."""
        h, c, used_x, used_h = state
        outputs = np.empty((*x.shape[:2], self.hidden), np.int8)
        for frame in range(x.shape[1]):
            used_x, count_x = self._used(x[:, frame], used_x)
            used_h, count_h = self._used(h, used_h)
            self._count(count_x, count_h)
            h, c = lstm_cell(self.accumulate(used_x, used_h), c, self._shift)
            h, c = h.astype(np.int8), c.astype(np.int16)
            outputs[:, frame] = h
        return outputs, (h, c, used_x, used_h)

    def _used(self, now: Ints, last: Ints) -> tuple[NDArray[np.int8], Ints]:
        """Return what a step computes with, (B, N), and how many of them it reads the weights of, (B,)."""
        if self._threshold == ZEROS:
            return now.astype(np.int8), np.count_nonzero(now, axis=1)
        moved = np.abs(now.astype(np.int16) - last) > self._threshold
        return np.where(moved, now, last).astype(np.int8), moved.sum(axis=1)

    def _count(self, of_x: Ints, of_h: Ints) -> None:
        groups = self.hidden // self._units
        self.clocks += int(step_clocks(of_x + of_h, groups, self._units).sum())
        self.steps += len(of_x)
        self.used += of_x.sum(), of_h.sum()


class DeltaBackend(IntegerBackend):
    """The backend `integer` with an encoder that skips inputs; arguments as of `DeltaLayer`.

    Attributes:
        layers: of the encoder.
    """

    def __init__(self, network: IntegerNetwork, threshold: int, units: int) -> None:
        super().__init__(network)
        pre, post = (
            [DeltaLayer(layer, threshold, units) for layer in layers]
            for layers in (network.pre, network.post)
        )
        self._pre[:], self._post[:] = pre, post
        self.layers = [*pre, *post]

    def shares(self) -> list[tuple[float, float]]:
        """Return the share of the inputs and of the hidden units of each layer that were used."""
        return [
            (x / (layer.steps * layer.inputs), h / (layer.steps * layer.hidden))
            for layer in self.layers
            for x, h in [layer.used]
        ]

    def products(self) -> float:
        """Return the share of the products of all layers that were computed."""
        computed = sum(int(layer.used.sum()) * layer.hidden for layer in self.layers)
        return computed / sum(
            layer.steps * (layer.inputs + layer.hidden) * layer.hidden for layer in self.layers
        )

    def clocks(self) -> float:
        """Return the clocks of a chunk."""
        return sum(layer.clocks for layer in self.layers) / self.layers[-1].steps


def row(network: Network, utterances: Sequence[Utterance], threshold: int, units: int) -> str:
    """Return the row of a threshold as Markdown."""
    backend = DeltaBackend(to_integers(network), threshold, units)
    errors = word_errors(utterances, heard(network, backend, utterances))
    name = {ZEROS: "zeros", 0: "moved by 0"}.get(threshold, str(threshold))
    layers = [f"{100 * x:.0f}, {100 * h:.0f}" for x, h in backend.shares()]
    cells = [name, f"{100 * errors:.1f}", *layers, f"{100 * backend.products():.0f}"]
    return f"| {' | '.join(cells)} | {backend.clocks():,.0f} |"


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    arguments = parser_of(
        "delta", "Print what skipping inputs saves, and what it costs."
    ).parse_args(argv)
    network, utterances = recordings_of(arguments)
    layers = [name.removeprefix("encoder.") for name in network.specification.encoder.layers()]
    heads = [f"`{name}`: x, h" for name in layers]
    print(f"| skipped | WER, % | {' | '.join(heads)} | products, % | clocks |")
    print("|---|---|" + "---|" * (len(heads) + 2))
    for threshold in THRESHOLDS:
        print(row(network, utterances, threshold, arguments.units), flush=True)
    return 0


if __name__ == "__main__":
    run_main(main)
