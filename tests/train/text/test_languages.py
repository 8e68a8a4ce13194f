"""Rules of languages: their own letters stay, others lose their accents, figures are never lost."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("text_unidecode")

from train.text.languages import in_language, letters_of
from train.text.levels import LANGUAGES, Language


@pytest.mark.parametrize(
    ("language", "text", "want"),
    [
        ("fr", "L’Été, peut-être : « où ? »", "l'été peut être où"),
        ("fr", "Señor ŒUVRE d'Anaïs 'citée'", "senor œuvre d'anaïs citée"),
        ("fr", "en 1998, 3,5 %", "en 1998 3 5"),
        ("de", "Straße — Größe; señor", "straße größe senor"),
        ("es", "¿Mañana? ¡Sí! Straße", "mañana sí strasse"),
        ("en", "Don't <noise> say “café”", "don't say cafe"),
        ("pt", "AÇÃO", "ação"),
    ],
)
def test_a_text_by_the_rules_of_a_language(language: Language, text: str, want: str) -> None:
    assert in_language(text, language) == want
    assert in_language(unicodedata.normalize("NFD", text), language) == want
    assert in_language(want, language) == want


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_stay(language: Language) -> None:
    assert in_language("3 + 4", language) == "3 4"


@pytest.mark.parametrize(
    ("text", "plain", "written", "english"),
    [
        ("Aujourd’hui", "aujourd'hui", "Aujourd'hui", "aujourd'hui"),
        ("dix-huit", "dix huit", "dix-huit", "dix huit"),
        ("Quatre‑vingts !", "quatre vingts", "Quatre-vingts!", "quatre vingts"),
        ("80", "quatre vingts", "quatre-vingts", "quatre vingts"),
        ("3,5 kg", *["trois virgule cinq kilogrammes"] * 3),
        ("à 14 h 30.", "à quatorze heures trente", "à quatorze heures trente.", "a quatorze heures trente"),
        ("l’Œuvre", "l'œuvre", "l'Œuvre", "l'oeuvre"),
        ("M. Dupont", "monsieur dupont", "Monsieur Dupont", "monsieur dupont"),
        ("« Où ? » — là…", "où là", "Où? là", "ou la"),
        ("- non, -- si -", "non si", "non, si", "non si"),
    ],
)  # fmt: skip
def test_french_plain_as_it_is_written_and_in_the_letters_of_english(
    text: str, plain: str, written: str, english: str
) -> None:
    for options, want in (
        ({"numbers"}, plain),
        ({"numbers", "cased", "punctuated"}, written),
        ({"numbers", "ascii"}, english),
    ):
        assert in_language(text, "fr", options) == want
        assert in_language(want, "fr", options) == want
        assert set(want) <= {" ", *letters_of("fr", options)}


FRENCH = st.text(alphabet="aàâçéèœæïA ÀÉŒ'’-.,?!«»0123456789hkgMmer%€ñøÅ\u0301\u202f", max_size=24)


@pytest.mark.parametrize(
    "options", [(), ("ascii",), ("cased",), ("punctuated",), ("cased", "punctuated")]
)
@given(text=FRENCH)
@example(text="l'œuvre d'aujourd'hui, quatre-vingts")
@example(text="İstanbul")
@example(text="'-' ' -'a")
def test_a_text_by_the_rules_is_spelt_and_does_not_change_again(
    options: tuple[str, ...], text: str
) -> None:
    once = in_language(text, "fr", {*options, "numbers"})
    assert set(once) <= {" ", *letters_of("fr", options)}
    assert in_language(once, "fr", {*options, "numbers"}) == once
    composed = unicodedata.normalize("NFD", text)
    assert in_language(composed, "fr", {*options, "numbers"}) == once


def test_english_figures_are_read_as_its_other_levels_read_them() -> None:
    assert in_language("In 1998, 21 cafés", "en", {"numbers"}) == (
        "in nineteen ninety eight twenty one cafes"
    )


def test_other_languages_are_read_by_num2words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stand-in with the package's call: num2words(number, lang=...), a number being an int or a Decimal.
    (tmp_path / "num2words.py").write_text(
        "def num2words(number, lang):\n    return f'{type(number).__name__} {number} {lang}'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "num2words", raising=False)
    got = in_language("Es sind 12 500, also 3,5", "de", {"numbers", "punctuated"})
    assert got == "es sind int 12500 de, also decimal 3.5 de"
