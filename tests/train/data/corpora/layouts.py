"""Small corpora in the layouts in which the large ones are published, with real audio of a few samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

__all__ = ["recording", "text"]


def text(path: Path, content: str) -> Path:
    """Write a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def recording(path: Path, seconds: float = 0.25, rate: int = 16000) -> Path:
    """Write a recording in the format of its name, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.sin(np.arange(round(seconds * rate)) / 20.0)
    formats = {".sph": ("NIST", "PCM_16"), ".opus": ("OGG", "OPUS"), ".mp3": ("MP3", None)}
    kind, subtype = formats.get(path.suffix, (None, None))
    soundfile.write(path, samples, rate, subtype, format=kind)
    return path
