"""A stream as a server runs it, against the recording as one big step, which no engine has cut.

Both use the stages and a backend of the model. All else is the engine's alone: samples of 16 bits and their scale,
rings, the samples that prime a front end, the zeros past the end of a stream, the silence of its ending, muting,
rows of states. So what an engine and a model disagree on is found here:

1. Input frames: those that the engine hands to the encoder are the recording's, within `FRAME_TOLERANCE`.
2. Tokens: the same, in the same encoder frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from stream.backends import Backend
from stream.decoding.decoding import Decoding, greedy_rows
from stream.decoding.greedy import GreedyConfig
from stream.engine.mute import Part, unmuted
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.stacking import stack
from stream.manifest import Utterance
from stream.model.network import Network
from stream.recogniser import Recogniser
from stream.stage import Floats, Mask, whole

FRAME_TOLERANCE = (
    0.01  # of normalised frames, whose deviation is about 1, for what another cut rounds
)
FULL_SCALE = 32768.0  # of samples of 16 bits


def check_streaming(
    network: Network,
    backend: Backend,
    reference: Backend,
    decoding: Decoding,
    utterances: Sequence[Utterance],
    whose: str = "the model's are",
) -> None:
    """Stream recordings in random pieces, and compare frames and tokens with the whole ones.

    Args:
        network: the model.
        backend: that streams.
        reference: that computes whole recordings.
        decoding: a greedy one.
        utterances: the recordings.
        whose: words for the reference's tokens, for the message.
    Raises:
        ExportError: something differs.
    """
    rng = np.random.default_rng(0)
    listening = _Listening(backend)
    recogniser = Recogniser(network, listening, decoding)
    for utterance in utterances:
        pcm = np.clip(np.rint(FULL_SCALE * utterance.read()), -FULL_SCALE, FULL_SCALE - 1.0)
        x, parts = _input_frames(network, (pcm / FULL_SCALE).astype(np.float32))
        cuts = np.cumsum(rng.integers(1, 4000, len(pcm) // 2000))
        results = recogniser.stream(pcm.astype(np.int16), cuts)
        recogniser.reset()
        _compare_frames(utterance.id, x, listening.taken(), network)
        got = [(token.id, token.step) for result in results for token in result.tokens]
        want = _tokens(reference, x, parts, decoding)
        if got != want:
            raise ExportError(f"{utterance.id}: streamed tokens {got}, {whose} {want}")


class _Listening:
    """A backend that keeps the input frames that an engine of one slot gives it."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self._heard = backend, list[Floats]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def encode(self, x: Floats, state: Any, present: Mask | None = None) -> Any:
        self._hear(x, present)
        return self._backend.encode(x, state, present)

    def advance(self, x: Floats, state: Any, present: Mask | None = None) -> Any:
        self._hear(x, present)
        return self._backend.advance(x, state, present)  # type: ignore[attr-defined]

    def _hear(self, x: Floats, present: Mask | None) -> None:
        self._heard.append(x[0].copy() if present is None else x[0, present[0]])

    def taken(self) -> Floats:
        """Return the frames that count, (n, inputs), and forget them."""
        frames = np.concatenate(self._heard)
        self._heard.clear()
        return frames


def _input_frames(network: Network, samples: Floats) -> tuple[Floats, list[Part]]:
    """Return the input frames of a recording, (n, inputs), and its segments in these."""
    spec = network.specification
    cut = unmuted(
        samples,
        spec.encoder.chunk_samples,
        spec.mute_chunks,
        spec.front_end.lead,
        spec.sound_chunks,
    )
    z = whole(network.normaliser, streamed_log_mel(cut.samples[None], network.front_end))
    z = np.pad(z, ((0, 0), (0, -z.shape[1] % spec.encoder.stack), (0, 0)))
    x = stack(z, spec.encoder.stack)[0]
    return x, cut.parts(spec.encoder, len(x))


def _tokens(
    backend: Backend, x: Floats, parts: Sequence[Part], decoding: Decoding
) -> list[tuple[int, int]]:
    """Encode each segment of a recording in one step, and decode it: (id, step) of its tokens."""
    encoder = backend.specification.encoder
    found = list[tuple[int, int]]()
    search = decoding.search if isinstance(decoding.search, GreedyConfig) else None
    for part in parts:
        count = part.end - part.begin
        steps = int(encoder.frames(count))
        if part.silent == steps:
            continue
        padding = -count % encoder.chunk_inputs
        padded = np.pad(x[None, part.begin : part.end], ((0, 0), (0, padding), (0, 0)))
        present = np.arange(padded.shape[1])[None] < count
        f, _ = backend.encode(padded, backend.initial_state(1)[0], present)
        rows = greedy_rows(backend, 1, search, decoding.head)
        heard = f[:, part.silent : steps]
        tokens = rows.step(heard, np.array([0]), np.array([steps - part.silent]))[0]
        found += [(token.id, token.step + part.step) for token in tokens]
    return found


def _compare_frames(name: str, want: Floats, got: NDArray[np.float32], network: Network) -> None:
    seconds = network.specification.encoder.stack * 0.01
    if len(want) != len(got):
        raise ExportError(
            f"{name}: a stream has {len(got)} input frames of {seconds:g} s, the recording {len(want)}: "
            "padding at its ends differs"
        )
    error = np.abs(want - got)
    if not (error <= FRAME_TOLERANCE).all():
        frame, place = np.argwhere(~(error <= FRAME_TOLERANCE))[0].tolist()
        raise ExportError(
            f"{name}: streamed input frame {frame} ({frame * seconds:.2f} s) is {got[frame, place]:.3f} in "
            f"bin {place % 80}, that of the recording {want[frame, place]:.3f}"
        )
