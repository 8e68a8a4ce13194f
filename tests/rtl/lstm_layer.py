"""Steps of one LSTM layer in a simulation of `rill_lstm_layer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.hardware.images import acc_width, hex_lines, layer_biases, layer_words
from hwckpt.hardware_bundle import Bundle, LayerEntry
from tests.rtl.simulators import Simulator

__all__ = ["LayerBench"]

Ints = NDArray[Any]


class LayerBench:
    """A layer of a bundle, built for one simulator in a folder.

    Attributes:
        printed: what the last run printed.
    """

    def __init__(
        self,
        bundle: Bundle,
        layer: LayerEntry,
        simulator: Simulator,
        folder: Path,
        *,
        units: int,
        channels: int = 1,
    ) -> None:
        self._layer, self._simulator, self._folder = layer, simulator, folder
        self._units, self._channels = units, channels
        self.printed = ""
        folder.mkdir(parents=True, exist_ok=True)
        width = acc_width([layer])
        words, biases = layer_words(bundle, layer, units), layer_biases(bundle, layer, units)
        (folder / "weights.hex").write_text(hex_lines(words, 8))
        (folder / "biases.hex").write_text(hex_lines(biases, width))
        self._parameters = {
            "INPUTS": layer.inputs,
            "HIDDEN": layer.outputs,
            "UNITS": units,
            "SHIFT_X": layer.shift_x,
            "SHIFT_H": layer.shift_h,
            "SHIFT": layer.shift,
            "ACC_WIDTH": width,
            "CHANNELS": channels,
        }

    def run(self, x: Ints, state: tuple[Ints, Ints] | None, *options: str) -> tuple[Ints, Ints]:
        """Return h and c after each step, (steps, channels, units).

        Args:
            x: (steps, channels, inputs).
            state: h and c before each step; None: zeros before the first one.
            options: plusargs of the bench.
        """
        plusargs = ["x=x.hex", "trace=trace.hex", *options]
        (self._folder / "x.hex").write_text(_lines(x, 2))
        if state is not None:
            h, c = state
            rows = zip(_lines(h, 2).splitlines(), _lines(c, 4).splitlines(), strict=True)
            (self._folder / "state.hex").write_text("".join(f"{a} {b}\n" for a, b in rows))
            plusargs.append("state=state.hex")
        self.printed = self._simulator.run(
            "lstm_layer_bench", self._parameters, self._folder, tuple(plusargs)
        )
        lines = (self._folder / "trace.hex").read_text().split()
        values = np.array([int(word, 16) for word in lines]).reshape(-1, 2)
        # From the order of rill_walk, group, channel, unit, to channels of units.
        ordered = values.reshape(
            len(x), self._layer.outputs // self._units, self._channels, self._units, 2
        )
        h, c = np.moveaxis(ordered.transpose(0, 2, 1, 3, 4).reshape(*x.shape[:2], -1, 2), -1, 0)
        return h.astype(np.uint8).astype(np.int8), c.astype(np.uint16).astype(np.int16)


def _lines(values: Ints, digits: int) -> str:
    mask = (1 << 4 * digits) - 1
    return "".join(f"{value & mask:0{digits}x}\n" for value in values.ravel().tolist())
