"""What a validation heard, as text: RUN/validation/update-000250.txt, and the same for loggers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream.error_rate import ErrorRate, word_error_rate

WORST = 10  # utterances
LONGEST = 300  # characters of a text that are shown: a model that knows nothing yet hears pages


@dataclass(frozen=True)
class Heard:
    """An utterance: its id, what was said and what was heard."""

    id: str
    said: str
    heard: str

    @property
    def errors(self) -> ErrorRate:
        """The word edits between the two."""
        return word_error_rate([self.said], [self.heard])


def spread(utterances: Sequence[Heard], count: int) -> list[Heard]:
    """Return so many utterances, evenly from all and the same each time."""
    step = max(len(utterances) / count, 1.0) if count else 1.0
    return [utterances[int(step * i)] for i in range(min(count, len(utterances)))]


def worst(utterances: Sequence[Heard], count: int = WORST) -> list[Heard]:
    """Return the utterances with the most edits; of equal ones, those of the fewest words first."""
    wrong = [(_edits(each.errors), -each.errors.words, i) for i, each in enumerate(utterances)]
    ranked = sorted((key for key in wrong if key[0]), key=lambda key: (-key[0], -key[1], key[2]))
    return [utterances[i] for *_, i in ranked[:count]]


def report(headline: str, utterances: Sequence[Heard], samples: int) -> str:
    """Return the text of a validation: its headline, samples, and the worst utterances."""
    lines = [headline]
    for title, some in (("samples", spread(utterances, samples)), ("worst", worst(utterances))):
        if some:
            lines += ["", title]
        for each in some:
            lines += [
                f"  {each.id}: {_edits(each.errors)} errors, {each.errors.words} words",
                f"    said   {shortened(each.said)}",
                f"    heard  {shortened(each.heard)}",
            ]
    return "\n".join(lines) + "\n"


def shortened(text: str) -> str:
    """Return a text, or its beginning and how much more there is."""
    more = len(text) - LONGEST
    return text if more <= 0 else f"{text[:LONGEST]}... and {more} characters more"


def _edits(errors: ErrorRate) -> int:
    return errors.substitutions + errors.deletions + errors.insertions
