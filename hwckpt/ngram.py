"""ngram: the language model of a hardware checkpoint, for beam search over its pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwckpt.reader import read_checkpoint
from hwckpt.torch_file.container import CheckpointError
from stream.decoding.kenlm import read_kenlm
from stream.decoding.ngram import Ngram, NgramError

__all__ = ["read_ngram"]


def read_ngram(
    path: Path, pieces: Sequence[str], skipped: frozenset[int] = frozenset()
) -> Ngram | None:
    """Read the n-gram model of a hardware checkpoint; None where it has none.

    Args:
        path: of the checkpoint.
        pieces: of its vocabulary, by token id.
        skipped: tokens that are no text, as `<EOS>`.
    Raises:
        CheckpointError: the file is not a hardware checkpoint, is broken, or its n-gram model is.
    """
    entry = read_checkpoint(path).ngram
    if entry is None or entry.binary is None:
        return None
    if entry.scale_factor is None:
        raise CheckpointError("ngram has a binary but no scale_factor", path)
    try:
        return Ngram(read_kenlm(entry.binary), pieces, entry.scale_factor, skipped)
    except (NgramError, ValueError) as error:
        raise CheckpointError(f"its n-gram model cannot be used: {error}", path) from error
