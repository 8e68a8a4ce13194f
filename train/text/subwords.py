"""Subword pieces that SentencePiece finds in texts: for vocabularies that no list of words covers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import sentencepiece

from stream.errors import InputError

SubwordKind = Literal["unigram", "bpe", "char"]

THREADS = 16  # the estimate depends on their number, so it is not the machine's
LONGEST_TEXT = 100_000  # bytes; longer ones would be left out


def build_subwords(
    texts: Iterable[str],
    size: int,
    kind: SubwordKind = "unigram",
    *,
    symbols: Sequence[str] = (),
    byte_fallback: bool = False,
    at_most: bool = False,
) -> bytes:
    """Build the bytes of a SentencePiece model whose pieces are estimated from texts.

    `<unk>` is 0, as the hardware requires, and there are no marks for begin, end or padding. Every character of
    the texts has a piece, and texts are not changed.

    Args:
        texts: transcripts of the training set, as they are learned.
        size: of the vocabulary, `<unk>` and `symbols` included.
        kind: how pieces are found.
        symbols: pieces such as `<EOS>` that stand for no text and are never part of another piece.
        byte_fallback: whether characters without a piece are spelt by 256 more pieces, one a byte.
        at_most: whether texts that are too little for that many pieces give fewer.
    Raises:
        InputError: there is no text, or too little of it for that many pieces.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=size,
            model_type=kind,
            character_coverage=1.0,
            normalization_rule_name="identity",
            user_defined_symbols=list(symbols),
            byte_fallback=byte_fallback,
            hard_vocab_limit=not at_most,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=THREADS,
            max_sentence_length=LONGEST_TEXT,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise InputError(f"{size} pieces ({kind}): {_said(str(error))}") from error
    return model.getvalue()


def _said(error: str) -> str:
    """Return what SentencePiece means by an error."""
    if most := re.search(r"value <= (\d+)", error):
        return f"the texts have {most[1]} at most"
    if least := re.search(r"smaller than required_chars. \d+ vs (\d+)", error):
        return f"wants {least[1]} at least, for single characters"
    if "sentences_.empty()" in error or "all_chars_count" in error:
        return "there is no text"
    return error
