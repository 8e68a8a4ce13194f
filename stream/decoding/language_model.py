"""Language models of a user: ARPA files and KenLM binaries, told apart by content."""

from __future__ import annotations

from pathlib import Path

from stream.decoding.kenlm import MAGIC, read_kenlm
from stream.decoding.ngram import Table, read_arpa

__all__ = ["open_ngram"]


def open_ngram(path: str | Path) -> Table:
    """Read a language model, an ARPA file or KenLM's probing binary, told apart by content.

    Raises:
        NgramError: it is neither.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    with path.open("rb") as file:
        binary = file.read(len(MAGIC)) == MAGIC
    return read_kenlm(path.read_bytes()) if binary else read_arpa(path)
