"""Splicing: runs of words are cut at the borders between words, from clips that say where these are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from train.config.batches import AugmentationConfig, BatchConfig
from train.data.augmentation import crossfaded, faded
from train.data.batches import Batches
from train.data.chance import Chance
from train.data.corpus import Corpus
from train.data.records.words import TimedWord
from train.data.rows import Clip, Rows
from train.data.splicing import piece_of

LETTERS = "abcdefgh"
WORDS = tuple(TimedWord(letter, 0.5 * n + 0.1, 0.5 * n + 0.4) for n, letter in enumerate(LETTERS))
# Constant within each half second, so that samples tell from which word they are.
AUDIO = np.repeat(np.arange(1, 1 + len(LETTERS)), 8000).astype(np.int16) * 1000


def encode(text: str) -> list[int]:
    return [LETTERS.index(word) for word in text.split()]


CLIP = Clip(AUDIO, " ".join(LETTERS), encode(" ".join(LETTERS)), WORDS)


def pieces(clip: Clip, words: tuple[int, int], count: int = 60) -> list[Clip]:
    rng = np.random.default_rng(0)
    return [piece_of(clip, words, encode, rng) for _ in range(count)]


def test_a_piece_is_a_run_of_words_with_their_sound_and_tokens() -> None:
    found = pieces(CLIP, (2, 3))
    assert {len(piece.tokens) for piece in found} == {2, 3}
    for piece in found:
        assert piece.text in CLIP.text and piece.tokens == encode(piece.text)
        first, count = piece.tokens[0], len(piece.tokens)
        assert set((piece.audio // 1000).tolist()) == set(range(first + 1, first + count + 1))
        # 0.3 s of each word, pauses of 0.2 s between, and 0.06 s of the pause before and after.
        assert len(piece.audio) == pytest.approx((0.5 * count - 0.2 + 0.12) * 16000, abs=2)
    assert len({piece.tokens[0] for piece in found}) > 4


def test_a_border_of_unknown_neighbours_is_the_words_own() -> None:
    words = (TimedWord("a"), *WORDS[1:3], TimedWord("d"), *WORDS[4:])
    for piece in pieces(replace(CLIP, words=words), (2, 2)):
        if piece.text == "b c":
            assert len(piece.audio) == round(0.8 * 16000)
            break
    else:
        pytest.fail("b c was never drawn")
    assert {piece.text for piece in pieces(replace(CLIP, words=words), (2, 2))} == {
        *("b c", "e f", "f g", "g h")
    }


@pytest.mark.parametrize(
    "words", [(), WORDS[1:], tuple(TimedWord(letter) for letter in LETTERS)], ids=len
)
def test_a_clip_that_does_not_say_its_words_times_is_taken_whole(
    words: tuple[TimedWord, ...],
) -> None:
    clip = replace(CLIP, words=words)
    assert piece_of(clip, (1, 4), encode, np.random.default_rng(0)) is clip


def test_pieces_fade_into_each_other() -> None:
    one, other = np.full(1000, 1.0, np.float32), np.full(500, -1.0, np.float32)
    row = crossfaded([one, other])
    assert len(row) == 1000 + 500 - 160
    assert (np.diff(row) <= 0.0).all() and np.abs(np.diff(row)).max() < 0.02


def test_a_piece_that_stands_apart_fades_in_and_out() -> None:
    piece = np.full(1000, 0.5, np.float32)
    x = faded(piece)
    assert x[0] == x[-1] == 0.0 and (x[160:-160] == 0.5).all() and np.abs(np.diff(x)).max() < 0.01
    assert (piece == 0.5).all()
    assert len(faded(piece[:100])) == 100


PLAIN: dict[str, Any] = {
    **{"speed": 0.0, "reverberation": 0.0, "narrowband": 0.0, "noise": 0.0, "dither": 0.0},
    **{"gain_db": (0.0, 0.0), "lead_seconds": 0.0, "gap_seconds": 0.0, "long_zeros": 0.0},
}


def spliced(words: list[tuple[TimedWord, ...]] | None, **options: Any) -> Batches:
    corpus = Corpus([AUDIO] * 6, [CLIP.tokens] * 6, ["a"] * 6, [CLIP.text] * 6, None, words, encode)
    config = BatchConfig(
        **{"seconds": 30.0, "join": 1.0, "join_from": 0, "join_until": 0, "without_speech": 0.0},
        **{"splice": 1.0, "join_clips": (4, 4), **options},
    )
    augmentation = AugmentationConfig(**PLAIN)
    chance = Chance(corpus, config, augmentation.gap_seconds, 1)
    return Batches(corpus, chance, Rows([], config, augmentation, 1))


def test_spliced_rows_have_words_beside_others_without_a_silence() -> None:
    batch = spliced([WORDS] * 6).batch(1)
    neighbours = set()
    for row, samples, tokens, count in zip(
        batch.audio, batch.samples, batch.tokens, batch.token_lengths, strict=True
    ):
        assert (row[:samples] > 0.0).all()
        neighbours |= {(int(a), int(b)) for a, b in zip(tokens, tokens[1:count], strict=False)}
    assert len(neighbours - {(n, n + 1) for n in range(8)}) > 5
    again = spliced([WORDS] * 6).batch(1)
    assert np.array_equal(batch.audio, again.audio)


def test_spliced_words_may_stand_apart() -> None:
    batch = spliced([WORDS] * 6, splice_apart=1.0, splice_words=(1, 1)).batch(1)
    for row, samples, count in zip(batch.audio, batch.samples, batch.token_lengths, strict=True):
        changes = np.flatnonzero(np.diff(row[:samples]))  # a word is constant, a silence is noise
        assert (np.diff(changes) > 1000).sum() == count


def test_splicing_without_times_is_refused_with_the_command_that_makes_them() -> None:
    with pytest.raises(ValueError, match=r"splice is 1.0: no utterance says .* rill data align"):
        spliced(None)
