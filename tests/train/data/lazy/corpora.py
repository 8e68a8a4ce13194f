"""A small corpus on disk, and the lazy batches that are drawn from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stream.bundled import model_path
from tests.train.data.formats.sets import recording
from train.config.batches import AugmentationConfig, BatchConfig
from train.data.batches import Batches
from train.data.lazy.clips import IndexedClips, Texts
from train.data.lazy.decoded import Decoded
from train.data.lazy.epochs import Epochs
from train.data.lazy.index_cache import index_of
from train.data.rows import Rows

__all__ = ["COUNT", "corpus", "lazy_batches"]

COUNT = 24


def corpus(folder: Path, bad: int | None = None) -> str:
    """Write `COUNT` recordings of 0.3 to 0.9 s and their manifest; the file of `bad` is missing."""
    lines = []
    for number in range(COUNT):
        seconds = 0.3 * (1 + number % 3)
        if number != bad:
            recording(folder / f"{number}.wav", 0.01 * (number + 1), seconds=seconds)
        text = ("one", "two one", "left right up")[number % 3]
        lines.append({"audio_filepath": f"{number}.wav", "text": text, "duration": seconds})
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def lazy_batches(
    path: str,
    *,
    decoded: bool = False,
    seed: int = 1,
    config: dict[str, Any] | None = None,
    augmentation: dict[str, Any] | None = None,
    **options: Any,
) -> Batches:
    index = index_of(path, cache=Path(path).parent / "cache")
    chosen = BatchConfig(**{"seconds": 5.0, **(config or {})})
    changes = AugmentationConfig(**(augmentation or {}))
    texts = Texts((model_path() / "tokenizer.model").read_bytes(), "as-is", False)
    return Batches(
        IndexedClips([index], texts, [Decoded(index)] if decoded else None),
        Epochs([index], [1.0], chosen, changes.gap_seconds, seed),
        Rows([], chosen, changes, seed),
        **options,
    )
