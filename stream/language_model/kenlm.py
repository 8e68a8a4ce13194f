"""KenLM's binaries, read without KenLM: probing and trie, quantised or not."""

from __future__ import annotations

from stream.language_model.binary import PROBING, read_header
from stream.language_model.ngram import Table
from stream.language_model.probing import read_probing
from stream.language_model.trie import read_trie


def read_kenlm(content: bytes) -> Table:
    """Read the bytes of a binary, as a model or a file has them.

    Raises:
        NgramError: they are not one, or of a kind that is not read, or cut short.
    """
    header = read_header(content)
    return (read_probing if header.kind == PROBING else read_trie)(content, header)
