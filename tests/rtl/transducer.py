"""Streams in a simulation of `rill_transducer`, and what it computed, by the names of the bundle's vectors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from export.hardware.images import transducer_images
from hwckpt.hardware_bundle import Bundle
from stream.engine.mute import unmuted
from stream.front_end.log_mel import HOP
from tests.rtl.simulators import Simulator

__all__ = ["Chunk", "Run", "TransducerBench", "chunks_of"]

Ints = NDArray[Any]
LAST, BEGIN, MUTE = 0x100, 0x200, 0x400
HIDDEN_VECTOR, TOKEN = 0xFD, 0xFE  # kinds of lines in a trace
CLOCKS = re.compile(r"tokens, (\d+) clocks")
LAYER_CLOCKS = re.compile(r"layer \d+: (\d+) clocks")


@dataclass(frozen=True)
class Chunk:
    """What comes in one packet: a chunk of the encoder.

    Attributes:
        x: (1 or 2, inputs) int8.
        begins: whether it begins a segment.
        mute: whether it is not decoded.
        skipped: chunks that were cut out before it, in this stream.
    """

    x: Ints
    begins: bool
    mute: bool
    skipped: int

    def lines(self) -> str:
        """Return it as the bench reads it."""
        values = self.x.astype(np.uint8).ravel().astype(np.int64)
        values[-1] |= LAST | BEGIN * self.begins | MUTE * self.mute
        return "".join(f"{value:x}\n" for value in values.tolist())


@dataclass(frozen=True)
class Run:
    """What a simulation computed.

    Attributes:
        arrays: by the names of the vectors; nothing but tokens where only these were asked for.
        frames: encoder frame of each token, from the first chunk of the run.
        clocks: of all chunks, without waiting for x and for who takes the tokens.
        layer_clocks: of a run of each layer, by name.
    """

    arrays: dict[str, Ints]
    frames: Ints
    clocks: int
    layer_clocks: dict[str, int]


def chunks_of(bundle: Bundle, pcm: Ints, x: Ints) -> list[Chunk]:
    """Return the chunks of a stream: what a host, or a front end, sends.

    Args:
        pcm: (samples,) int16.
        x: (steps, inputs) int8, its inputs of the encoder.
    """
    constants = bundle.manifest.constants
    lead = 0 if constants["initial_padding"] else constants["window"] - HOP
    kept = unmuted(
        pcm.astype(np.float32),
        6 * HOP,
        constants["mute_chunks"],
        lead,
        constants["sound_chunks"],
    )
    ends = [*(segment.first for segment in kept.segments[1:]), -(-len(x) // 2)]
    return [
        Chunk(
            x[2 * n : 2 * n + 2],
            begins=n == segment.first,
            mute=segment.silent is None or n < segment.first + segment.silent,
            skipped=segment.skipped,
        )
        for segment, end in zip(kept.segments, ends, strict=True)
        for n in range(segment.first, end)
    ]


class TransducerBench:
    """A model, built for one simulator in a folder.

    Args:
        weights: where they are: on the chip from the first clock; there, after they have come over a stream; or in a
            memory outside, of which `rill_weight_buffer` keeps two groups (which takes a `weight_latency` of 3).
        fill_width: bits of a beat of that memory.
    """

    def __init__(
        self,
        bundle: Bundle,
        simulator: Simulator,
        folder: Path,
        *,
        units: int,
        channels: int = 1,
        memory_clocks: int = 2,
        weight_latency: int = 2,
        weights: Literal["chip", "stream", "outside"] = "chip",
        fill_width: int = 32,
    ) -> None:
        self._bundle, self._simulator, self._folder = bundle, simulator, folder
        images = transducer_images(bundle, units, channels)
        images.write(folder)
        self._parameters = {
            **images.parameters,
            "MEMORY_CLOCKS": memory_clocks,
            "WEIGHT_LATENCY": weight_latency,
            "LOADED": ("chip", "stream", "outside").index(weights),
            "FILL_WIDTH": fill_width,
        }

    def run(self, chunks: list[Chunk], *options: str) -> list[Run]:
        """Return what each channel computes of chunks.

        Args:
            chunks: of several channels in turn.
            options: plusargs of the bench.
        """
        (self._folder / "x.hex").write_text("".join(chunk.lines() for chunk in chunks))
        printed = self._simulator.run(
            "transducer_bench",
            self._parameters,
            self._folder,
            ("x=x.hex", "trace=trace.hex", *options),
        )
        found, each = CLOCKS.search(printed), LAYER_CLOCKS.findall(printed)
        assert found, printed
        names = [layer.name for layer in self._bundle.manifest.layers]
        clocks = dict(zip(names, map(int, each), strict=True))
        trace = _read_trace(self._folder / "trace.hex")
        return [
            self._run(trace[trace[:, 1] == channel], int(found[1]), clocks)
            for channel in range(self._parameters["CHANNELS"])
        ]

    def _run(self, trace: Ints, clocks: int, layer_clocks: dict[str, int]) -> Run:
        kinds, values = trace[:, 0], trace[:, 2]
        arrays, joint = {}, self._parameters["JOINT"]
        for number, layer in enumerate(self._bundle.manifest.layers):
            rows = trace[kinds == number].reshape(-1, layer.outputs, 4)
            if layer.kind == "lstm":
                arrays[f"{layer.name}.h"], arrays[f"{layer.name}.c"] = rows[..., 2], rows[..., 3]
            else:
                name = {"joint.encoder": "e", "joint.prediction": "g", "joint.output": "logits"}
                arrays[name[layer.name]] = rows[..., 2]
        arrays["a"] = values[kinds == HIDDEN_VECTOR].reshape(-1, joint)
        labels = values[kinds == TOKEN]
        blank = labels == self._parameters["CLASSES"] - 1
        arrays["tokens"] = labels[~blank]
        return Run(arrays, np.cumsum(blank)[~blank], clocks, layer_clocks)


def _read_trace(path: Path) -> Ints:
    """Return the lines of a trace: kind, channel, value, c."""
    text = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 20)
    digits = (text & 15) + 9 * (text >> 6)
    columns = [(0, 2), (3, 5), (6, 14), (15, 19)]
    kind, channel, value, c = (
        sum(digits[:, at].astype(np.int64) << 4 * (end - 1 - at) for at in range(begin, end))
        for begin, end in columns
    )
    return np.stack([kind, channel, value.astype(np.int32), c.astype(np.int16)], axis=1)
