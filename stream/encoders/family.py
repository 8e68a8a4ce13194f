"""The interface of an encoder family: everything the rest of Rill may call.

An encoder takes normalised log-mel frames, `stack` of them joined in an input frame, and gives encoder
frames, which the joint and the CTC head read. A family is a frozen msgspec struct of its sizes, tagged
with its name, with the methods below; it holds no arrays. docs/encoders.md says how to add one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self, cast

import msgspec
from array_api_compat import array_namespace, device

from stream.errors import ArgumentError
from stream.front_end.log_mel import BINS, HOP, SAMPLE_RATE
from stream.stage import Array, State, append, map_state

Arrays = Mapping[str, Array]


class Family:
    """What encoders and prediction networks of any family have."""

    __slots__ = ()

    @property
    def family(self) -> str:
        """The name of the family, a key of the `FAMILIES` of its package."""
        config: Any = self.__struct_config__  # type: ignore[attr-defined]
        return str(config.tag)

    @property
    def size(self) -> int:
        """The size of an output: an encoder frame, or the vector after a token."""
        raise NotImplementedError

    def layers(self) -> tuple[str, ...]:
        """Return the names of the layers, prefixes of those of `shapes`, in the order of the signal."""
        raise NotImplementedError

    def prepare(self, arrays: Arrays) -> Arrays:
        """Return arrays, NumPy's or torch's, as `step` takes them: what can be computed once, is."""
        return arrays

    def initial_state(self, batch: int) -> State:
        """Return the NumPy state at the start of a stream or sequence, the batch axis first in every leaf."""
        raise NotImplementedError


class Encoder(Family):
    """An encoder of one family and size."""

    __slots__ = ()

    @property
    def stack(self) -> int:
        """The number of log-mel frames, 10 ms each, that an input frame joins."""
        raise NotImplementedError

    @property
    def chunk_samples(self) -> int:
        """The samples that one step takes: a multiple of an input frame and of `frame_samples`."""
        raise NotImplementedError

    @property
    def chunk_length(self) -> int:
        """The length of a chunk, milliseconds."""
        return 1000 * self.chunk_samples // SAMPLE_RATE

    @property
    def chunk_lengths(self) -> tuple[int, ...]:
        """The lengths of a chunk to choose from, milliseconds: those that the model is trained with."""
        return (self.chunk_length,)

    def with_chunk(self, ms: float) -> Self:
        """Return this encoder with chunks of another length: a family with several has a field `chunk_ms`.

        Raises:
            ArgumentError: the model is not trained with chunks of so many milliseconds.
        """
        if ms not in self.chunk_lengths:
            lengths = ", ".join(map(str, self.chunk_lengths))
            raise ArgumentError(
                f"a chunk of {ms:g} ms: the model is trained with chunks of {lengths} ms"
            )
        if ms == self.chunk_length:
            return self
        other: Any = msgspec.structs.replace(cast(Any, self), chunk_ms=int(ms))
        return cast(Self, other)

    @property
    def frame_samples(self) -> int:
        """The samples from one encoder frame to the next."""
        raise NotImplementedError

    @property
    def inputs(self) -> int:
        """The size of an input frame."""
        return self.stack * BINS

    @property
    def chunk_inputs(self) -> int:
        """The number of input frames in a chunk."""
        return self.chunk_samples // (HOP * self.stack)

    @property
    def chunk_frames(self) -> int:
        """The number of encoder frames in a chunk."""
        return self.chunk_samples // self.frame_samples

    @property
    def chunk_seconds(self) -> float:
        """The length of a chunk, seconds."""
        return self.chunk_samples / SAMPLE_RATE

    @property
    def frame_seconds(self) -> float:
        """The time from one encoder frame to the next, seconds."""
        return self.frame_samples / SAMPLE_RATE

    def chunk_end(self, frame: Any) -> Any:
        """Return the first encoder frame after the chunk of a frame, an integer or array of them.

        A frame is known only when its whole chunk has been heard.
        """
        return (frame // self.chunk_frames + 1) * self.chunk_frames

    @property
    def macs_a_second(self) -> float:
        """The multiply-adds of a second of audio, those of element-wise functions left out."""
        weights = sum(math.prod(shape) for shape in self.shapes().values() if len(shape) > 1)
        return weights / self.frame_seconds

    def frames(self, count: Any) -> Any:
        """Return the number of encoder frames of so many input frames, an integer or array of them.

        The last encoder frame may have only part of its input.
        """
        joined = self.frame_samples // (HOP * self.stack)
        return (count + joined - 1) // joined

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each of the encoder's arrays by its name, which begins with "encoder."."""
        raise NotImplementedError

    @property
    def caches(self) -> State | None:
        """Which leaves of the state are caches, a tree of bool; None: there are none.

        A cache holds the last frames of something, (batch, ..., n, size); a step appends to it, whose
        frames drop as many of the oldest. `stream.backends.states` keeps caches without moving them.
        """
        return None

    def advance(
        self, arrays: Arrays, x: Array, state: State, present: Array | None = None
    ) -> tuple[Array, State]:
        """Encode as `step` does, but return in place of each cache only the frames to append to it.

        A family with caches has this in place of `step`.
        """
        raise NotImplementedError

    def step(
        self, arrays: Arrays, x: Array, state: State, present: Array | None = None
    ) -> tuple[Array, State]:
        """Encode input frames.

        NumPy serves and torch trains through these lines: they are written over the array namespace
        of x (`array_api_compat`), change nothing in place, and pass gradients.

        Args:
            arrays: as `prepare` returns them, of the namespace of x.
            x: (batch, n, inputs) normalised; n is a multiple of `chunk_inputs`.
            state: before the frames.
            present: (batch, n) bool, False where a frame lies past the end of its row and must have no
                influence; None: all are present.
        Returns:
            (batch, m, size), m = n chunk_frames / chunk_inputs, and the state after them.
        """
        if not x.shape[1]:
            empty = array_namespace(x).zeros(
                (len(x), 0, self.size), dtype=x.dtype, device=device(x)
            )
            return empty, state
        y, new = self.advance(arrays, x, state, present)
        return y, appended(self.caches, state, new)


def appended(caches: State, state: State, new: State) -> State:
    """Return the state after a step.

    Args:
        caches: which leaves are caches.
        state: before the step.
        new: what replaces a leaf, or is appended to a cache.
    """
    return map_state(
        lambda cache, before, after: append(before, after) if cache else after, caches, state, new
    )
