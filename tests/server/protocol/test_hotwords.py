from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.limits import Limits
from server.protocol.hotwords import BOOST, HotwordError, Speller, parse_hotwords
from stream.decoding.keywords import ROOT, KeywordTrie
from stream.vocabulary import Alphabet

PIECES = ("<unk>", "▁", "▁al", "exa", "stop", "t", "en", "E", "<EOS>")
ALPHABET = Alphabet.of(piece for piece in PIECES if not piece.startswith("<"))
SPELLER = Speller(ALPHABET, Limits(hotwords=3, hotword_characters=10))


def boost_of(text: str, **hotwords: float) -> float:
    spelt = SPELLER.spell({word.replace("_", " "): boost for word, boost in hotwords.items()})
    return KeywordTrie(spelt, PIECES).advance(ROOT, text)[0]


def test_hotwords_have_boosts_of_their_own_or_the_usual_one() -> None:
    got = parse_hotwords("alexa:1.5, stop,,ten past:-2")
    assert got == {"alexa": 1.5, " stop": BOOST, "ten past": -2.0}
    assert parse_hotwords("") == {}


@pytest.mark.parametrize(
    "value, text",
    [
        ("stop:loud", "the boost 'loud'; want a number after the colon"),
        ("stop:", "the boost ''; want a number"),
        ("stop:nan", "the boost 'nan'; want -10 to 10"),
        ("stop:11", "the boost '11'; want -10 to 10"),
    ],
)
def test_a_boost_that_is_none_is_named(value: str, text: str) -> None:
    with pytest.raises(HotwordError) as raised:
        parse_hotwords(value)
    assert text in str(raised.value)


def test_a_hotword_is_boosted_for_each_character() -> None:
    assert boost_of("stop", stop=0.5) == 2.0


def test_with_a_space_before_it_a_hotword_is_boosted_at_the_start_of_a_word_only() -> None:
    assert boost_of("▁stop", _stop=1.0) == 5.0
    assert boost_of("nstop", _stop=1.0) == 0.0
    assert boost_of("nstop", stop=1.0) == 4.0


def test_large_letters_that_the_model_has_not_are_small_ones() -> None:
    assert boost_of("alExa", ALEXA=1.0) == 6.0  # it has a large E; another one begins with the a
    assert boost_of("stop", Stop=1.0) == 4.0


@pytest.mark.parametrize(
    ("pieces", "hotword", "spelt"),
    [
        ("▁ abcdefghijklmnopqrstuvwxyz'éèœ", "L’Œuvre d'Hélène", "l'œuvre d'hélène"),
        ("▁ abcdefghijklmnopqrstuvwxyz'éèœ", "Dix-huit", "dix huit"),
        ("▁ abcdefghijklmnopqrstuvwxyz'éèœ", "He\u0301le\u0300ne señor", "hélène senor"),
        ("▁ abcdefghijklmnopqrstuvwxyz'", "L’Œuvre d'Hélène", "l'oeuvre d'helene"),
        ("▁ abcdefghijklmnopqrstuvwxyz'-LŒ", "L’Œuvre Dix-huit", "L'Œuvre dix-huit"),
    ],
)  # fmt: skip
def test_what_the_model_lacks_is_taken_as_what_it_has_of_the_same(
    pieces: str, hotword: str, spelt: str
) -> None:
    speller = Speller(Alphabet.of(pieces))
    assert speller.spell({hotword: 1.0}) == {spelt: 1.0}


@pytest.mark.parametrize(
    "hotwords, text",
    [
        (("zebra",), "hotword 'zebra' cannot be spelt: the model has no 'b'"),
        (("<unk>",), "hotword '<unk>' cannot be spelt: the model has no '<'"),
        ((" ",), "a hotword is empty"),
        (("stop" * 3,), "hotword 'stopstopstop' has 12 characters; want 10 at most"),
        (("a", "t", "e", "x"), "there are 4 hotwords; want 3 at most"),
    ],
)
def test_hotwords_that_cannot_be_served_are_named(hotwords: tuple[str, ...], text: str) -> None:
    with pytest.raises(HotwordError) as raised:
        SPELLER.spell(dict.fromkeys(hotwords, 1.0))
    assert text in str(raised.value)


def test_of_a_long_list_what_can_be_spelt_is_left_up_to_the_limit() -> None:
    got = SPELLER.spellable(["Stop", "zebra", "", "x" * 11, "[unk]", "ten", "al  exa", "t"])
    assert got == {"stop": BOOST, "ten": BOOST, "al exa": BOOST}
    assert SPELLER.spellable(["b"] * 29 + ["ten", "stop"]) == {"ten": BOOST}  # 10 for each of 3
    assert SPELLER.spell(Speller().spellable(["stop"])) == {}


@given(st.text(max_size=60), st.lists(st.text(max_size=12), max_size=5))
def test_no_hotwords_raise_anything_else(value: str, words: list[str]) -> None:
    try:
        SPELLER.spell(parse_hotwords(value))
    except HotwordError as error:
        assert "\n" not in str(error)
    SPELLER.spell(SPELLER.spellable(words))


def test_a_model_with_byte_fallback_spells_any_hotword() -> None:
    pieces = ["▁", "stop", *(bytes([byte]) for byte in range(256))]
    speller = Speller(Alphabet.of(pieces))
    assert speller.spell({"œuvre 東": 1.0, "STOP": 1.0}) == {"œuvre 東": 1.0, "stop": 1.0}
    assert set(speller.spellable(["œuvre", "a\ud800"])) == {"œuvre"}
    with pytest.raises(HotwordError, match="the model has no '▁'"):
        speller.spell({"▁stop": 1.0})
    with pytest.raises(HotwordError, match="the model has no 'œ'"):
        Speller(Alphabet.of(pieces[:2])).spell({"œ": 1.0})
