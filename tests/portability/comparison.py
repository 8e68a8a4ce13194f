"""Compare what installations heard, token for token.

Arithmetic decides what must be equal: float32 in NumPy and in ONNX Runtime gives one answer, on every
machine, alone and in a batch; so do integers. int8 and block floating point round elsewhere and are each
compared with themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["ARITHMETIC", "Difference", "Transcript", "differences"]

ARITHMETIC = {  # of a backend
    "numpy": "float32",
    "onnx": "float32",
    "int8": "int8",
    "integer": "integers",
    "integer-onnx": "integers",
    "bfp16": "block floating point",
}
Tokens: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Transcript:
    """What one installation heard with one backend in one recording.

    Attributes:
        row: of the batch that the recording was heard in; None: alone.
        tokens: (id, encoder frame) each.
    """

    installation: str
    backend: str
    recording: str
    row: int | None
    tokens: Tokens

    def __str__(self) -> str:
        row = "alone" if self.row is None else f"in row {self.row} of a batch"
        return f"{self.installation}, {self.backend}, {self.recording} {row}"


@dataclass(frozen=True)
class Difference:
    """Two transcripts that should be equal, the first of its kind and another."""

    want: Transcript
    got: Transcript

    def __str__(self) -> str:
        pairs = zip(self.got.tokens, self.want.tokens, strict=False)
        same = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
        index = min(len(self.got.tokens), len(self.want.tokens)) if same is None else same
        return (
            f"{self.got}: token {index} is {_token(self.got.tokens, index)}, "
            f"but {_token(self.want.tokens, index)} in {self.want}"
        )


def differences(transcripts: Iterable[Transcript]) -> Iterator[Difference]:
    """Yield those that differ from the first of the same arithmetic and recording."""
    first: dict[tuple[str, str], Transcript] = {}
    for got in transcripts:
        want = first.setdefault((ARITHMETIC[got.backend], got.recording), got)
        if got.tokens != want.tokens:
            yield Difference(want, got)


def _token(tokens: Tokens, index: int) -> str:
    if index >= len(tokens):
        return "missing"
    return f"{tokens[index][0]} at encoder frame {tokens[index][1]}"
