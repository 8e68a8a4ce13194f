"""The causal Conformer: attention in chunks or Mamba-2, causal convolutions, SwiGLU feed-forward.

A whole utterance and a chunk are the same function: a step over any number of whole chunks gives, up to
rounding, what a step for each of them gives, in values, states and gradients. A layer (Gulati et al., 2020),
in which every branch normalises its input:

    x = x + feed_forward1(x) / 2
    x = x + attention(x)               or mamba(x)
    x = x + convolution(x)
    x = norm(x + feed_forward2(x) / 2)

Arrays, by the names that each part gives them:

    encoder.subsampling.…
    encoder.N.{feed_forward1,attention|mamba,convolution,feed_forward2,norm}.…

State: (of the subsampling; (batch, left) bool, which places of the caches hold a frame; for each layer (of
attention or Mamba, of the convolution)).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import msgspec
import numpy as np

from stream.encoders.attention import Attention
from stream.encoders.convolution import Convolution
from stream.encoders.family import Arrays, Encoder
from stream.encoders.feed_forward import FeedForward
from stream.encoders.mamba import Mamba
from stream.encoders.norm import Norm
from stream.encoders.operations import PLAIN, NormKind, Operations, zero_absent
from stream.encoders.subsampling import STRIDES, Subsampling
from stream.encoders.windows import Windows, windows
from stream.front_end.log_mel import HOP, SAMPLE_RATE
from stream.stage import Array, State


@dataclass(frozen=True)
class Layer:
    """The parts of a layer; `mixer` is what looks far back, and `operations` drop values of the branches."""

    feed_forward1: FeedForward
    mixer: Attention | Mamba
    convolution: Convolution
    feed_forward2: FeedForward
    norm: Norm
    operations: Operations

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays by name."""
        parts = (self.feed_forward1, self.mixer, self.convolution, self.feed_forward2, self.norm)
        return {name: shape for part in parts for name, shape in part.shapes().items()}

    def initial_state(self, batch: int) -> State:
        """Return the states of the mixer and of the convolution."""
        return self.mixer.initial_state(batch), self.convolution.initial_state(batch)

    @property
    def caches(self) -> State:
        """Which leaves of the state are caches."""
        return self.mixer.caches, self.convolution.caches

    def advance(
        self, arrays: Arrays, x: Array, state: State, present: Array | None, seen: Windows
    ) -> tuple[Array, State]:
        """Return the layer's output for x, (batch, n, size), and what its parts give for their states."""
        (mixed, convolved), drop = state, self.operations.drop
        x = x + drop(0.5 * self.feed_forward1.of(arrays, x))
        if isinstance(self.mixer, Mamba):
            y, mixed = self.mixer.advance(arrays, x, mixed, present)
        else:
            y, mixed = self.mixer.advance(arrays, x, mixed, seen)
        x = x + drop(y)
        y, convolved = self.convolution.advance(arrays, x, convolved, present)
        x = x + drop(y)
        x = x + drop(0.5 * self.feed_forward2.of(arrays, x))
        return self.norm.of(arrays, x), (mixed, convolved)


