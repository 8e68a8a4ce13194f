"""Rules of languages: their own letters stay, others lose their accents, figures are never lost."""

from __future__ import annotations

import unicodedata

import pytest

pytest.importorskip("text_unidecode")

from train.text.languages import in_language
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
