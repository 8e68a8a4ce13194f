"""Language models for beam search: files of a user, and the n-gram model that a model carries."""

from __future__ import annotations

from pathlib import Path

from stream.language_model.binary import MAGIC
from stream.language_model.fusion import Fusion, LanguageModel, carried
from stream.language_model.kenlm import read_kenlm
from stream.language_model.ngram import Ngram, NgramError, Table, read_arpa
from stream.language_model.words import WordNgram, is_over_words
from stream.model.network import Network
from stream.model.specification import ModelError
from stream.vocabulary import Vocabulary


def open_ngram(path: str | Path) -> Table:
    """Read a language model, an ARPA file, which may be compressed, or a KenLM binary, told apart by content.

    Raises:
        NgramError: it is neither.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    with path.open("rb") as file:
        binary = file.read(len(MAGIC)) == MAGIC
    return read_kenlm(path.read_bytes()) if binary else read_arpa(path)


def language_model(
    table: Table, vocabulary: Vocabulary, fusion: Fusion, skipped: frozenset[int] = frozenset()
) -> LanguageModel:
    """Return the language model of some n-grams, over pieces or words, whichever they are of.

    Args:
        vocabulary: of the model that is decoded.
        fusion: how much it counts.
        skipped: tokens that are no text, such as `<EOS>`.
    Raises:
        NgramError: the n-grams cannot be used with it.
    """
    if is_over_words(table, vocabulary.pieces):
        return WordNgram(table, vocabulary.spellings, fusion, skipped)
    return Ngram(table, vocabulary.pieces, fusion, skipped)


def ngram_of(
    network: Network, skipped: frozenset[int] = frozenset(), fusion: Fusion | None = None
) -> LanguageModel | None:
    """Return the n-gram model that a model carries; None where it carries none.

    Args:
        skipped: tokens that are no text, such as `<EOS>`.
        fusion: how much it counts; None: as the model says.
    Raises:
        ModelError: it has no weight, or cannot be used with the model.
    """
    if network.ngram is None:
        return None
    fusion = fusion or carried(network.ngram)
    if fusion is None:
        raise ModelError("its n-gram model has no weight (scale_factor)", network.path)
    try:
        table = read_kenlm(network.ngram.binary)
        return language_model(table, network.vocabulary, fusion, skipped)
    except (NgramError, ValueError) as error:
        raise ModelError(f"its n-gram model cannot be used: {error}", network.path) from error
