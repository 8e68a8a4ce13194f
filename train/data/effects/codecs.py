"""Codecs: a clip as a telephone line, a music file or a call hands it on, encoded and decoded again.

libsndfile encodes in memory, so the artefacts are those of the real codecs (LAME, libopus, GSM 06.10, G.711)
and no further package is needed. The codecs of telephony run at 8 kHz: nothing above 4 kHz is left. A clip
keeps its length, and its words their place, to the sample; GSM pads its last block, which is cut off.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Codec:
    """How a codec is reached in libsndfile.

    Attributes:
        container, subtype: of the file that is written in memory.
        rate: Hz.
        levels: range of libsndfile's compression level, 0 (largest file) to 1; None: it has none.
    """

    container: str
    subtype: str
    rate: int = SAMPLE_RATE
    levels: tuple[float, float] | None = None


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "mu-law": Codec("WAV", "ULAW", 8000),
        "a-law": Codec("WAV", "ALAW", 8000),
        "gsm": Codec("WAV", "GSM610", 8000),
        # Variable rates, at 16 kHz some 35 to 10 kbit/s; constant rates shift the signal at some levels.
        "mp3": Codec("MP3", "MPEG_LAYER_III", levels=(0.3, 0.99)),
        # 256 kbit/s at level 0, some 35 at 0.9, 11 at 1.
        "opus": Codec("OGG", "OPUS", levels=(0.8, 1.0)),
        "vorbis": Codec("OGG", "VORBIS", levels=(0.5, 1.0)),
    }
)


def transcode(x: Samples, rng: np.random.Generator, name: str) -> Samples:
    """Encode and decode a clip.

    Args:
        x: (n,) float32 at 16 kHz; beyond [-1, 1] it is clipped, as an encoder does.
        rng: of the compression level.
        name: a key of `CODECS`.
    Returns:
        (n,) float32.
    """
    codec = CODECS[name]
    level = None if codec.levels is None else rng.uniform(*codec.levels)
    if not len(x):
        return x
    at_rate = x if codec.rate == SAMPLE_RATE else soxr.resample(x, SAMPLE_RATE, codec.rate)
    file = io.BytesIO()
    soundfile.write(
        file,
        np.clip(at_rate, -1.0, 1.0),
        codec.rate,
        codec.subtype,
        format=codec.container,
        compression_level=level,
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    if codec.rate != SAMPLE_RATE:
        decoded = soxr.resample(decoded, codec.rate, SAMPLE_RATE)
    y = np.zeros(len(x), np.float32)
    y[: len(decoded)] = decoded[: len(x)]
    return y