class Conformer(
    Encoder,
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="conformer",
    tag_field="family",
):
    """The Conformer encoder.

    Attributes:
        depth: number of layers; in files "layers".
        size: of an encoder frame.
        heads, groups: of attention: queries, and keys and values that they share.
        kernel: encoder frames that a convolution sees.
        left_chunks: how far attention looks back behind a chunk, in chunks of the longest length.
        mamba_every: 3: the third layer, the sixth and so on have Mamba-2 in place of attention; 0: none has.
        mamba_heads, mamba_state, mamba_expand: of Mamba-2: heads, size of B and C, and the size that it
            computes with as a multiple of `size`.
        feed_forward: size inside of SwiGLU.
        subsampling: log-mel frames, 10 ms each, of an encoder frame: 4, 6 or 8.
        channels: of the convolutions that subsample.
        norm: "rms" or "layer".
        chunk_ms: length of a chunk in use, milliseconds, a multiple of an encoder frame.
        chunks_ms: all the lengths that the model is trained with, of which `chunk_ms` is one; empty:
            only `chunk_ms`.
    """

    depth: int = msgspec.field(default=12, name="layers")
    size: int = 256
    heads: int = 4
    groups: int = 2
    kernel: int = 15
    left_chunks: int = 1
    mamba_every: int = 0
    mamba_heads: int = 8
    mamba_state: int = 64
    mamba_expand: int = 2
    feed_forward: int = 512
    subsampling: int = 4
    channels: int = 32
    norm: NormKind = "rms"
    chunk_ms: int = 960
    chunks_ms: tuple[int, ...] = ()

    stack = 1

    def __post_init__(self) -> None:
        for field in ("depth", "size", "heads", "groups", "kernel", "feed_forward", "channels"):
            if getattr(self, field) < 1:
                name = "layers" if field == "depth" else field
                raise ValueError(f"{name} is {getattr(self, field)}, wants at least 1")
        for field in ("left_chunks", "mamba_every"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} is {getattr(self, field)}, wants at least 0")
        if self.size % (2 * self.heads):
            raise ValueError(
                f"size is {self.size}, wants a multiple of {2 * self.heads}: heads of even size"
            )
        if self.heads % self.groups:
            raise ValueError(f"groups is {self.groups}, wants a divisor of heads, {self.heads}")
        if self.subsampling not in STRIDES:
            raise ValueError(f"subsampling is {self.subsampling}, wants 4, 6 or 8")
        if self.mamba_every:
            for field in ("mamba_heads", "mamba_state", "mamba_expand"):
                if getattr(self, field) < 1:
                    raise ValueError(f"{field} is {getattr(self, field)}, wants at least 1")
            if self.mamba_expand * self.size % self.mamba_heads:
                raise ValueError(
                    f"mamba_heads is {self.mamba_heads}, wants a divisor of mamba_expand x size, "
                    f"{self.mamba_expand * self.size}"
                )
        for field, chunk in (
            ("chunk_ms", self.chunk_ms),
            *(("chunks_ms", length) for length in self.chunks_ms),
        ):
            if chunk < 1 or chunk % (10 * self.subsampling):
                says = "is" if field == "chunk_ms" else "has"
                raise ValueError(
                    f"{field} {says} {chunk}, wants a multiple of an encoder frame, "
                    f"{10 * self.subsampling} ms"
                )
        if len(set(self.chunks_ms)) < len(self.chunks_ms):
            raise ValueError(
                f"chunks_ms is {', '.join(map(str, self.chunks_ms))}, wants each length once"
            )
        if self.chunks_ms and self.chunk_ms not in self.chunks_ms:
            raise ValueError(
                f"chunk_ms is {self.chunk_ms}, wants one of chunks_ms, "
                f"{', '.join(map(str, self.chunks_ms))}"
            )

    @property
    def frame_samples(self) -> int:
        return self.subsampling * HOP

    @property
    def chunk_samples(self) -> int:
        return self.chunk_ms * SAMPLE_RATE // 1000

    @property
    def chunk_lengths(self) -> tuple[int, ...]:
        return self.chunks_ms or (self.chunk_ms,)

    @property
    def macs_a_second(self) -> float:
        subsampling, _ = parts_of(self)
        mambas = sum(map(self.has_mamba, range(self.depth)))
        seen = 2 * (self.left + self.chunk_frames) * self.size  # products with keys and values
        recurrent = 3 * self.mamba_expand * self.size * self.mamba_state
        more = (self.depth - mambas) * seen + mambas * recurrent + subsampling.repeated_macs
        return super().macs_a_second + more / self.frame_seconds

    @property
    def left(self) -> int:
        """The encoder frames before its chunk that a frame sees, whatever the chunk in use."""
        return self.left_chunks * max(self.chunk_lengths) // (10 * self.subsampling)

    def has_mamba(self, layer: int) -> bool:
        """Return whether a layer, counted from 0, has Mamba-2 in place of attention."""
        return self.mamba_every > 0 and (layer + 1) % self.mamba_every == 0

    def shapes(self) -> dict[str, tuple[int, ...]]:
        subsampling, layers = parts_of(self)
        shapes = subsampling.shapes()
        for layer in layers:
            shapes |= layer.shapes()
        return shapes

    def layers(self) -> tuple[str, ...]:
        return ("encoder.subsampling", *(f"encoder.{n}" for n in range(self.depth)))

    def initial_state(self, batch: int) -> State:
        """Return empty caches."""
        subsampling, layers = parts_of(self)
        return (
            subsampling.initial_state(batch),
            np.zeros((batch, self.left), np.bool_),
            tuple(layer.initial_state(batch) for layer in layers),
        )

    @property
    def caches(self) -> State:
        subsampling, layers = parts_of(self)
        return (False,) * len(subsampling.stages), False, tuple(layer.caches for layer in layers)

    def advance(
        self, arrays: Arrays, x: Array, state: State, present: Array | None = None
    ) -> tuple[Array, State]:
        """Encode log-mel frames, (batch, subsampling n, 80) -> (batch, n, size)."""
        return self.advance_by(PLAIN, arrays, x, state, present)

    def advance_by(
        self,
        operations: Operations,
        arrays: Arrays,
        x: Array,
        state: State,
        present: Array | None,
    ) -> tuple[Array, State]:
        """Encode as `advance` does, by these operations."""
        subsampled, filled, before = state
        subsampling, layers = parts_of(self, operations)
        x, subsampled = subsampling.step(arrays, zero_absent(x, present), subsampled)
        if present is not None:  # a frame of which a part is present is
            present = present[:, :: self.subsampling]
        head_size = self.size // self.heads
        seen = windows(filled, present, x, self.chunk_frames, self.left, head_size)
        x, after = operations.drop(x), []
        for layer, old in zip(layers, before, strict=True):
            x, new = layer.advance(arrays, x, old, present, seen)
            after.append(new)
        return x, (subsampled, seen.filled, tuple(after))


