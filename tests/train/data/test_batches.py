"""Batches are functions of seed and update; words come first, then rows of joined clips."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")

from stream.audio import AudioError
from stream.vocabulary import Vocabulary
from train.config.batches import AugmentationConfig, BatchConfig
from train.data.batches import Batches, prefetch
from train.data.chance import Chance, balanced
from train.data.corpus import Corpus
from train.data.records.record import File, Origin, Record
from train.data.rows import Batch, Clip, Rows
from train.text.pieces import write_pieces
from train.text.spellings import Spellings

WORDS = 10
EACH = 30
PLAIN = {
    "speed": 0.0,
    "reverberation": 0.0,
    "narrowband": 0.0,
    "noise": 0.0,
    "dither": 0.0,
    "digital_zeros": 1.0,
}


def corpus() -> Corpus:
    """300 clips of one second, one token each, sorted by it; then 20 long ones of corpus "long"."""
    rng = np.random.default_rng(0)
    audio = [rng.integers(-9000, 9000, 16000).astype(np.int16) for _ in range(WORDS * EACH)]
    audio += [rng.integers(-9000, 9000, 64000).astype(np.int16) for _ in range(20)]
    tokens = [[i // EACH] for i in range(WORDS * EACH)] + [[10, 11, 12]] * 20
    names = ["words"] * (WORDS * EACH) + ["long"] * 20
    texts = ["left"] * (WORDS * EACH) + ["left left left"] * 20
    return Corpus(audio, tokens, names, texts)


CURRICULUM = {"short_seconds": 1.6, "join": 0.6, "join_from": 10, "join_until": 20}


def batches(seed: int = 1, augmentation: dict[str, Any] | None = None, **config: Any) -> Batches:
    chosen = {**CURRICULUM, "seconds": 20.0, "without_speech": 0.0, **config}
    noise = [np.random.default_rng(9).normal(0, 0.1, 8000).astype(np.float32)]
    changes = AugmentationConfig(**(PLAIN if augmentation is None else augmentation))
    return by_chance(corpus(), Rows(noise, BatchConfig(**chosen), changes, seed))


def by_chance(clips: Corpus, rows: Rows) -> Batches:
    chance = Chance(clips, rows.config, rows.augmentation.gap_seconds, rows.seed)
    return Batches(clips, chance, rows)


def same(a: Any, b: Any) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("audio", "samples", "tokens", "token_lengths")
    )


def test_a_batch_depends_on_seed_and_update_only() -> None:
    one, again, other = batches(augmentation={}), batches(augmentation={}), batches(2, {})
    for update in (30, 3, 11):
        assert same(one.batch(update), again.batch(update))
        assert not same(one.batch(update), other.batch(update))
    assert not same(one.batch(30), one.batch(31))


def test_an_epoch_draws_each_clip_about_once() -> None:
    own = batches(join=0.0, short_seconds=None)
    assert own.epoch == round((WORDS * EACH * 1.5 + 20 * 4.5) / 20.0)
    drawn = sum(len(own.batch(update).samples) for update in range(own.epoch))
    assert drawn == pytest.approx(WORDS * EACH + 20, rel=0.15)
    assert batches(weights={"long": 0.0}).epoch == round(WORDS * EACH * 1.5 / 20.0)


def test_rare_words_are_drawn_more_often_within_their_corpus() -> None:
    texts = ["go"] * 16 + ["off"] * 4 + ["go off", ""] + ["off"] * 3
    names = ["a"] * 22 + ["b"] * 3
    half = balanced(texts, names, 0.5)
    assert half[16] / half[0] == pytest.approx((17 / 5) ** 0.5)
    assert half[20] == pytest.approx((half[0] * half[16]) ** 0.5)
    assert half[21] == 1.0, "nothing is said"
    assert half[:21].mean() == pytest.approx(1.0)
    assert half[22:].tolist() == pytest.approx([1.0, 1.0, 1.0])
    alike = balanced(["go"] * 16 + ["off"] * 4, ["a"] * 20, 1.0)
    assert alike[:16].sum() == pytest.approx(alike[16:].sum())


def test_a_balanced_corpus_draws_words_alike() -> None:
    clips = corpus()
    texts = ["go"] * 290 + ["off"] * 10 + ["go off"] * 20
    clips = replace(clips, texts=texts, tokens=[[t == "off"] for t in texts])
    config = BatchConfig(seconds=20.0, balance=1.0, weights={"long": 0.0}, without_speech=0.0)
    own = by_chance(clips, Rows([], config, AugmentationConfig(**PLAIN), 1))
    drawn = np.concatenate([own.batch(update).tokens[:, 0] for update in range(60)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.1)


def test_a_batch_of_a_manifest_sorted_by_word_has_many_words() -> None:
    own = batches()
    for update in range(10):
        batch = own.batch(update)
        assert len(set(batch.tokens[:, 0].tolist())) >= 5


def test_words_come_first_and_are_never_joined() -> None:
    own = batches()
    for update in range(10):
        batch = own.batch(update)
        assert set(batch.token_lengths.tolist()) == {1}
        assert batch.samples.max() < 1.6 * 16000 + 16000  # a second, and silence at both ends


@pytest.mark.parametrize("weights", [{}, {"long": 100.0}, {"words": 0.1}])
def test_words_come_first_even_where_they_are_few(weights: dict[str, float]) -> None:
    own = batches(weights=weights)
    tokens = [own.batch(update).tokens for update in range(10)]
    assert all(rows.max() < WORDS for rows in tokens)
    assert len({int(word) for rows in tokens for word in rows[:, 0]}) == WORDS


def test_by_default_rows_are_single_clips_of_any_length_from_the_start() -> None:
    rows = Rows([], BatchConfig(seconds=20.0), AugmentationConfig(**PLAIN), 1)
    own = by_chance(corpus(), rows)
    lengths = [own.batch(update).token_lengths for update in (*range(10), *range(2000, 2040))]
    assert {int(m) for of in lengths[:10] for m in of} == {0, 1, 3}
    assert {int(m) for of in lengths for m in of} == {0, 1, 3}  # 0: without speech


@pytest.mark.parametrize(
    ("unfit", "message"),
    [
        ({"short_seconds": 0.5}, r"short_seconds is 0.5: 0 of 320 recordings are as short, 0.0%"),
        ({"weights": {"words": 0.0}}, r"300 of 320 recordings are as short, 0.0% of what is drawn"),
        ({"weights": {"long": 1000.0}}, "300 of 320 recordings are as short, 1.5%"),
        ({"join_seconds": 1.9}, r"join is 0.6: 100% of what is drawn is longer than half of"),
        ({"weights": {"long": 20.0}, "join_seconds": 7.9}, "join is 0.6: 57% of what is drawn"),
    ],
)
def test_a_curriculum_that_does_not_fit_the_corpus_is_refused(
    unfit: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        batches(**unfit)


def test_a_curriculum_that_is_off_fits_any_corpus() -> None:
    batches(short_seconds=0.5, join=0.0, join_from=0)
    batches(short_seconds=None, join=0.0, join_seconds=1.0)


def test_then_rows_of_several_clips_come_with_the_probability_asked_for() -> None:
    own = batches(join=0.5)
    joined = sum(
        int(any(n not in (1, 3) for n in own.batch(update).token_lengths))
        for update in range(20, 80)
    )
    assert 15 <= joined <= 45


def test_rows_are_padded_with_zeros_and_hold_about_the_seconds_asked_for() -> None:
    own = batches()
    for update in range(40):
        batch = own.batch(update)
        assert batch.audio.shape == (len(batch.samples), batch.samples.max())
        assert batch.tokens.shape == (len(batch.samples), batch.token_lengths.max())
        assert batch.audio.dtype == np.float32
        assert np.isfinite(batch.audio).all()
        assert batch.audio.size / 16000 < 2.0 * 20.0
        for row, n, tokens, m in zip(
            batch.audio, batch.samples, batch.tokens, batch.token_lengths, strict=True
        ):
            assert not row[n:].any()
            assert not tokens[m:].any()


def test_weights_decide_how_often_a_corpus_is_drawn() -> None:
    def share(weight: float) -> float:
        own = batches(weights={"long": weight}, join=1.0, join_from=0, join_until=0)
        tokens: Counter[bool] = Counter()
        for update in range(5, 60):
            batch = own.batch(update)
            for row, m in zip(batch.tokens, batch.token_lengths, strict=True):
                tokens.update((row[:m] >= 10).tolist())
        return tokens[True] / 3 / (tokens[True] / 3 + tokens[False])

    assert share(0.0) == 0.0
    assert share(15.0) == pytest.approx(
        0.5, abs=0.15
    )  # 20 clips of weight 15 beside 300 of weight 1


def test_a_joined_row_repeats_a_clip_with_the_probability_asked_for() -> None:
    def share(repeat: float) -> float:
        own = batches(join=1.0, join_from=0, join_until=0, repeat=repeat, weights={"long": 0.0})
        pairs: list[bool] = []
        for update in range(5, 40):
            batch = own.batch(update)
            for row, m in zip(batch.tokens, batch.token_lengths, strict=True):
                pairs += (row[: m - 1] == row[1:m]).tolist() if m else []
        return sum(pairs) / len(pairs)

    assert share(0.0) == pytest.approx(0.1, abs=0.05)  # one of ten words
    assert share(0.5) == pytest.approx(0.55, abs=0.1)


def test_a_weight_of_no_corpus_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"\['lng'\]; the corpora are \['long', 'words'\]"):
        batches(weights={"lng": 2.0})


def test_weights_that_leave_nothing_to_draw_are_refused() -> None:
    with pytest.raises(ValueError, match="leaves nothing to draw"):
        batches(weights={"words": 0.0, "long": 0.0})


def test_a_joined_row_has_no_more_clips_and_seconds_than_asked_for() -> None:
    silences = {"long_zeros": 0.0, "lead_seconds": 0.0, "gap_seconds": 0.0}
    own = batches(
        augmentation=PLAIN | silences,
        join=1.0,
        join_from=0,
        join_until=0,
        join_clips=(2, 4),
        join_seconds=6.0,
    )
    counts: Counter[int] = Counter()
    for update in range(5, 15):
        batch = own.batch(update)
        for row, n, m in zip(batch.tokens, batch.samples, batch.token_lengths, strict=True):
            counts[int((row[:m] <= 10).sum())] += 1  # a long clip has one token of 10
            assert n <= 6 * 16000
    assert set(counts) <= {1, 2, 3, 4}  # one, where a second would not fit
    assert counts[4] > 0


def test_rows_without_speech_have_audio_and_no_tokens() -> None:
    batch = batches(without_speech=0.9999).batch(3)
    assert not batch.token_lengths.any()
    assert batch.tokens.shape == (len(batch.samples), 0)
    assert (np.abs(batch.audio).max(axis=1) > 0).all()


def test_a_batch_says_how_much_speech_of_which_corpus_it_holds() -> None:
    words, long = Origin("words"), Origin("long")
    single = batches(short_seconds=None, join=0.0).batch(0)
    assert single.seen == {words: 16000 * len(single.samples)}  # without the silences around
    joined = batches(join=1.0, repeat=0.5, weights={"long": 5.0}).batch(30)
    many = int((joined.tokens == 10).sum())  # each of three tokens, the first of which is 10
    few = int(joined.token_lengths.sum()) - 3 * many
    assert joined.seen == {words: 16000 * few, long: 64000 * many}
    assert many > 0 and few > 0
    assert batches(without_speech=1.0).batch(0).seen == {}


def test_speech_is_counted_as_long_as_speed_made_it() -> None:
    plain = batches().batch(0).seen[Origin("words")]
    changed = batches(augmentation={**PLAIN, "speed": 0.1}).batch(0).seen[Origin("words")]
    assert changed != plain and changed == pytest.approx(plain, rel=0.11)


def test_drawing_leaves_the_recordings_as_they_are() -> None:
    own = batches(augmentation={"noise": 1.0}, without_speech=0.5)
    before = [x.copy() for x in own.clips.audio], [x.copy() for x in own.rows.noise]
    for update in (0, 30):
        own.batch(update)
    assert all(map(np.array_equal, before[0], own.clips.audio))
    assert all(map(np.array_equal, before[1], own.rows.noise))


def utterance(path: Path, text: str, corpus: str | None = None) -> Record:
    return Record(id=path.name, audio=File(str(path)), text=text, duration=None, corpus=corpus)


def test_a_corpus_keeps_order_and_every_sample(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    audio = [rng.integers(-32768, 32768, n).astype(np.int16) for n in (1, 900, 40)]
    utterances = []
    for i, samples in enumerate(audio):
        soundfile.write(tmp_path / f"{i}.wav", samples, 16000, subtype="PCM_16")
        utterances.append(utterance(tmp_path / f"{i}.wav", "a" * i, "x" if i else None))
    seen: list[tuple[int, int]] = []
    loaded = Corpus.load(
        utterances, lambda text: [len(text)], lambda done, of: seen.append((done, of))
    )
    for got, want in zip(loaded.audio, audio, strict=True):
        assert got.dtype == np.int16
        np.testing.assert_array_equal(got, want)
    assert (loaded.tokens, loaded.names) == ([[0], [1], [2]], ["", "x", "x"])
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_samples_beyond_full_scale_do_not_wrap_around(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([1.5, -1.5, 1.0], np.float32), 16000, subtype="FLOAT")
    loaded = Corpus.load([utterance(path, "")], lambda text: [], lambda done, of: None)
    assert loaded.audio[0].tolist() == [32767, -32768, 32767]


@pytest.mark.parametrize("content", ["text", "one sample"])
def test_a_recording_that_cannot_be_learned_from_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.wav"
    if content == "text":
        path.write_text("one two")
    else:  # nothing is left of one sample at 48 kHz
        soundfile.write(path, np.zeros(1), 48000)
    with pytest.raises(AudioError, match="bad.wav"):
        Corpus.load([utterance(path, "")], lambda text: [], lambda done, of: None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"seconds": 0.0}, "seconds is 0.0, wants more than 0"),
        ({"short_seconds": -1.0}, "short_seconds is -1.0, wants more than 0"),
        ({"join": 1.5}, "join is 1.5, wants 0 to 1"),
        ({"repeat": -0.5}, "repeat is -0.5"),
        ({"without_speech": float("nan")}, "without_speech is nan, wants 0 to 1"),
        ({"weights": {"a": 1.0, "b": -1.0}}, "weights is .*wants 0 or more"),
        ({"weights": {"a": float("inf")}}, "weights is .*wants 0 or more"),
        ({"join_clips": (0, 3)}, "least first"),
        ({"join_clips": (4, 3)}, "least first"),
    ],
)
def test_a_composition_that_cannot_be_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchConfig(**config)


def test_batches_drawn_ahead_are_those_drawn_in_turn() -> None:
    own = batches(augmentation={})
    for update, batch in enumerate(prefetch(own, 8, 14), start=8):
        assert same(batch, own.batch(update))
    assert update == 13


def test_an_error_while_drawing_ahead_is_raised_and_the_thread_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Batches.batch

    def failing(own: Batches, turn: int) -> Batch:
        if turn == 2:
            raise RuntimeError("no such clip")
        return plain(own, turn)

    monkeypatch.setattr(Batches, "batch", failing)
    drawn = prefetch(batches(), 0, 5)
    next(drawn)
    next(drawn)
    with pytest.raises(RuntimeError, match="no such clip"):
        next(drawn)
    assert not any(thread.name == "batches" for thread in threading.enumerate())


def test_two_ranks_draw_what_one_draws_in_two_parts() -> None:
    one = replace(batches(augmentation={"babble": 0.5}), parts=2)
    ranks = [replace(one, parts=1, rank=rank, ranks=2) for rank in range(2)]
    for update in (0, 12, 25):  # short clips, some joined, and most of them
        for part, rank in enumerate(ranks):
            batch = rank.batch(update)
            assert same(batch, one.batch(2 * update + part))
            assert batch.number == 2 * update + part


def test_a_loop_that_stops_early_ends_the_thread() -> None:
    drawn = prefetch(batches(), 0, 1000)
    next(drawn)
    drawn.close()
    assert not any(thread.name == "batches" for thread in threading.enumerate())


def test_noise_ratios_follow_the_schedule_from_update_to_update() -> None:
    levels = {
        "noise": 1.0,
        "noise_snr_db": (0.0, 0.0),
        "noise_snr_start_db": (60.0, 60.0),
        "noise_delay": 10,
        "noise_ramp": 10,
    }
    scheduled = batches(augmentation={**PLAIN, **levels}, join=0.0)
    constant = {**PLAIN, "noise": 1.0}
    for update, decibels in ((0, 60.0), (10, 60.0), (15, 30.0), (20, 0.0), (99, 0.0)):
        at = {**constant, "noise_snr_db": (decibels, decibels)}
        assert same(scheduled.batch(update), batches(augmentation=at, join=0.0).batch(update))


def test_effects_that_are_off_draw_nothing() -> None:
    other = {"babble_snr_db": (0.0, 1.0), "codecs": ("gsm",), "trim_db": -20.0, "noise_ramp": 1}
    plain, changed = batches(augmentation={}), batches(augmentation=other)
    assert all(same(plain.batch(update), changed.batch(update)) for update in (0, 15, 30))


@pytest.mark.parametrize(
    "effect", [{"babble": 1.0}, {"codec": 1.0}, {"vocal_tract": 0.2}], ids=lambda e: next(iter(e))
)
def test_an_effect_changes_the_audio_of_a_batch_and_nothing_else(effect: dict[str, float]) -> None:
    plain, changed = (batches(augmentation={**PLAIN, **e}, join=0.0).batch(3) for e in ({}, effect))
    assert not np.array_equal(plain.audio, changed.audio)
    assert np.array_equal(plain.tokens[0], changed.tokens[0])
    assert np.isfinite(changed.audio).all()


def test_of_a_share_of_the_texts_tokens_are_drawn() -> None:
    model = write_pieces([("▁left", -1.0), *((letter, -1.0) for letter in "▁left")])
    spellings, other = Spellings(model, 4, 0.0), Clip(np.zeros(9, np.int16), "left", [99])
    rng = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0):
        rows = Rows([], BatchConfig(), AugmentationConfig(spelling_share=share), 1, spellings)
        drawn = sum(list(rows._tokens(other, rng)) != [99] for _ in range(1000))
        assert abs(drawn - 1000 * share) < 60 * (0.0 < share < 1.0) + 1


def test_tokens_are_drawn_from_spellings() -> None:
    model = write_pieces([("▁left", -1.0), *((letter, -1.0) for letter in "▁left")])
    spellings = Spellings(model, 4, 0.1)
    rows = Rows([], BatchConfig(seconds=40.0), AugmentationConfig(), 1, spellings)
    own = by_chance(corpus(), rows)
    batch, again = own.batch(2), own.batch(2)
    assert same(batch, again)
    vocabulary = Vocabulary(model)
    rows = [
        row[:length].tolist()
        for row, length in zip(batch.tokens, batch.token_lengths, strict=True)
        if length
    ]
    assert {vocabulary.decode(row) for row in rows} <= {"left", "left left left"}
    assert len({tuple(row) for row in rows}) > 1
