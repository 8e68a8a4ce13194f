"""Transcript normalisers on text that people write; the vectors are held by the conformance run."""

from __future__ import annotations

import pytest

pytest.importorskip("inflect")

from hypothesis import given
from hypothesis import strategies as st

from train.text import standard
from train.text.normaliser import (
    CHARSET,
    lowercased,
    normalise,
    normalise_v1_4,
    standardise_wer,
)
from train.text.numbers import numbers_to_words

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("0123456789.,:-$£€%&+@<>[]()'\"/ apm"),
    ),
    max_size=30,
)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("It's 5 o'clock", "it's five o'clock"),
        ("Mr. Smith paid $3.50!", "mister smith paid three dollars fifty cents"),
        ("Ünïcödé – naïve café", "unicode naive cafe"),
        ("", ""),
        ("   \t ", ""),
        ("...", ""),
        ("in 1984", "in nineteen eighty four"),
        ("1,000,000", "one million"),
        ("the 21st", "the twenty first"),
        ("3.14", "three point fourteen"),
    ],
)
def test_generation_1_4_gives_what_a_model_can_write(text: str, want: str) -> None:
    assert normalise_v1_4(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("At 8:05", "at eight zero five"),
        ("10am", "ten am"),
        ("1-5 people", "one to five people"),
        ("-5 degrees", "minus five degrees"),
        ("50% & more", "fifty percent and more"),
        ("a <laugh> b", "a  b"),
    ],
)
def test_generation_1_14_separates_numbers_first(text: str, want: str) -> None:
    assert normalise(text, "lowercase") == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("\u202ewhole\u202c \u200bword", "whole word"),  # direction marks, a space of no width
        ("cafe\u0301 \ufb01ne stra\xdfe", "cafe fine strasse"),
        ("don\u2019t\xa0stop", "don't stop"),
        ("\uff11\uff12 \u0663 \xb2", "twelve three two"),  # figures of other scripts
        ("a\x00b \U0001f600 c\x07", "ab c"),
        ("x \ud800 y", "x y"),  # half a surrogate pair, as JSON may escape one
        ("\u0130stanbul", "istanbul"),  # its lower case is two characters
    ],
)
def test_unicode_of_any_kind_becomes_plain_words(text: str, want: str) -> None:
    assert normalise_v1_4(text) == want
    assert normalise(text, "lowercase").split() == want.split()


def test_levels_change_as_much_as_they_say() -> None:
    text = "Café No. 2!"
    charset = CHARSET + CHARSET.upper() + "0123456789!."
    assert normalise(text, "identity", charset) == text
    assert normalise(text, "scrub", charset) == "Caf No. 2!"
    assert normalise(text, "ascii", charset) == "Cafe No. 2!"
    assert normalise(text, "digit_to_word", charset) == "Cafe No. two!"


def test_user_symbols_pass_every_level_unchanged() -> None:
    for level in ("scrub", "ascii", "digit_to_word", "lowercase"):
        got = normalise("Yes <EOS> 2", level, user_symbols=["<EOS>", "<x>"])  # type: ignore[arg-type]
        assert "<EOS>" in got


def test_user_symbols_are_told_apart_however_many_they_are() -> None:
    symbols = [f"<s{n}>" for n in range(40)]
    text = " ".join(symbols)
    assert normalise(text, "lowercase", user_symbols=symbols, standard=True) == text


def test_tags_go_or_stay() -> None:
    assert normalise("a <unk> b", "lowercase").split() == ["a", "b"]
    assert "<unk>" in normalise("a <unk> b", "lowercase", remove_tags=False)


def test_replacements_run_in_order() -> None:
    assert normalise("a", "lowercase", replacements=[("a", "b"), ("b", "c")]) == "c"


@given(HOSTILE)
def test_any_text_becomes_the_charset_and_stays_as_it_is_then(text: str) -> None:
    once = normalise_v1_4(text)
    assert set(once) <= set(CHARSET)
    assert normalise_v1_4(once).split() == once.split()
    assert set(normalise(text, "lowercase")) <= set(CHARSET)


@given(HOSTILE)
def test_scoring_takes_any_text(text: str) -> None:
    standardise_wer(text)
    lowercased(text)


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [("Colour", "color"), ("I'm here", "i am here"), ("um the 2nd", "the second")],
)
def test_two_spellings_of_the_same_words_score_as_equal(reference: str, hypothesis: str) -> None:
    assert standardise_wer(reference).split() == standardise_wer(hypothesis).split()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("the neighbour's dog", "the neighbour's dog"),
        ("James's and John's, who's here's", "james's and john's who's here's"),
        ("It's what he's, she's, that's", "it is what he is she is that is"),
        ("What's there? There's one.", "what is there there is one"),
        (
            "habit's whit's others' mother's",
            "habit's whit's others' mother's",
        ),  # end as those six do
        ("the dog 's here and it 's late", "the dog's here and it is late"),
        ("John's been, she's gone, it's got", "john has been she has gone it has got"),
        ("Let's see", "let us see"),
        ("I'd gone, he'd been, you'd done", "i had gone he had been you had done"),
        ("I'd go, we'll, they've, I'm, you're", "i would go we will they have i am you are"),
        ("Mm-hmm, mmhmm uhhuh huh uh-huh um right", "right"),
        ("hum umm uhm", "hum umm uhm"),
        ("Prof. Li and Sen. Hu", "professor li and senator hu"),
        ("the grey aeroplane's colour", "the gray aeroplane's color"),
    ],
)
def test_the_standard_form_of_generation_1_14(text: str, want: str) -> None:
    assert standardise_wer(text).split() == want.split()


def test_a_possessive_stays_in_training_texts_too() -> None:
    got = normalise("My neighbour's here, it's late.", "lowercase", standard=True)
    assert got.split() == ["my", "neighbour's", "here", "it", "is", "late"]


def test_the_package_still_has_the_rule_that_is_replaced() -> None:
    assert standard.WHISPER_IS in standard._tables().replacers


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ("007", "zero, zero, seven"),
        ("2000", "two thousand"),
        ("2005", "two thousand five"),
        ("1900", "nineteen hundred"),
        ("$0", "zero dollars"),
        ("$1.01", "one dollar, one cent"),
        ("0.5", "zero point five"),
    ],
)
def test_figures_are_read_as_people_read_them(figures: str, words: str) -> None:
    assert numbers_to_words(figures) == words


@pytest.mark.parametrize("figures", ["9" * 37, "1" + "0" * 36, "0" * 5000, "12" * 2500])
def test_a_number_too_long_for_a_name_is_read_figure_by_figure(figures: str) -> None:
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    want = [names[int(figure)] for figure in figures]
    assert normalise_v1_4(figures).split() == want
    assert normalise(figures, "lowercase").split() == want
    assert normalise_v1_4(f"${figures}").split()[-1] == "dollars"
    assert normalise_v1_4(f"{figures}th").split()[:30] == want[:30]


def test_the_longest_number_with_a_name_keeps_it() -> None:
    assert numbers_to_words("1" + "0" * 33) == "one decillion"
    assert numbers_to_words("1" + "0" * 35 + "th") == "one hundred decillionth"
