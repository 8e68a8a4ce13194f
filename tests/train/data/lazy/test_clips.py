"""Batches of an index: the same whoever draws them and wherever decoded recordings are kept."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.bundled import model_path
from stream.manifest import ManifestError
from stream.vocabulary import Vocabulary
from tests.train.data.lazy.corpora import COUNT, corpus, lazy_batches
from train.data.lazy.clips import Texts
from train.data.lazy.workers import drawn_by_processes
from train.data.records.record import File, Record
from train.data.rows import Batch


def same(one: Batch, other: Batch) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("audio", "samples", "tokens", "token_lengths")
    )


def test_a_batch_depends_on_seed_and_update_only(tmp_path: Path) -> None:
    path = corpus(tmp_path)
    one, again, other = lazy_batches(path), lazy_batches(path), lazy_batches(path, seed=2)
    for update in (7, 0, 3):
        assert same(one.batch(update), again.batch(update))
    assert not all(same(one.batch(update), other.batch(update)) for update in range(3))
    assert not same(one.batch(0), one.batch(one.choice.sampler.epoch))


def test_an_epoch_learns_every_transcript_once(tmp_path: Path) -> None:
    own = lazy_batches(corpus(tmp_path))
    assert own.epoch == own.choice.sampler.epoch
    batches = [own.batch(update) for update in range(own.epoch)]
    assert sum(len(batch.samples) for batch in batches) == COUNT
    spelt = Vocabulary((model_path() / "tokenizer.model").read_bytes())
    rows = [
        tuple(row[:n]) for b in batches for row, n in zip(b.tokens, b.token_lengths, strict=True)
    ]
    counts = Counter(row for row in rows if row)  # a row without speech has no token
    assert sum(counts.values()) > 0.8 * COUNT
    for text in ("one", "two one", "left right up"):
        assert counts.pop(tuple(spelt.encode(text))) <= 8
    assert not counts


def test_two_ranks_draw_what_one_draws_in_two_parts(tmp_path: Path) -> None:
    path = corpus(tmp_path)
    joining = {"join": 0.5, "join_from": 1, "join_until": 2, "join_seconds": 3.0}
    options: dict[str, Any] = {"config": joining, "augmentation": {"babble": 0.5, "codec": 0.2}}
    one = lazy_batches(path, parts=2, **options)
    ranks = [lazy_batches(path, rank=rank, ranks=2, **options) for rank in range(2)]
    for update in range(4):
        for part, rank in enumerate(ranks):
            batch = rank.batch(update)
            assert same(batch, one.batch(2 * update + part))
            assert batch.number == 2 * update + part


def test_what_is_kept_on_disk_is_what_was_decoded(tmp_path: Path) -> None:
    path = corpus(tmp_path)
    plain, kept = lazy_batches(path), lazy_batches(path, decoded=True)
    for update in range(plain.choice.sampler.epoch):
        assert same(plain.batch(update), kept.batch(update))
    for file in tmp_path.glob("*.wav"):
        file.unlink()
    again = lazy_batches(path, decoded=True)
    with pytest.raises(Exception, match="cannot be read: No such file"):
        plain.batch(0)
    for update in range(plain.choice.sampler.epoch):
        assert same(again.batch(update), kept.batch(update))


def test_what_a_crash_left_half_written_is_decoded_again(tmp_path: Path) -> None:
    path = corpus(tmp_path)
    kept = lazy_batches(path, decoded=True)
    before = [kept.batch(update) for update in range(kept.choice.sampler.epoch)]
    samples = next((tmp_path / "cache").rglob("samples"))
    samples.write_bytes(bytes(samples.stat().st_size // 2))  # zeros, and then nothing
    after = lazy_batches(path, decoded=True)
    assert all(same(after.batch(update), batch) for update, batch in enumerate(before))


def test_a_recording_that_is_missing_is_refused_or_left_out_and_named(tmp_path: Path) -> None:
    path = corpus(tmp_path, bad=4)
    refusing, skipping = lazy_batches(path), lazy_batches(path, skip=True)
    with pytest.raises(Exception, match=r"4\.wav: cannot be read"):
        for update in range(refusing.choice.sampler.epoch):
            refusing.batch(update)
    batches = [skipping.batch(update) for update in range(skipping.choice.sampler.epoch)]
    assert sum(len(batch.samples) for batch in batches) == COUNT - 1
    (message,) = (message for batch in batches for message in batch.skipped)
    assert "4.wav: cannot be read" in message


def test_a_text_that_cannot_be_spelt_is_named_with_its_line(tmp_path: Path) -> None:
    path = Path(corpus(tmp_path))
    lines = path.read_text().splitlines()
    lines[5] = json.dumps(json.loads(lines[5]) | {"text": "ÉTÉ"})
    path.write_text("\n".join(lines))
    own = lazy_batches(str(path))
    with pytest.raises(ManifestError, match="line 6: the tokenizer cannot spell .* of 'ÉTÉ'"):
        for update in range(own.choice.sampler.epoch):
            own.batch(update)


def test_texts_are_normalised_before_they_are_spelt() -> None:
    tokenizer = (model_path() / "tokenizer.model").read_bytes()
    record = Record(id="a", audio=File("a"), text="Two, ONE!", duration=1.0, source="s", line=3)
    spelt, tokens = Texts(tokenizer, "lowercase", False).spelt(record)
    assert (spelt.text, tokens) == ("two one", Vocabulary(tokenizer).encode("two one"))
    with pytest.raises(ManifestError, match="s: line 3: the tokenizer cannot spell"):
        Texts(tokenizer, "as-is", False).spelt(record)
    assert Texts(tokenizer, "as-is", True).spelt(record)[0].text == "Two, ONE!"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_draws_the_same_batches(workers: int, tmp_path: Path) -> None:
    own = lazy_batches(corpus(tmp_path))
    got = list(drawn_by_processes(own.batch, 2, 9, workers))
    assert len(got) == 7
    assert all(same(batch, own.batch(update)) for update, batch in enumerate(got, 2))
