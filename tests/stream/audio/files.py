"""Recordings in every container, as bytes: what the tests of audio files and of uploads share.

Headers that no writer here produces (sizes that were never written) are made by changing their fields.
"""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 30_000).astype(np.float32)
CONTAINERS = {  # container -> format and subtype of libsndfile
    "wav": ("WAV", "PCM_16"),
    "24.wav": ("WAV", "PCM_24"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "sph": ("NIST", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


def encoded(
    samples: np.ndarray, container: str = "wav", rate: int = 16000, subtype: str | None = None
) -> bytes:
    """Return samples, (n,) or (n, channels), in a container."""
    name, usual = CONTAINERS[container]
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=name, subtype=subtype or usual)
    return file.getvalue()


def header(
    audio: bytes,
    data: int | None = None,
    riff: int | None = None,
    *,
    rate: int = 16000,
    channels: int = 1,
    bits: int = 16,
    align: int | None = None,
    tag: int = 1,
) -> bytes:
    """Return a WAV file whose header says what it is told to."""
    align = channels * bits // 8 & 0xFFFF if align is None else align
    form = struct.pack("<HHIIHH", tag, channels, rate, (rate * align) & 0xFFFFFFFF, align, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
    body += struct.pack("<I", len(audio) if data is None else data) + audio
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def pcm(samples: np.ndarray) -> bytes:
    """Return samples as S16LE."""
    return np.rint(samples * 32768).clip(-32768, 32767).astype("<i2").tobytes()


def piped(container: str) -> bytes:
    """Return the noise as a program writes it that cannot go back and fill in sizes."""
    raw = bytearray(encoded(NOISE, container))

    def put(offset: int, field: bytes) -> None:
        raw[offset : offset + len(field)] = field

    match container:
        case "wav":  # ffmpeg
            put(4, b"\xff" * 4)
            put(raw.index(b"data") + 4, b"\xff" * 4)
        case "rf64":  # ffmpeg -rf64 always
            put(raw.index(b"ds64") + 8, bytes(24))
        case "w64":
            put(16, b"\xff" * 8)
            put(raw.index(b"data") + 16, b"\xff" * 8)
        case "aiff":
            put(4, bytes(4))
            put(raw.index(b"COMM") + 10, bytes(4))
            put(raw.index(b"SSND") + 4, bytes(4))
        case "au":
            put(8, b"\xff" * 4)
        case "caf":
            put(raw.index(b"data") + 4, b"\xff" * 8)
        case "flac":  # number of samples, and MD5 of them
            put(21, bytes([raw[21] & 0xF0]) + bytes(4 + 16))
        case "mp3":  # a first frame without sound has the length: 144 kbit/s * 1000 / rate
            return bytes(raw[raw.index(b"\xff\xf3", 4) :])
    return bytes(raw)


PIPED = ("wav", "rf64", "w64", "aiff", "au", "caf", "flac", "mp3")
