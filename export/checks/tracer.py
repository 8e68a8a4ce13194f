"""A network on recordings: what each stage computes, in any backend's arithmetic.

Recordings run side by side through front end, normaliser and encoder, each as a stream of its own. The
prediction network and the joint then follow a path that is given: the tokens that something emitted, and
its moves in time. So logits are compared between equal histories, however far transcripts diverge.

    log-mel      (frames, 80)      front end                              each 10 ms
    normalised   (frames, 80)      by running statistics                  each 10 ms
    encoder      (T, J)            f, projected to the joint              each encoder frame
    prediction   (tokens + 1, J)   g along the path
    logits       (nodes, C)        at each node of the path: a frame and the tokens before it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stream.backends import Backend
from stream.engine.mute import unmuted
from stream.front_end.log_mel import HOP, SAMPLE_RATE, streamed_log_mel
from stream.front_end.stacking import stack
from stream.manifest import Utterance
from stream.model.network import Network
from stream.stage import Floats, Integers, Mask, State, whole

Path = Sequence[tuple[int, int]]  # (token, encoder frame), in order
STAGES = ("log-mel", "normalised", "encoder", "prediction", "logits")
SIDE_BY_SIDE = 64  # recordings of a batch
NODES = 512  # joined at once


class Row(NamedTuple):
    """One segment of a recording.

    Attributes:
        recording: its number.
        offset: encoder frames of the recording before it.
        stages: arrays by the names of `STAGES`, all float32; without a path only the first three.
        steps: (nodes,) the encoder frame of each node, from the segment's begin.
    """

    recording: int
    offset: int
    stages: dict[str, Floats]
    steps: Integers


class Batch(NamedTuple):
    """Recordings of similar length, as the encoder takes them.

    Attributes:
        x: (B, S, inputs) normalised input frames, S a multiple of those of a chunk.
        present: (B, S), False where a frame lies past the end of its recording.
        seconds: of audio.
    """

    x: Floats
    present: Mask
    seconds: float


class Watch(NamedTuple):
    """Functions that are called with the state after each step, and the rows, (B,), that it counts for.

    Attributes:
        encoder: of each chunk.
        prediction: of each token.
    """

    encoder: Callable[[State, Mask], None]
    prediction: Callable[[State, Mask], None]


def batches(network: Network, utterances: Sequence[Utterance]) -> Iterator[Batch]:
    """Yield recordings through front end and normaliser, each whole, as a stream of its own.

    Raises:
        AudioError: a recording cannot be decoded.
        ValueError: there are no recordings.
    """
    if not utterances:
        raise ValueError("calibration: no recordings")
    ordered = sorted(utterances, key=lambda utterance: utterance.duration)
    for begin in range(0, len(ordered), SIDE_BY_SIDE):
        audio = [utterance.read() for utterance in ordered[begin : begin + SIDE_BY_SIDE]]
        x, present = _inputs(network, _segments(network, audio, muted=False))
        yield Batch(x, present, sum(map(len, audio)) / SAMPLE_RATE)


def nodes(emitted: Sequence[int], frames: int) -> tuple[Integers, Integers]:
    """Return the nodes of a path, before each token and before each move in time.

    Args:
        emitted: the frame of each token.
        frames: of the row.
    Returns:
        the frame, and the number of tokens before it, of each node, in order.
    """
    counts = np.bincount(np.asarray(emitted, np.int64), minlength=frames)
    steps = np.repeat(np.arange(frames), counts + 1)
    # Within a frame the number of tokens grows by one a node; between frames it stays.
    return steps, np.arange(len(steps)) - steps


def trace(
    network: Network,
    backend: Backend,
    audio: Sequence[Floats],
    paths: Sequence[Path] | None,
    watch: Watch | None = None,
) -> list[Row]:
    """Compute the stages of recordings.

    Where a channel would be muted a new segment begins (`stream.engine.mute`), a row of its own.

    Args:
        audio: (samples,) float32 at 16 kHz each.
        paths: of each recording; None: without prediction network and joint.
        watch: called as it is computed.
    """
    rows = _segments(network, audio, muted=True)
    encoder = network.specification.encoder
    x, present = _inputs(network, rows)
    state, _ = backend.initial_state(len(x))
    found = [np.zeros((len(x), 0, network.specification.joint), np.float32)]
    for begin in range(0, x.shape[1], encoder.chunk_inputs):
        chunk = slice(begin, begin + encoder.chunk_inputs)
        f, state = backend.encode(x[:, chunk], state, present[:, chunk])
        if watch:
            watch.encoder(state, present[:, begin])
        found.append(f)
    joined = np.concatenate(found, axis=1)
    for row, f, frames in zip(rows, joined, encoder.frames(present.sum(1)), strict=True):
        row.stages["encoder"] = f[:frames]
    if paths is None:
        return rows
    within = [_within(row, paths[row.recording]) for row in rows]
    g = _predict(backend, within, watch)
    return [_join(backend, *each) for each in zip(rows, within, g, strict=True)]


def _segments(network: Network, audio: Sequence[Floats], *, muted: bool) -> list[Row]:
    """Return the segments of recordings, with log-mel and normalised frames."""
    spec = network.specification
    chunk = spec.encoder.chunk_samples
    rows = []
    for number, samples in enumerate(audio):
        kept = unmuted(samples, chunk, spec.mute_chunks if muted else 0, spec.front_end.lead)
        log_mel = streamed_log_mel(kept.samples[None], network.front_end)
        z = whole(network.normaliser, log_mel)
        frames = chunk // HOP  # log-mel frames of a chunk
        ends = [*(segment.first * frames for segment in kept.segments[1:]), None]
        for segment, end in zip(kept.segments, ends, strict=True):
            part = slice(segment.first * frames, end)
            stages = {"log-mel": log_mel[0, part], "normalised": z[0, part]}
            offset = (segment.first + segment.skipped) * spec.encoder.chunk_frames
            rows.append(Row(number, offset, stages, np.zeros(0, np.int64)))
    return rows


def _inputs(network: Network, rows: Sequence[Row]) -> tuple[Floats, Mask]:
    """Return the encoder's input of rows, and which frames lie within each."""
    encoder = network.specification.encoder
    stacked = []
    for row in rows:
        z = row.stages["normalised"]
        padded = np.pad(z, ((0, -len(z) % encoder.stack), (0, 0)))
        stacked.append(stack(padded[None], encoder.stack)[0])
    lengths = np.array([len(x) for x in stacked])
    frames = -(-int(lengths.max()) // encoder.chunk_inputs) * encoder.chunk_inputs
    x = np.zeros((len(stacked), frames, encoder.inputs), np.float32)
    for row_of_x, some in zip(x, stacked, strict=True):
        row_of_x[: len(some)] = some
    return x, np.arange(frames)[None] < lengths[:, None]


def _predict(
    backend: Backend, paths: Sequence[list[tuple[int, int]]], watch: Watch | None
) -> list[Floats]:
    """Return the prediction network's outputs along the paths of rows."""
    counts = np.array([len(path) for path in paths])
    tokens = np.full((len(paths), 1 + int(counts.max())), backend.specification.blank)
    for row, path in zip(tokens, paths, strict=True):
        row[1 : 1 + len(path)] = [token for token, _ in path]
    _, state = backend.initial_state(len(paths))
    found = []
    for place in range(tokens.shape[1]):
        g, state = backend.predict(np.ascontiguousarray(tokens[:, place]), state)
        if watch:
            watch.prediction(state, place <= counts)
        found.append(g)
    return [g[: 1 + count] for g, count in zip(np.stack(found, axis=1), counts, strict=True)]


def _join(backend: Backend, row: Row, path: list[tuple[int, int]], g: Floats) -> Row:
    """Return a row with the logits at each node of its path."""
    f = row.stages["encoder"]
    steps, places = nodes([step for _, step in path], len(f))
    logits = [np.zeros((0, backend.specification.blank + 1), np.float32)]
    for begin in range(0, len(steps), NODES):
        some = slice(begin, begin + NODES)
        logits.append(np.asarray(backend.join(f[steps[some]], g[places[some]])))
    stages = {**row.stages, "prediction": g, "logits": np.concatenate(logits)}
    return row._replace(stages=stages, steps=steps)


def _within(row: Row, path: Path) -> list[tuple[int, int]]:
    """Return the part of a recording's path that lies in a segment, in its own frames."""
    return [
        (token, step - row.offset)
        for token, step in path
        if 0 <= step - row.offset < len(row.stages["encoder"])
    ]
