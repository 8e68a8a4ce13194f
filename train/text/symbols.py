"""Symbols of a tokenizer, such as `<EOS>`, that stand in transcripts and pass every rule unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def shielded(text: str, symbols: Iterable[str], change: Callable[[str], str]) -> str:
    """Change a text; some symbols in it pass unchanged."""
    shields = {symbol: _shield(n) for n, symbol in enumerate(symbols)}
    for symbol, shield in shields.items():
        text = text.replace(symbol, shield)
    text = change(text)
    for symbol, shield in shields.items():
        text = text.replace(shield, symbol)
    return text


def _shield(number: int) -> str:
    """Return letters that no normaliser changes and no text has."""
    return "qxzj" + "".join("kvwy"[int(digit)] for digit in f"{number:04b}") + "jzxq"
