"""Live state resets: when rows begin and take over, and that no token is lost or heard twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.decoding.greedy import Token
from stream.decoding.overlap import APART, QUIET, Overlap, ResetConfig

CONFIG = ResetConfig(segment=100, overlap=40)  # the second row begins at step 60, is warm at 80


def says(text: str, *steps: int) -> list[Token]:
    return [Token(ord(letter), step, -1.0) for letter, step in zip(text, steps, strict=True)]


def heard(
    old: list[Token], new: list[Token], *, steps: int = 160, deaf: bool = False
) -> tuple[str, list[int]]:
    """Play two rows from the first on; returns what is heard and the steps of the take-overs.

    Where `deaf`, the rows are taken for such as never agree.
    """
    overlap, rows, text, takes = Overlap(CONFIG), [old, new], list[Token](), list[int]()
    for step in range(steps):
        overlap.begins(step)
        first, second = ([t for t in row if t.step == step] for row in rows)
        text += overlap.without_duplicates(first)
        takes_over = overlap.step(step, first, second)
        if deaf:
            takes_over = takes_over and step == 99
            overlap.agreed = False
        if takes_over:
            text += overlap.take_over()
            takes.append(step)
            rows = [new, []]
    return "".join(chr(token.id) for token in text), takes


def test_a_second_row_begins_one_period_after_the_first() -> None:
    overlap = Overlap(CONFIG)
    assert [step for step in range(160) if overlap.begins(step)] == [60]
    while not overlap.step(overlap.config.period + 21, [], []):
        pass
    overlap.take_over()
    assert [step for step in range(100, 160) if overlap.begins(step)] == [120]


def test_in_silence_it_takes_over_as_soon_as_it_is_warm() -> None:
    assert heard(says("ab", 10, 50), [])[1][0] == 80


def test_while_one_of_them_speaks_it_waits() -> None:
    assert heard(says("a", 78), [])[1][0] == 78 + QUIET
    assert heard([], says("a", 79))[1][0] == 79 + QUIET


def test_in_speech_it_takes_over_when_the_last_three_tokens_are_the_same() -> None:
    old = says("qwertyui", 70, 74, 78, 82, 86, 90, 94, 98)
    new = says("xxertyuiop", 70, 74, 79, 82, 86, 90, 94, 98, 102, 106)
    # "ert" began before the row was warm; "rty" is the first that counts.
    text, takes = heard(old, new)
    assert (text, takes[0]) == ("qwertyuiop", 90)


def test_equal_tokens_at_other_times_are_no_agreement() -> None:
    old = says("xyzabc", 72, 76, 80, 82, 84, 86)
    assert heard(old, says("xyzabc", 72, 76, 80, 82, 84, 86))[1][0] == 84
    assert heard(old, says("xyzabc", 72, 76, 80, 90, 92, 94))[1][0] == 99


def test_without_agreement_it_takes_over_at_the_end_of_the_overlap() -> None:
    old = says("abcdef", *range(79, 99, 4), 99)
    new = says("uvwxyz", *range(79, 99, 4), 99)
    text, takes = heard(old, new)
    assert (text, takes[0]) == ("abcdef", 99)


def test_what_the_second_row_alone_heard_last_is_still_heard() -> None:
    old = says("abcd", 82, 85, 88, 91)
    new = says("bcxde", 85, 88, 90, 91, 98)
    assert heard(old, new, deaf=True)[0] == "abcde"


def test_what_the_second_row_says_late_is_not_heard_twice() -> None:
    old = says("abcd", 82, 85, 88, 98)
    new = says("abcde", 82, 85, 88, 101, 104)
    assert heard(old, new, deaf=True)[0] == "abcde"


def test_what_it_says_too_late_to_be_the_same_is_heard() -> None:
    old = says("abcd", 82, 85, 88, 98)
    new = says("abcd", 82, 85, 88, 98 + APART + 1)
    assert heard(old, new, deaf=True)[0] == "abcdd"


def test_what_it_says_before_it_is_warm_counts_for_nothing() -> None:
    assert heard(says("a", 62), says("xyz", 61, 70, 79), deaf=True)[0] == "a"


@given(seed=st.integers(0, 100_000), late=st.integers(0, 3), deaf=st.booleans())
def test_rows_that_hear_the_same_lose_and_repeat_nothing(seed: int, late: int, deaf: bool) -> None:
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.choice([0, 1, 2, 3, 4, 12], 60, p=[0.05, 0.15, 0.3, 0.3, 0.15, 0.05]))
    said = [(int(rng.integers(97, 123)), int(step)) for step in steps if step < 140]

    def row(first: int) -> list[Token]:
        last, tokens = 0, []
        for letter, step in said:
            last = max(last, step + int(rng.integers(0, late + 1)))
            if last >= first:
                tokens.append(Token(letter, last, -1.0))
        return tokens

    noise = [Token(int(rng.integers(97, 123)), int(s), -1.0) for s in rng.integers(60, 75, 4)]
    new = sorted(noise + row(76), key=lambda token: token.step)
    text, _ = heard(row(0), new, deaf=deaf, steps=119)
    assert "".join(chr(letter) for letter, _ in said).startswith(text)
    assert len(text) >= sum(step < 119 - late for _, step in said)


def test_partials_count_for_agreement_and_committed_tokens_as_heard() -> None:
    overlap = Overlap(CONFIG)
    overlap.begins(60)
    tail = says("abc", 82, 85, 88)
    assert not overlap.step(89, tail[:1], [], tail[1:], says("abx", 82, 85, 88))
    assert overlap.step(90, [], [], tail[1:], tail)
    assert overlap.take_over(tail[1:], tail) == []
    assert overlap.begun == 60


@pytest.mark.parametrize(("segment", "overlap"), [(250, 19), (250, 126), (10, 5)])
def test_an_overlap_of_no_use_is_refused(segment: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=f"overlap is {overlap} of {segment} steps"):
        ResetConfig(segment, overlap)


def test_a_token_that_comes_after_a_later_one_gets_its_step() -> None:
    overlap = Overlap(CONFIG)
    assert overlap.begins(60)
    assert overlap.step(99, says("ab", 85, 99), says("bc", 95, 97))
    assert [(chr(token.id), token.step) for token in overlap.take_over()] == [("c", 99)]
