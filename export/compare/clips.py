"""Clips for the page: the part of a recording where transcripts diverge, small enough to embed.

A clip is 16-bit mono WAV at 16 kHz, at most `CLIP_SECONDS` long (32 kB per second), with the outline of
its wave for a picture. Of a longer recording it is the part around the time that matters.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import soundfile

from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats

CLIP_SECONDS = 12.0
LEAD_SECONDS = 4.0  # heard before the time that matters
OUTLINE = 240  # points


@dataclass(frozen=True)
class Clip:
    """A part of a recording.

    Attributes:
        begin: seconds into the recording.
        seconds: its length.
        wav: the bytes of a WAV file.
        outline: (`OUTLINE`,) float32, peaks of equal parts of it, 0 to 1, the loudest being 1.
    """

    begin: float
    seconds: float
    wav: bytes
    outline: Floats

    @property
    def uri(self) -> str:
        """The WAV file as a data URI."""
        return "data:audio/wav;base64," + base64.b64encode(self.wav).decode()


def clip(samples: Floats, seconds: float = 0.0) -> Clip:
    """Return the part of a recording around a time.

    Args:
        samples: (samples,) float32 at 16 kHz; beyond [-1, 1] they are clipped.
        seconds: the time that matters.
    """
    most = int(CLIP_SECONDS * SAMPLE_RATE)
    begin = max(0, min(int((seconds - LEAD_SECONDS) * SAMPLE_RATE), len(samples) - most))
    some = np.clip(samples[begin : begin + most], -1.0, 1.0)
    file = io.BytesIO()
    soundfile.write(file, some, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    peaks = [float(np.abs(part).max(initial=0.0)) for part in np.array_split(some, OUTLINE)]
    outline = np.array(peaks, np.float32) / max(*peaks, 1e-9)
    return Clip(begin / SAMPLE_RATE, len(some) / SAMPLE_RATE, file.getvalue(), outline)
