"""What is said to the model: words alone, as prompts and commands are, and numbers, digits, letters and dates."""

from __future__ import annotations

import random
from collections.abc import Iterator

TEXTS = 20_000
COMMANDS = (
    "aide annule appelle arrête bas bonjour démarre descends droite dièse étoile ferme gauche haut marche merci moins "
    "monte non oui ouvre plus précédent répète stop suivant"
)
DAYS = "lundi mardi mercredi jeudi vendredi samedi dimanche"
MONTHS = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
LETTERS = "a b c d e f g h i j k l m n o p q r s t u v w x y z"
NUMBERS = "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 20 30 40 50 60 100 1000"  # of one word
WORDS = " ".join((COMMANDS, DAYS, MONTHS, LETTERS, NUMBERS))


def sentences() -> Iterator[str]:
    """Yield texts, the same at each call; numbers are figures, which the recipe's text rules read out."""
    draw = random.Random(1)
    kinds = {word: 4, number: 2, digits: 2, letters: 2, date: 1, command: 1}
    for _ in range(TEXTS):
        (kind,) = draw.choices([*kinds], [*kinds.values()])
        yield kind(draw)


def word(draw: random.Random) -> str:
    """Return any word alone."""
    return draw.choice(WORDS.split())


def number(draw: random.Random) -> str:
    """Return a number, small ones more often."""
    return str(draw.randrange(draw.choice((100, 100, 1000, 10_000))))


def digits(draw: random.Random) -> str:
    """Return digits one by one, as of a telephone number."""
    return " ".join(str(draw.randrange(10)) for _ in range(draw.randint(2, 8)))


def letters(draw: random.Random) -> str:
    """Return letters one by one, as of a name that is spelled."""
    return " ".join(draw.choice(LETTERS.split()) for _ in range(draw.randint(2, 6)))


def date(draw: random.Random) -> str:
    """Return a day of the year, sometimes with its day of the week."""
    day = draw.randint(1, 31)
    said = f"{'premier' if day == 1 else day} {draw.choice(MONTHS.split())}"
    return f"{draw.choice(DAYS.split())} {said}" if draw.random() < 0.5 else said


def command(draw: random.Random) -> str:
    """Return a command, some with a number."""
    said = draw.choice(COMMANDS.split())
    return f"{said} {draw.randrange(100)}" if draw.random() < 0.3 else said


def spoken(text: str) -> str:
    """Return how a text is read out: letters and digits one by one."""
    parts = ["i grec" if part == "y" else part for part in text.split()]
    alone = all(len(part) == 1 or part == "i grec" for part in parts)
    return ", ".join(parts) if alone else text
