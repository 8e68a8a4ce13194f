"""Speech Commands: `WORD/SPEAKER_nohash_0.wav`, `validation_list.txt`, `testing_list.txt`.

The folder's name is the text. What neither list has is for training. `_background_noise_` is no speech
and not listed: give it as `data.noise`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from train.data.corpora.layout import Item, PublishedCorpus, demand, read_lines, visible_folders


def _read(root: Path, _duplicates: int | None) -> Iterator[Item]:
    validation, testing = demand(root, "validation_list.txt", "testing_list.txt")
    splits = dict.fromkeys((line.strip() for _, line in read_lines(validation)), "dev")
    splits |= dict.fromkeys((line.strip() for _, line in read_lines(testing)), "test")
    words = [folder for folder in visible_folders(root) if folder.name[0] != "_"]
    if not words:
        demand(root, "yes")
    for folder in words:
        for path in sorted(folder.glob("*_nohash_*.wav")):
            name = f"{folder.name}/{path.name}"
            yield Item(splits.pop(name, "train"), path, folder.name, path.name.partition("_")[0])
    for name, split in splits.items():  # listed, and not there
        word, _, file = name.partition("/")
        yield Item(split, root / name, word, file.partition("_")[0])


SPEECH_COMMANDS = PublishedCorpus(
    title="Speech Commands",
    licence="CC BY 4.0",
    source="https://www.tensorflow.org/datasets/catalog/speech_commands",
    layout="WORD/*_nohash_*.wav, validation_list.txt, testing_list.txt",
    read=_read,
)
