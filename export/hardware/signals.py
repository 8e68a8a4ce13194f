"""Directed streams of a hardware bundle: samples that bring about what recordings do not.

Full scale and silence, tones, clicks, some with a peak just below a power of two, quiet channels, channels that are
muted and come back, with the first or the last sample of a chunk alone, or at their very end; streams that end in the
middle of a frame, a chunk or a window, and streams of one sample and of none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import HOP, SAMPLE_RATE
from stream.integer.log_mel import window_weights
from stream.model.specification import Specification

LOUDNESS = (64, 1024, 16384)  # of clicks, at least; at most twice as much
FRAMES_APART = 6  # so that a window holds one of them
Samples = NDArray[np.int16]


def signals(specification: Specification, recordings: dict[str, Samples]) -> dict[str, Samples]:
    """Return directed streams by name.

    Args:
        specification: whose mute the streams of zeros outlast.
        recordings: of speech, one at least; some are played quietly, or with zeros around them.
    """
    rng = np.random.default_rng(0)
    speech = min(recordings.values(), key=len)
    chunk, lead = specification.encoder.chunk_samples, specification.front_end.lead
    muted = np.zeros((specification.mute_chunks + 3) * chunk + 77, np.int16)
    whole = max(len(speech) - lead, 0) // chunk * chunk + lead
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    square = np.where(np.arange(4000) // 16 % 2 == 1, 32767, -32768)
    click = np.zeros(3000)
    click[[700, 1900]] = 32767, -32768
    noise = rng.uniform(-32768, 32767, 8000)
    noise[2000:5000] *= 2.0**-12
    return {
        "full-scale-noise": _pcm(noise),
        "nyquist": _pcm(np.where(np.arange(3000) % 2 == 1, 32767, -32768)),
        "square": _pcm(square),
        "constant": np.full(3000, -32768, np.int16),
        "tone": _pcm(20000 * np.sin(2 * np.pi * 1000 * time)),
        "clicks": _pcm(click),
        "least-bits": rng.integers(-1, 2, 4000).astype(np.int16),
        "quiet-speech": _pcm(speech / 64),
        "silence": muted,
        "muted-speech": np.concatenate(
            [speech, muted, speech[: len(speech) // 2], muted, speech[-3 * chunk :], muted]
        ),
        "edges-of-chunks": _edges_of_chunks(chunk, lead, specification.mute_chunks + 2),
        "muted-speech-to-the-end": np.concatenate([speech[:whole], muted[:-77], speech[-300:]]),
        "speech-after-zeros": np.concatenate([muted, speech]),
        "speech-then-a-little-silence": np.concatenate([speech, muted[: 2 * chunk + 50]]),
        "nothing": np.zeros(0, np.int16),
        "one-sample": np.array([-12345], np.int16),
        "less-than-the-lead": _pcm(rng.normal(0, 3000, 200)),
        "less-than-a-frame": _pcm(rng.normal(0, 3000, 250)),
        "less-than-a-chunk": _pcm(rng.normal(0, 3000, 700)),
        "odd-end": _pcm(rng.normal(0, 3000, 3 * chunk + 5)),
        "a-sample-less-than-a-window": _pcm(rng.normal(0, 3000, specification.window - 1)),
        "a-window": _pcm(rng.normal(0, 3000, specification.window)),
        "a-chunk": _pcm(rng.normal(0, 3000, lead + chunk)),
        "the-lead": _pcm(rng.normal(0, 3000, specification.window - HOP)),
        "peaks-below-a-power": _peaks_below_a_power(specification),
    }


def _edges_of_chunks(chunk: int, lead: int, silent: int) -> Samples:
    """Return chunks of which only the first sample is not zero, or the last one, with silent chunks around them."""
    pcm = np.zeros(lead + (3 * silent + 2) * chunk, np.int16)
    first, last = lead + silent * chunk, lead + (2 * silent + 2) * chunk - 1
    pcm[[first, last]] = 9000, -9000
    return pcm


def _peaks_below_a_power(specification: Specification) -> Samples:
    """Return clicks, one at a time in the window, whose largest product is just below a power of two.

    Rule 10.5 adds 2^-14 of it before it counts bits, so that rounding cannot overflow. With 2^-13 these would take another bit.
    """
    weights = window_weights(specification.window)
    before = specification.window - HOP - specification.front_end.lead  # zeros
    pcm = np.zeros(HOP * (len(LOUDNESS) + 1) * FRAMES_APART, np.int16)
    for number, least in enumerate(LOUDNESS):
        loud = np.arange(least, 2 * least)
        products = (loud[:, None] * weights) << 15
        bits = np.floor(np.log2(np.maximum(products, 1))).astype(np.int64) + 1
        below = (products + (products >> 13) >= 1 << bits) & (
            products + (products >> 14) < 1 << bits
        )
        # The click's echo in the emphasis, 0.97 of it, has the next weight, and has to be smaller.
        below[:, :-1] &= weights[:-1] * 32768 > weights[1:] * 31785
        at, index = np.argwhere(below)[0]
        pcm[(number + 1) * FRAMES_APART * HOP - before + index] = loud[at]
    return pcm


def _pcm(values: NDArray[np.floating]) -> Samples:
    samples: Samples = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    return samples