@functools.lru_cache
def parts_of(
    sizes: Conformer, operations: Operations = PLAIN
) -> tuple[Subsampling, tuple[Layer, ...]]:
    """Return the subsampling and the layers of an encoder."""
    size, joined, channels = sizes.size, sizes.subsampling, sizes.channels
    subsampling = Subsampling("encoder.subsampling", joined, channels, size, operations)
    return subsampling, tuple(_layer(sizes, n, operations) for n in range(sizes.depth))


def _layer(sizes: Conformer, n: int, operations: Operations) -> Layer:
    name, left = f"encoder.{n}", sizes.left

    def norm(part: str, size: int = sizes.size) -> Norm:
        return Norm(f"{name}.{part}", size, sizes.norm, operations)

    def feed_forward(part: str) -> FeedForward:
        return FeedForward(f"{name}.{part}", norm(f"{part}.norm"), sizes.feed_forward, operations)

    def mamba(part: str) -> Mamba:
        inner = norm(f"{part}.output_norm", sizes.mamba_expand * sizes.size)
        heads, state = sizes.mamba_heads, sizes.mamba_state
        return Mamba(f"{name}.{part}", norm(f"{part}.norm"), inner, heads, state, operations)

    def attention(part: str) -> Attention:
        heads, groups = sizes.heads, sizes.groups
        return Attention(f"{name}.{part}", norm(f"{part}.norm"), heads, groups, left, operations)

    def convolution(part: str) -> Convolution:
        norms = norm(f"{part}.norm"), norm(f"{part}.output_norm")
        return Convolution(f"{name}.{part}", *norms, sizes.kernel, operations)

    return Layer(
        feed_forward("feed_forward1"),
        mamba("mamba") if sizes.has_mamba(n) else attention("attention"),
        convolution("convolution"),
        feed_forward("feed_forward2"),
        norm("norm"),
        operations,
    )
