"""Language models for beam search: files of a user, and the n-gram model that a model carries."""

from __future__ import annotations

from pathlib import Path

from stream.language_model.kenlm import MAGIC, read_kenlm
from stream.language_model.ngram import Ngram, NgramError, Table, read_arpa
from stream.model.network import Network
from stream.model.specification import ModelError


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


def ngram_of(network: Network, skipped: frozenset[int] = frozenset()) -> Ngram | None:
    """Return the n-gram model that a model carries, with its weight; None where it carries none.

    Args:
        skipped: tokens that are no text, such as `<EOS>`.
    Raises:
        ModelError: it has no weight, or is not an n-gram model over the model's pieces.
    """
    file = network.ngram
    if file is None:
        return None
    if file.weight is None:
        raise ModelError("its n-gram model has no weight (scale_factor)", network.path)
    try:
        return Ngram(read_kenlm(file.binary), network.vocabulary.pieces, file.weight, skipped)
    except (NgramError, ValueError) as error:
        raise ModelError(f"its n-gram model cannot be used: {error}", network.path) from error
