"""African Accented French (SLR57): `transcripts/SET/...` and `speech/SET/...` of three campaigns.

Each list of transcripts belongs to a folder of speech: Yaoundé and Central Accord 16 (read and
conversation) for training, Niger for development, Central Accord 16 again for `devtest` and `test`. A
line is a recording's name, or its path on the disk of those who made the list, and the text; the
recording lies somewhere below the folder of speech, under that name, with `.wav` in place of `.tdf`.
Recordings that no list names are not used. The speaker is the folder that a recording lies in.

The answers of Yaoundé were transcribed by a recogniser: `--skip '*/answers/*'` leaves them out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from train.data.corpora.layout import Item, LayoutError, PublishedCorpus, demand, read_lines

# Set, list of transcripts, folder of speech.
LISTS = (
    ("train", "transcripts/train/yaounde/fn_text.txt", "speech/train/yaounde"),
    ("train", "transcripts/train/ca16_conv/transcripts.txt", "speech/train/ca16"),
    ("train", "transcripts/train/ca16_read/conditioned.txt", "speech/train/ca16"),
    ("dev", "transcripts/dev/niger_west_african_fr/transcripts.txt", "speech/dev/niger_west_african_fr"),
    ("devtest", "transcripts/devtest/ca16_read/conditioned.txt", "speech/devtest/ca16"),
    ("test", "transcripts/test/ca16/prompts.txt", "speech/test/ca16"),
)  # fmt: skip


def _read(root: Path, _duplicates: int | None) -> Iterator[Item]:
    if (root / "African_Accented_French").is_dir():
        root = root / "African_Accented_French"
    demand(root, *(path for _, *paths in LISTS for path in paths))
    for split, transcripts, speech in LISTS:
        folder = root / speech
        recordings = {
            Path(name).stem: Path(at, name)
            for at, _, names in os.walk(folder)
            for name in names
            if name.lower().endswith(".wav")
        }
        for number, line in read_lines(root / transcripts):
            named, _, text = line.replace("\t", " ").partition(" ")
            if not text.strip():
                raise LayoutError(
                    f"{root / transcripts}: line {number}: expected NAME TEXT; found {line!r}"
                )
            stem = PurePosixPath(named).stem if named.endswith((".wav", ".tdf")) else named
            path = recordings.get(PurePosixPath(stem).name, folder / f"{stem}.wav")
            speaker = None if path.parent == folder else path.parent.name
            yield Item(split, path, text.strip(), speaker)


SLR57 = PublishedCorpus(
    title="African Accented French (SLR57)",
    licence="Creative Commons; which one, its page says",
    source="https://www.openslr.org/57",
    layout="African_Accented_French/{transcripts,speech}/{train,dev,devtest,test}/...",
    read=_read,
)
