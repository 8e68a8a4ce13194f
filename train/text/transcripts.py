"""Transcripts as they are learned and scored: those of a data set, by the rules of `data.text`.

Rules of one's own are a Python file with a function `normalise(text: str) -> str`. It is run where training or a
command names it, never because a model does.
"""

from __future__ import annotations

import functools
import os
import runpy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from stream.errors import ArgumentError
from stream.manifest import ManifestError, Utterance
from train.data.records.record import Record
from train.data.records.words import TimedWord
from train.text.languages import in_language
from train.text.levels import LANGUAGES, Level, TextRules, options_of
from train.text.symbols import shielded

SPELLING_OPTIONS = ("data.text=lowercase", "data.unknown=allow")  # see `check_spelling`

U = TypeVar("U", Utterance, Record)


def ruled(rules: TextRules, symbols: Iterable[str] = ()) -> Callable[[str], str]:
    """Return what the rules of `data.text` do to a text.

    Args:
        symbols: tokens such as `<EOS>` that pass unchanged.
    Raises:
        ArgumentError: the rules are a Python file that cannot be used.
    """
    if rules == "as-is":
        return str
    rule = _rule(rules)
    return lambda text: " ".join(shielded(text, symbols, rule).split())


def _rule(rules: TextRules) -> Callable[[str], str]:
    name, options = options_of(rules)
    if name.endswith(".py"):
        return _function(Path(os.path.expandvars(name)))
    if name == "lower":
        return str.lower
    if name in LANGUAGES:
        return functools.partial(in_language, language=name, options=options)
    from train.text.normaliser import normalise  # its tables of English take a second to load

    level = "lowercase" if name == "standard" else cast(Level, name)
    return functools.partial(normalise, level=level, standard=name == "standard")


def _function(path: Path) -> Callable[[str], str]:
    """Return the function `normalise` of a Python file."""
    if not path.is_file():
        raise ArgumentError(f"{path}: there is no such file of text rules")
    function = runpy.run_path(str(path)).get("normalise")
    if not callable(function):
        raise ArgumentError(f"{path}: has no function normalise(text), which text rules are")
    return cast(Callable[[str], str], function)


def normalised(utterances: Sequence[U], rules: TextRules, symbols: Iterable[str] = ()) -> list[U]:
    """Return utterances with their texts by the rules of `data.text`.

    Args:
        symbols: tokens such as `<EOS>` that pass unchanged.
    Raises:
        ManifestError: nothing is left of a text; it would be learned as a recording without speech.
    """
    if rules == "as-is":
        return list(utterances)
    rule = ruled(rules, tuple(symbols))
    made = []
    for utterance in utterances:
        text = rule(utterance.text)
        if utterance.text.strip() and not text and utterance.manifest is not None:
            raise ManifestError(
                utterance.manifest,
                utterance.line,
                f"data.text = {rules!r} leaves nothing of {utterance.text!r}. Correct the text, or "
                "make it empty if nobody speaks.",
            )
        changes: dict[str, Any] = {"text": text}
        if isinstance(utterance, Record) and utterance.words:
            changes["words"] = _ruled(utterance.words, rule)
        made.append(msgspec.structs.replace(utterance, **changes))
    return made


def _ruled(words: Iterable[TimedWord], rule: Callable[[str], str]) -> tuple[TimedWord, ...]:
    """Return words by a rule, without those of which it leaves nothing."""
    made = (msgspec.structs.replace(word, text=rule(word.text)) for word in words)
    return tuple(word for word in made if word.text)
