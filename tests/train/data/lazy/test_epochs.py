"""Epochs: a curriculum over an index has every utterance once, and what else a row needs by chance."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.data.lazy.corpora import COUNT, corpus, lazy_batches
from train.config.batches import BatchConfig
from train.data.batches import Chosen
from train.data.lazy.epochs import Epochs
from train.data.lazy.index import Index
from train.data.lazy.index_cache import index_of

JOINED = {"join": 1.0, "join_from": 0, "join_until": 0, "join_seconds": 3.0, "join_clips": (2, 4)}


def index(folder: Path, corpora: dict[str, list[float]]) -> Index:
    """Return the index of a manifest whose recordings nobody opens, with their durations by corpus."""
    lines = [
        json.dumps({"audio_filepath": f"{n}", "text": "", "duration": seconds, "corpus": name})
        for name, durations in corpora.items()
        for n, seconds in enumerate(durations)
    ]
    (folder / "set.jsonl").write_text("\n".join(lines))
    return index_of(str(folder / "set.jsonl"), cache=folder / "cache")


def epochs(own: Index, **config: Any) -> Epochs:
    return Epochs([own], [1.0], BatchConfig(**{"seconds": 10.0, **config}), 0.6, 1)


def chosen(own: Epochs, number: int, update: int | None = None) -> Chosen:
    rng = np.random.default_rng(number)
    return own.choose(number, number + 1 if update is None else update, rng)


def names(own: Index, batch: Chosen) -> list[str | None]:
    return [own[number].corpus for row in batch.rows for _, number in row]


def test_joined_rows_have_every_utterance_of_an_epoch(tmp_path: Path) -> None:
    own = epochs(index(tmp_path, {"a": [0.5 + 0.01 * n for n in range(40)]}), **JOINED)
    batches = [chosen(own, number) for number in range(own.sampler.epoch)]
    assert all(batch.joined for batch in batches)
    assert {number for batch in batches for row in batch.rows for _, number in row} == set(
        range(40)
    )
    lengths = Counter(len(row) for batch in batches for row in batch.rows)
    assert set(lengths) <= {1, 2, 3, 4}
    assert lengths[1] < sum(lengths.values()) / 2


def test_joined_rows_are_filled_with_what_is_not_due(tmp_path: Path) -> None:
    own = epochs(index(tmp_path, {"a": [0.5] * 30, "b": [5.0] * 3}), **JOINED, seconds=6.0)
    others = 0
    for number in range(own.sampler.epoch):
        due = set(own.sampler.batch(number))
        there = {place for row in chosen(own, number).rows for place in row}
        assert due <= there
        others += len(there - due)
    assert others > 0


def test_a_corpus_comes_as_often_as_its_weight_says(tmp_path: Path) -> None:
    own = index(tmp_path, {"a": [1.0] * 20, "b": [1.0] * 10, "c": [1.0] * 5})
    weighted = epochs(own, weights={"b": 3.0, "c": 0.0})
    batches = [chosen(weighted, number) for number in range(weighted.sampler.epoch)]
    assert Counter(name for batch in batches for name in names(own, batch)) == {"a": 20, "b": 30}
    rng = np.random.default_rng(0)
    drawn = Counter(own[weighted.sampler.any(rng)[1]].corpus for _ in range(500))
    assert drawn["b"] / 500 == pytest.approx(30 / 50, abs=0.06) and drawn["c"] == 0


def test_short_utterances_come_first(tmp_path: Path) -> None:
    own = index(tmp_path, {"a": [0.5] * 10 + [4.0] * 10})
    first = epochs(own, short_seconds=1.0, join_from=6, join_until=7)
    for number in range(6):
        rows = chosen(first, number, update=number).rows
        assert all(own[n].duration == 0.5 for row in rows for _, n in row)
    later = [n for number in range(6, 20) for row in chosen(first, number).rows for _, n in row]
    assert {own[n].duration for n in later} == {0.5, 4.0}


@pytest.mark.parametrize(
    ("unfit", "message"),
    [
        ({"weights": {"d": 1.0}}, r"batches.weights has \['d'\]; the corpora are \['a', 'b'\]"),
        ({"short_seconds": 0.1}, "short_seconds is 0.1: 0 of 30 recordings are as short, 0.0%"),
        ({"weights": {"b": 100.0}, "short_seconds": 1.0}, "20 of 30 recordings are as short, 2.0%"),
        ({"join": 0.5, "join_seconds": 0.9}, "join is 0.5: 100% of what is drawn is longer"),
        ({"balance": 0.5}, 'an index does not know .* data.cache to "memory"'),
    ],
)
def test_a_curriculum_that_does_not_fit_is_refused(
    unfit: dict[str, Any], message: str, tmp_path: Path
) -> None:
    own = index(tmp_path, {"a": [0.5] * 20, "b": [4.0] * 10})
    with pytest.raises(ValueError, match=message):
        epochs(own, **unfit)


def test_rows_of_several_utterances_have_their_tokens_one_after_the_other(tmp_path: Path) -> None:
    plain = {"lead_seconds": 0.0, "gap_seconds": 0.0, "long_zeros": 0.0, "speed": 0.0}
    own = lazy_batches(
        corpus(tmp_path), config={**JOINED, "without_speech": 0.0}, augmentation=plain
    )
    seen = 0
    for turn in range(own.choice.sampler.epoch):  # type: ignore[attr-defined]
        rng = own.rows.generator(turn, stream=0)
        rows = own.choice.choose(turn, turn, rng).rows
        batch = own.batch(turn)
        for row, samples, tokens, count in zip(
            rows, batch.samples, batch.tokens, batch.token_lengths, strict=True
        ):
            clips = [own.clips.clip(place) for place in row]
            assert samples == sum(len(clip.audio) for clip in clips)
            assert tokens[:count].tolist() == [t for clip in clips for t in clip.tokens]
            seen += len(row)
    assert seen >= COUNT
