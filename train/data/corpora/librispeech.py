"""LibriSpeech, and Mini LibriSpeech: `train-clean-100/19/198/19-198-0001.flac`, `19-198.trans.txt`.

The seven sets keep their names, one manifest each; those that are not there are left out. Texts are
upper case without punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from train.data.corpora.layout import (
    Item,
    LayoutError,
    PublishedCorpus,
    demand,
    read_lines,
    visible_folders,
)

_SET = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")


def _read(root: Path, _duplicates: int | None) -> Iterator[Item]:
    if (root / "LibriSpeech").is_dir():
        root = root / "LibriSpeech"
    sets = [path for path in visible_folders(root) if _SET.fullmatch(path.name)]
    if not sets:
        demand(root, "train-clean-100")
    for folder in sets:
        for speaker in visible_folders(folder):
            for chapter in visible_folders(speaker):
                (transcripts,) = demand(chapter, f"{speaker.name}-{chapter.name}.trans.txt")
                for number, line in read_lines(transcripts):
                    name, separator, text = line.partition(" ")
                    if not separator:
                        raise LayoutError(
                            f"{transcripts}: line {number}: expected ID TEXT; found {line!r}"
                        )
                    yield Item(folder.name, chapter / f"{name}.flac", text, speaker.name)


LIBRISPEECH = PublishedCorpus(
    title="LibriSpeech",
    licence="CC BY 4.0",
    source="https://www.openslr.org/12",
    layout="LibriSpeech/train-clean-100/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and *.flac",
    read=_read,
)
