"""Common Voice: `cv-corpus-17.0-2024-03-15/fr/{train,dev,test,validated}.tsv` and `clips/*.mp3`.

Its tables have gained columns with the years (`accent` became `accents`; `locale`, `segment`, `variant`,
`sentence_id` and `sentence_domain` came); the ones that are read have always been there: `client_id`,
`path`, `sentence`. In early ones `path` lacks `.mp3`. Fields are not quoted: a quotation mark is part of
the sentence. The very first release (`cv_corpus_v1`) has `cv-valid-train.csv` with `filename` and `text`,
and says no speakers.

The published sets have each sentence once, and leave out its other recordings. With a number of duplicates
the training set is `validated.tsv` without what shares a speaker or a sentence with the development or test
set; those stay as published.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from train.data.corpora.layout import (
    Item,
    LayoutError,
    PublishedCorpus,
    demand,
    read_table,
    visible_folders,
)

FIRST_RELEASE = {"train": "cv-valid-train", "dev": "cv-valid-dev", "test": "cv-valid-test"}


def _read(root: Path, duplicates: int | None) -> Iterator[Item]:
    if (root / "cv-valid-train.csv").is_file():
        yield from _first_release(root)
        return
    if root.is_dir() and not (root / "clips").is_dir():
        languages = [f.name for f in visible_folders(root) if (f / "clips").is_dir()]
        if languages:
            raise LayoutError(
                f"{root}: holds {', '.join(languages)}: name the folder of one language, such as "
                f"{root / languages[0]}"
            )
    _, train, dev, test = demand(root, "clips", "train.tsv", "dev.tsv", "test.tsv")
    speakers, sentences = set(), set()
    for path in (dev, test):
        for item in _table(root, path, path.stem):
            speakers.add(item.speaker)
            sentences.add(item.text)
            yield item
    if duplicates is None:
        yield from _table(root, train, "train")
        return
    (validated,) = demand(root, "validated.tsv")
    for item in _table(root, validated, "train"):
        if item.speaker not in speakers and item.text not in sentences:
            yield item


def _table(root: Path, path: Path, split: str) -> Iterator[Item]:
    columns = ("client_id", "path", "sentence")
    for row in read_table(path, columns, delimiter="\t", quoted=False):
        name = row["path"] if row["path"].lower().endswith(".mp3") else f"{row['path']}.mp3"
        yield Item(split, root / "clips" / name, row["sentence"].strip(), row["client_id"])


def _first_release(root: Path) -> Iterator[Item]:
    for split, name in FIRST_RELEASE.items():
        (path,) = demand(root, f"{name}.csv")
        for row in read_table(path, ("filename", "text"), delimiter=",", quoted=True):
            yield Item(split, root / row["filename"], row["text"].strip())


COMMON_VOICE = PublishedCorpus(
    title="Common Voice",
    licence="CC0 1.0; do not try to find out who the speakers are",
    source="https://commonvoice.mozilla.org/datasets",
    layout="cv-corpus-VERSION/LANGUAGE/{train,dev,test,validated}.tsv and clips/*.mp3",
    read=_read,
)
