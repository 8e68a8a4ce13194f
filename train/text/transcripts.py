"""Transcripts as they are learned and scored: those of a manifest, normalised where that is asked for.

The levels are those of generation 1.14 (NUMERICS 7.2); they end with the characters a to z, apostrophe
and space, so all but "identity" are for English.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from stream.manifest import ManifestError, Utterance
from train.data.formats.record import Record
from train.text.levels import Level

__all__ = ["SPELLING_OPTIONS", "normalised"]

SPELLING_OPTIONS = ("data.normalise=lowercase", "data.unknown=allow")  # see `check_spelling`


Spoken = TypeVar("Spoken", bound=Utterance | Record)


def normalised(
    utterances: Sequence[Spoken], level: Level, symbols: Iterable[str] = ()
) -> list[Spoken]:
    """Return utterances with their texts normalised.

    Args:
        symbols: tokens such as `<EOS>` that pass unchanged.
    Raises:
        ManifestError: nothing is left of a text; it would be learned as a recording without speech.
    """
    if level == "identity":
        return list(utterances)
    from train.text.normaliser import normalise

    symbols = tuple(symbols)
    made = []
    for utterance in utterances:
        text = " ".join(normalise(utterance.text, level, user_symbols=symbols).split())
        if utterance.text.strip() and not text and utterance.manifest is not None:
            raise ManifestError(
                utterance.manifest,
                utterance.line,
                f"the level {level!r} leaves nothing of {utterance.text!r}. Correct the text, or "
                "make it empty if nobody speaks.",
            )
        made.append(msgspec.structs.replace(utterance, text=text))
    return made
