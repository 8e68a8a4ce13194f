"""Lingua Libre: `Q21-fra-French/SPEAKER/bonjour.ogg`, a word or a phrase that the file's name spells.

An underscore stands for a space. Older archives have `.wav` files. What is known to be misleading is left
out with `--skip`. The corpus has no development or test set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from train.data.corpora.layout import Item, PublishedCorpus, demand, visible_folders

SUFFIXES = (".ogg", ".wav", ".flac")


def _read(root: Path, _duplicates: int | None) -> Iterator[Item]:
    found = False
    for speaker in visible_folders(root):
        for path in sorted(speaker.iterdir()):
            if path.suffix.lower() in SUFFIXES and path.name[0] != ".":
                found = True
                yield Item("train", path, path.stem.replace("_", " ").strip(), speaker.name)
    if not found:
        demand(root, "SPEAKER/*.ogg")


LINGUA_LIBRE = PublishedCorpus(
    title="Lingua Libre",
    licence="of each recording, CC BY-SA 4.0 or freer: see its page on Wikimedia Commons",
    source="https://lingualibre.org/datasets/",
    layout="Q21-fra-French/SPEAKER/WORD.ogg",
    read=_read,
)
