"""Audio files of many formats, rates and channel counts to 16 kHz mono, in chunks with state.

`recording` is the way in. libsndfile decodes and soxr resamples; what they leave open is decided here,
the same for every format: where a recording ends and whether it was cut short (`containers` and the
readers beside it), what becomes of several channels (`channels`), which rates and samples are taken.
"""

from __future__ import annotations

from stream.audio.channels import Mixer
from stream.audio.errors import AudioError, CutShortError, FormatError, TooLongError
from stream.audio.part import WHOLE, Part
from stream.audio.recording import Recording, read_audio, read_chunks
from stream.audio.resampler import (
    HIGHEST_RATE,
    LOUDEST,
    LOWEST_RATE,
    Resampler,
    as_float,
    first_bad_sample,
)

__all__ = [
    "HIGHEST_RATE",
    "LOUDEST",
    "LOWEST_RATE",
    "WHOLE",
    "AudioError",
    "CutShortError",
    "FormatError",
    "Mixer",
    "Part",
    "Recording",
    "Resampler",
    "TooLongError",
    "as_float",
    "first_bad_sample",
    "read_audio",
    "read_chunks",
]
