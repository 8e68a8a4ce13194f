"""Greek text: small letters, figures of one place in words; and sentences for the language model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

FIGURES = {"1": "ένα", "2": "δύο", "3": "τρία"}


def normalise(text: str) -> str:
    """Return a transcript as the model learns it."""
    text = unicodedata.normalize("NFC", text).lower()
    text = re.sub(r"[123]", lambda match: f" {FIGURES[match[0]]} ", text)
    return " ".join("".join(c if c.isalnum() else " " for c in text).split())


def sentences() -> Iterator[str]:
    """Yield what is said."""
    yield from ("Ένα, δύο, 3.", "Δύο ένα.", "Τρία!")
