"""French figures in words: numbers are one to one, and what stands around them is read as people say it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from train.text.figures import joined_thousands
from train.text.french import cardinal, read_out


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zéro"),
        (16, "seize"),
        (17, "dix-sept"),
        (21, "vingt et un"),
        (60, "soixante"),
        (70, "soixante-dix"),
        (71, "soixante et onze"),
        (72, "soixante-douze"),
        (80, "quatre-vingts"),
        (81, "quatre-vingt-un"),
        (91, "quatre-vingt-onze"),
        (99, "quatre-vingt-dix-neuf"),
        (100, "cent"),
        (101, "cent un"),
        (180, "cent quatre-vingts"),
        (200, "deux cents"),
        (201, "deux cent un"),
        (1000, "mille"),
        (1998, "mille neuf cent quatre-vingt-dix-huit"),
        (21_000, "vingt et un mille"),
        (80_000, "quatre-vingt mille"),
        (200_000, "deux cent mille"),
        (80_000_000, "quatre-vingts millions"),
        (1_000_000_001, "un milliard un"),
        (200_000_000_000, "deux cents milliards"),
    ],
)
def test_a_number_in_words(number: int, words: str) -> None:
    assert cardinal(number) == words


def test_no_two_numbers_have_the_same_words() -> None:
    assert len({cardinal(number) for number in range(100_000)}) == 100_000


def test_what_counts_feminine_things_ends_in_une() -> None:
    assert cardinal(1, feminine=True) == "une"
    assert cardinal(181, feminine=True) == "cent quatre-vingt-une"
    assert cardinal(11, feminine=True) == "onze"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("14 h 30", "quatorze heures trente"),
        ("14h00", "quatorze heures"),
        ("14:30", "quatorze heures trente"),
        ("1 h", "une heure"),
        ("21 h 21", "vingt et une heures vingt et une"),
        ("3,5 kg", "trois virgule cinq kilogrammes"),
        ("1,5 kg", "un virgule cinq kilogramme"),
        ("0,05 mm", "zéro virgule zéro cinq millimètre"),
        ("90 km/h", "quatre-vingt-dix kilomètres-heure"),
        ("21 t", "vingt et une tonnes"),
        ("3 200 m", "trois mille deux cents mètres"),
        ("100 %", "cent pour cent"),
        ("3,50 €", "trois euros cinquante"),
        ("1 €", "un euro"),
        ("1 £", "une livre"),
        ("1 000 000 €, 2 000 000,50 £", "un million d'euros, deux millions de livres cinquante"),
        ("1 000 000 000 kg", "un milliard de kilogrammes"),
        ("1 200 000 ha", "un million deux cent mille hectares"),
        ("1er mai", "premier mai"),
        ("la 1re, la 2e", "la première, la deuxième"),
        ("le 21e et le 9ème", "le vingt et unième et le neuvième"),
        ("la 2nde", "la seconde"),
        ("80e et 100e", "quatre-vingtième et centième"),
        ("06 12 34", "zéro six douze trente-quatre"),
        ("n° 007", "numéro zéro zéro sept"),
        ("de -5 à 10-12", "de moins cinq à dix-douze"),
        ("M. Dupont et Mme Durand", "Monsieur Dupont et madame Durand"),
        ("le m. de M. X", "le m. de monsieur X"),
        ("1234567890123", "un deux trois quatre cinq six sept huit neuf zéro un deux trois"),
        ("9999999999999e", f"{'neuf ' * 13}e"),
    ],
)
def test_what_stands_around_figures_is_read(text: str, said: str) -> None:
    assert read_out(joined_thousands(text)) == said


def test_thousands_are_joined_and_telephone_numbers_are_not() -> None:
    text = "12 500, 1 000 000, 01 23 45 67 89, 1 00"
    assert joined_thousands(text) == "12500, 1000000, 01 23 45 67 89, 1 00"


@example("1er2h3,4€")
@example("12345678901234e")
@given(text=st.text(alphabet="0123456789 ,.:hm€%er-M°'\u202fà", max_size=20))
def test_no_figure_is_left_in_any_text(text: str) -> None:
    assert not re.search(r"\d", read_out(joined_thousands(text)))
