"""Transcripts: normalised as asked for, and never emptied without a word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stream.errors import ArgumentError
from stream.manifest import ManifestError, Utterance

pytest.importorskip("text_unidecode")

from train.text.levels import TEXT_RULES, TextRules, options_of
from train.text.normaliser import normalise_v1_4
from train.text.transcripts import normalised


def utterance(text: str) -> Utterance:
    return Utterance(
        id="a.wav", audio=Path("a.wav"), text=text, duration=1.0, manifest=Path("m"), line=7
    )


def test_a_level_is_applied_to_every_text() -> None:
    texts = ["GO LEFT", "It is 5 o'clock.", "", "naïve e-mail"]
    made = normalised([utterance(text) for text in texts], "lowercase")
    assert [u.text for u in made] == ["go left", "it is five o'clock", "", "naive email"]
    assert {u.line for u in made} == {7}


def test_the_normaliser_of_generation_1_4_is_a_level() -> None:
    (made,) = normalised([utterance("Mrs. Hall's e-mail, at 5")], "v1.4")
    assert made.text == normalise_v1_4("Mrs. Hall's e-mail, at 5") == "misess hall's e mail at five"


def test_texts_as_they_are_are_not_changed() -> None:
    same = [utterance("  GO, left  ")]
    assert normalised(same, "as-is") == same


@pytest.mark.parametrize(
    ("rules", "want"),
    [
        ("lower", "l’été, it's 9 <EOS>"),
        ("standard", "l'ete it is nine <EOS>"),
        ("ascii", "'te it's <EOS>"),
        ("fr", "l'été it's 9 <EOS>"),
        ("fr+numbers+ascii", "l'ete it's neuf <EOS>"),
    ],
)
def test_rules_differ_in_what_they_leave(rules: TextRules, want: str) -> None:
    (made,) = normalised([utterance("L’Été,  IT's 9 <EOS>".replace("IT", "it"))], rules, ["<EOS>"])
    assert made.text == want


def test_symbols_of_the_tokenizer_pass() -> None:
    (made,) = normalised([utterance("Go! <EOS> <noise>")], "lowercase", ["<EOS>"])
    assert made.text == "go <EOS>"


@pytest.mark.parametrize("rules", [r for r in TEXT_RULES if r not in ("as-is", "lower")])
def test_a_text_of_which_nothing_is_left_is_refused(rules: TextRules) -> None:
    with pytest.raises(ManifestError, match=rf"m: line 7: data.text = '{rules}' leaves nothing of"):
        normalised([utterance("¿…?")], rules)


def test_rules_of_ones_own_are_a_function_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "text.py"
    file.write_text("def normalise(text):\n    return text.replace('Ϟ', '90').lower()\n")
    (made,) = normalised([utterance("ΜΕ  Ϟ <EOS>")], str(file), ["<EOS>"])
    assert made.text == "με 90 <EOS>"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no such file"), ("normalise = 3\n", "has no function normalise")],
)
def test_a_file_that_holds_no_rules_is_named(
    content: str | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "text.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ArgumentError, match=f"{file}: {message}"):
        normalised([utterance("a")], str(file))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("french", "'french': want one of as-is, lower"),
        ("lower+numbers", "options belong to the rules of a language"),
        ("fr+number", "no option 'number'; there are numbers, cased"),
    ],
)
def test_rules_that_there_are_not_are_refused(rules: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        options_of(rules)
