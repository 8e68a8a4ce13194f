"""Refuse a model that looks ahead: nothing later may change an earlier output.

The check runs the real stages: it sets everything after a moment to NaN and to a large finite value,
and compares the outputs that are due by then. Training and export call it at start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from stream.encoders.family import Encoder
from stream.errors import DifferenceError
from stream.front_end.log_mel import BINS, HOP, SAMPLE_RATE, FrontEnd, streamed_log_mel
from stream.stage import Floats, Stage, whole

CHUNKS = 6  # of the encoder
FRAMES = 36  # log-mel frames
FRAME_SECONDS = HOP / SAMPLE_RATE


class CausalityError(DifferenceError):
    """A model in which a later sample changes an earlier output; it cannot stream."""


def check_causal(encode: Callable[[Floats], Floats], encoder: Encoder, name: str) -> None:
    """Check an encoder, chunk by chunk.

    Args:
        encode: (1, n, inputs) float32 input frames, whole chunks, -> (1, frames, J), from the initial
            state.
        encoder: its sizes.
        name: of the encoder, for the message.
    Raises:
        CausalityError: an output changed with frames that come after it.
    """
    x = _noise(1, CHUNKS * encoder.chunk_inputs, encoder.inputs)
    prefixes = [
        (chunk * encoder.chunk_inputs, chunk * encoder.chunk_frames) for chunk in range(1, CHUNKS)
    ]
    _check(encode, x, prefixes, f"{name}: encoder frame", encoder.frame_seconds)


def check_features_causal(front_end: FrontEnd, normaliser: Stage) -> None:
    """Check the front end, samples to log-mel, and the normaliser, frame by frame.

    Raises:
        CausalityError: a frame changed with samples or frames that come after it.
    """
    samples = 0.1 * _noise(1, front_end.lead + FRAMES * HOP)
    prefixes = [(front_end.lead + frame * HOP, frame) for frame in range(1, FRAMES)]
    _check(
        lambda x: streamed_log_mel(x, front_end),
        samples,
        prefixes,
        "front end: log-mel frame",
        FRAME_SECONDS,
    )
    prefixes = [(frame, frame) for frame in range(1, FRAMES)]
    _check(
        lambda x: whole(normaliser, x),
        _noise(1, FRAMES, BINS),
        prefixes,
        "normaliser: frame",
        FRAME_SECONDS,
    )


def _check(
    function: Callable[[Floats], Floats],
    x: Floats,
    prefixes: Iterable[tuple[int, int]],
    name: str,
    seconds: float,
) -> None:
    """Compare outputs, (1, frames, …), with those for an input that is disturbed at its end.

    Args:
        function: of x, from the initial state.
        x: (1, n, …) input.
        prefixes: pairs of how much of the input is left as it is, and how many outputs follow from that.
        name: of an output frame.
        seconds: of an output frame.
    """
    want = function(x)
    for kept, due in prefixes:
        for value in (np.nan, 100.0):
            disturbed = x.copy()
            disturbed[:, kept:] = value
            with np.errstate(invalid="ignore"):  # of the NaN that were just put there
                got = function(disturbed)
            # A product over other values may round another way, so equality is up to rounding.
            same = np.isclose(got[0, :due], want[0, :due], rtol=1e-4, atol=1e-4)
            if not same.all():
                frame = int(np.argwhere(~same)[0, 0])
                raise CausalityError(
                    f"{name} {frame} ({seconds * frame:.2f} s) changes when the input from "
                    f"{seconds * due:.2f} s on is set to {value}. A stream cannot know it: use "
                    "stages that only look back."
                )


def _noise(*shape: int) -> Floats:
    return np.random.default_rng(0).standard_normal(shape, np.float32)
