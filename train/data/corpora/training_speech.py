"""TrainingSpeech: `data.csv` with the columns `path`, `duration` and `text`, and WAV files beside it.

French audio books cut into pieces of up to 15 s. Speakers are not named, and there is no development or
test set. Durations are read from the recordings, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from train.data.corpora.layout import Item, PublishedCorpus, demand, read_table


def _read(root: Path, _duplicates: int | None) -> Iterator[Item]:
    (table,) = demand(root, "data.csv")
    for row in read_table(table, ("path", "duration", "text"), delimiter=",", quoted=True):
        yield Item("train", root / row["path"], row["text"].strip())


TRAINING_SPEECH = PublishedCorpus(
    title="TrainingSpeech",
    licence="of each audio book; see the project's page",
    source="https://github.com/wasertech/TrainingSpeech",
    layout="ts_2019-04-11_fr_FR/data.csv and the WAV files that it names",
    read=_read,
)
