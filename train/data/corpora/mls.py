"""Multilingual LibriSpeech: `mls_french/{train,dev,test}/transcripts.txt`, `audio/SPEAKER/BOOK/ID.flac`.

An identifier is SPEAKER_BOOK_NUMBER. The smaller edition has `.opus` files in the same places.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from train.data.corpora.layout import Item, LayoutError, PublishedCorpus, demand, read_lines

SPLITS = ("train", "dev", "test")


def _read(root: Path, _duplicates: int | None) -> Iterator[Item]:
    for split in SPLITS:
        transcripts, audio = demand(root, f"{split}/transcripts.txt", f"{split}/audio")
        suffix = None
        for number, line in read_lines(transcripts):
            name, separator, text = line.partition("\t")
            parts = name.split("_")
            if not separator or len(parts) != 3:
                raise LayoutError(
                    f"{transcripts}: line {number}: expected SPEAKER_BOOK_NUMBER, a tab and the text; "
                    f"found {line[:60]!r}"
                )
            path = audio / parts[0] / parts[1] / name
            if suffix is None:  # an edition has one kind of file
                suffix = ".opus" if path.with_suffix(".opus").is_file() else ".flac"
            yield Item(split, path.with_suffix(suffix), text, parts[0])


MLS = PublishedCorpus(
    title="Multilingual LibriSpeech",
    licence="CC BY 4.0",
    source="https://www.openslr.org/94",
    layout="mls_LANGUAGE/{train,dev,test}/transcripts.txt and audio/SPEAKER/BOOK/*.flac (or .opus)",
    read=_read,
)
