"""M-AILABS: `fr_FR/by_book/female/ezwa/monsieur_lecoq/metadata.csv` and `wavs/NAME.wav` beside it.

A line of metadata is NAME|TEXT|NORMALISED TEXT; the last is taken, numbers are words in it. A book of
`mix` is read by several speakers whom nobody names. The corpus has no development or test set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from train.data.corpora.layout import Item, LayoutError, PublishedCorpus, demand, read_lines


def _read(root: Path, _duplicates: int | None) -> Iterator[Item]:
    books = sorted(root.rglob("metadata.csv"))
    if not books:
        demand(root, "by_book/*/*/*/metadata.csv")
    for metadata in books:
        (wavs,) = demand(metadata.parent, "wavs")
        reader = metadata.parent.parent.name
        speaker = None if reader == "mix" else reader
        for number, line in read_lines(metadata):
            fields = line.split("|")
            if len(fields) != 3:
                raise LayoutError(
                    f"{metadata}: line {number}: expected NAME|TEXT|NORMALISED TEXT; found "
                    f"{len(fields)} fields in {line[:60]!r}"
                )
            yield Item("train", wavs / f"{fields[0]}.wav", fields[2].strip(), speaker)


MAILABS = PublishedCorpus(
    title="M-AILABS Speech Dataset",
    licence="M-AILABS' own, like BSD: keep its notice with the data",
    source="https://www.caito.de/2019/01/03/the-m-ailabs-speech-dataset/",
    layout="LANGUAGE/[by_book/]GENDER/SPEAKER/BOOK/metadata.csv and wavs/*.wav",
    read=_read,
)
