"""What a network computes on the way, stage by stage, and how far two networks are apart there.

Recordings run side by side through front end, normaliser and encoder, one encoder frame (60 ms) a call,
each as a stream of its own; where a channel would be muted a new segment begins (`stream.engine.mute`), a row
of its own. Prediction network and joint then follow a path that is given: the tokens that some
reference emitted, and its moves in time. So logits are compared between equal histories, however far
the transcripts part.

    log-mel      (frames, 80)      front end                              each 10 ms
    normalised   (frames, 80)      by running statistics                  each 10 ms
    encoder      (steps, J)        f, projected to the joint              each 60 ms
    prediction   (tokens + 1, J)   g along the path
    logits       (nodes, C)        at each node of the path: a frame and the tokens before it

Saturation is counted from the states after each call, so of every second frame of the layers before
stacking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.compare.bounds import Counter, Saturation, layer_names
from stream.backends import Backend
from stream.encoders.lstm import PAIR
from stream.engine.engine import CHUNK
from stream.engine.mute import Segment, cut
from stream.front_end.log_mel import HOP, SAMPLE_RATE, streamed_log_mel
from stream.front_end.stacking import STACK, stack
from stream.model.network import Network
from stream.stage import whole

__all__ = ["STAGES", "Apart", "Difference", "Path", "Row", "Tracer"]

Floats = NDArray[np.float32]
Path = Sequence[tuple[int, int]]  # (token, encoder frame), in order
FRAME_SECONDS, STEP_SECONDS = HOP / SAMPLE_RATE, CHUNK / SAMPLE_RATE
STAGES = {  # and the seconds between two frames, where they are equal
    "log-mel": FRAME_SECONDS,
    "normalised": FRAME_SECONDS,
    "encoder": STEP_SECONDS,
    "prediction": None,
    "logits": None,
}
NODES = 512  # joined at once


class Row(NamedTuple):
    """One segment of a recording.

    Attributes:
        recording: its number.
        offset: chunks of the recording before it.
        stages: arrays by the names of `STAGES`, all float32; without a path only the first three.
        steps: (nodes,) the encoder frame of each node, from the segment's begin.
    """

    recording: int
    offset: int
    stages: dict[str, Floats]
    steps: NDArray[np.int64]


class Tracer:
    """A network that shows its stages.

    Args:
        network: the model.
        backend: that computes it.
    """

    def __init__(self, network: Network, backend: Backend) -> None:
        self.network = network
        self._backend = backend
        self._counters = tuple(map(Counter, layer_names(network.specification)))

    def saturation(self) -> list[Saturation]:
        """Return the shares of states at a bound in all that was traced so far."""
        return [share for counter in self._counters for share in counter.shares()]

    def trace(self, audio: Sequence[Floats], paths: Sequence[Path] | None) -> list[Row]:
        """Compute recordings.

        Args:
            audio: (samples,) float32 at 16 kHz each.
            paths: of each recording; None: without prediction network and joint.
        """
        rows, inputs = self._front(audio)
        f = self._encode(inputs)
        for row, frames in zip(rows, f, strict=True):
            row.stages["encoder"] = frames
        if paths is None:
            return rows
        return self._follow(rows, [_within(row, paths[row.recording]) for row in rows])

    def _front(self, audio: Sequence[Floats]) -> tuple[list[Row], list[Floats]]:
        """Return the segments of the recordings, and the encoder's input of each, (S, 240)."""
        spec = self.network.specification
        rows, inputs = [], []
        for number, samples in enumerate(audio):
            kept = cut(samples, CHUNK, spec.mute_chunks, spec.front_end.lead)
            log_mel = streamed_log_mel(kept.samples[None], spec.front_end)
            z = whole(self.network.normaliser, log_mel)
            frames = STACK * PAIR
            for segment, end in zip(kept.segments, _ends(kept.segments), strict=True):
                begin = segment.first * frames
                stop = None if end is None else end * frames
                stages = {"log-mel": log_mel[0, begin:stop], "normalised": z[0, begin:stop]}
                offset = segment.first + segment.skipped
                rows.append(Row(number, offset, stages, np.zeros(0, np.int64)))
                some = stages["normalised"]
                inputs.append(stack(np.pad(some, ((0, -len(some) % STACK), (0, 0)))[None])[0])
        return rows, inputs

    def _encode(self, inputs: list[Floats]) -> list[Floats]:
        lengths = np.array([len(x) for x in inputs])
        steps = -(-lengths // PAIR)
        x = np.zeros((len(inputs), PAIR * int(steps.max()), inputs[0].shape[1]), np.float32)
        for row, some in zip(x, inputs, strict=True):
            row[: len(some)] = some
        present = np.arange(x.shape[1])[None] < lengths[:, None]
        state, _ = self._backend.initial_state(len(x))
        found = [np.zeros((len(x), 0, self.network.specification.joint), np.float32)]
        for step in range(int(steps.max())):
            pair = slice(PAIR * step, PAIR * (step + 1))
            f, state = self._backend.encode(x[:, pair], state, present[:, pair])
            self._counters[0].add(state, step < steps)
            found.append(f)
        joined = np.concatenate(found, axis=1)
        return [f[:count] for f, count in zip(joined, steps, strict=True)]

    def _follow(self, rows: list[Row], paths: list[list[tuple[int, int]]]) -> list[Row]:
        """Compute prediction network and logits of each row along its path."""
        counts = np.array([len(path) for path in paths])
        tokens = np.full((len(rows), 1 + int(counts.max())), self.network.specification.blank)
        for row, path in zip(tokens, paths, strict=True):
            row[1 : 1 + len(path)] = [token for token, _ in path]
        _, state = self._backend.initial_state(len(rows))
        found = []
        for place in range(tokens.shape[1]):
            g, state = self._backend.predict(np.ascontiguousarray(tokens[:, place]), state)
            self._counters[1].add(state, place <= counts)
            found.append(g)
        joined = np.stack(found, axis=1)
        return [
            self._join(row, path, g[: 1 + len(path)])
            for row, path, g in zip(rows, paths, joined, strict=True)
        ]

    def _join(self, row: Row, path: list[tuple[int, int]], g: Floats) -> Row:
        """Compute the logits at each node: before each token, and before each move in time."""
        f = row.stages["encoder"]
        emitted = np.bincount([step for _, step in path], minlength=len(f))
        steps = np.repeat(np.arange(len(f)), emitted + 1)
        # Within a frame the number of tokens grows by one a node; between frames it stays.
        places = np.arange(len(steps)) - steps
        logits = [
            self._backend.join(f[steps[some]], g[places[some]])
            for begin in range(0, len(steps), NODES)
            for some in [slice(begin, begin + NODES)]
        ]
        nothing = np.zeros((0, self.network.specification.blank + 1), np.float32)
        stages = {**row.stages, "prediction": g, "logits": np.concatenate([nothing, *logits])}
        return row._replace(stages=stages, steps=steps)


class Difference(msgspec.Struct, frozen=True):
    """How far two networks are apart at one stage.

    Attributes:
        largest: magnitude of the largest difference of two elements.
        relative: root mean square of the difference, over that of the reference.
        recording: where the largest is; None where there is no difference.
        seconds: and when; None where that is not a matter of time.
    """

    largest: float
    relative: float
    recording: str | None = None
    seconds: float | None = None


@dataclass
class _Sum:
    largest: float = 0.0
    squares: float = 0.0
    reference: float = 0.0
    recording: str | None = None
    seconds: float | None = None


@dataclass
class Apart:
    """Adds up the differences of rows; a stage whose arrays have other shapes is left out for good.

    Attributes:
        nodes: of the paths that were compared.
        flips: nodes at which the best class is another one.
    """

    nodes: int = 0
    flips: int = 0
    _sums: dict[str, _Sum] = field(default_factory=lambda: {name: _Sum() for name in STAGES})

    def add(self, reference: list[Row], other: list[Row], names: Sequence[str]) -> None:
        """Compare traces of the same recordings; `names` are these."""
        if [(r.recording, r.offset) for r in reference] != [(r.recording, r.offset) for r in other]:
            self._sums.clear()  # they are muted at other places
            return
        for ours, theirs in zip(reference, other, strict=True):
            for stage in list(self._sums):
                a, b = ours.stages.get(stage), theirs.stages.get(stage)
                if a is None or b is None or a.shape != b.shape:
                    del self._sums[stage]
                elif a.size:
                    self._add(stage, ours, np.abs(b.astype(np.float64) - a), a, names)
            if "logits" in self._sums:
                best = [row.stages["logits"].argmax(axis=1) for row in (ours, theirs)]
                self.nodes += len(best[0])
                self.flips += int((best[0] != best[1]).sum())

    def _add(
        self, stage: str, row: Row, gap: NDArray[np.float64], a: Floats, names: Sequence[str]
    ) -> None:
        found = self._sums[stage]
        found.squares += float((gap**2).sum())
        found.reference += float((a.astype(np.float64) ** 2).sum())
        at = int(gap.max(axis=1).argmax())
        if (largest := float(gap[at].max())) <= found.largest:
            return
        found.largest, found.recording = largest, names[row.recording]
        seconds = STAGES[stage]
        if stage == "logits":
            seconds, at = STEP_SECONDS, int(row.steps[at])
        found.seconds = (
            None if seconds is None else round(row.offset * STEP_SECONDS + at * seconds, 4)
        )

    def differences(self) -> dict[str, Difference]:
        """Return the difference at each stage that could be compared."""
        return {
            name: Difference(
                found.largest,
                float(np.sqrt(found.squares / found.reference)) if found.reference else 0.0,
                found.recording,
                found.seconds,
            )
            for name, found in self._sums.items()
        }


def _ends(segments: Sequence[Segment]) -> list[int | None]:
    """Return of each segment the chunk before which it ends; None: with the recording."""
    return [*(segment.first for segment in segments[1:]), None]


def _within(row: Row, path: Path) -> list[tuple[int, int]]:
    """Return the part of a recording's path that lies in a segment, in its own frames."""
    return [
        (token, step - row.offset)
        for token, step in path
        if 0 <= step - row.offset < len(row.stages["encoder"])
    ]
