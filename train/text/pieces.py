"""Pieces to a SentencePiece model: the file format alone, no training and no choice of pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sentencepiece import sentencepiece_model_pb2 as proto


def write_pieces(pieces: Iterable[tuple[str, float]]) -> bytes:
    """Write the bytes of a unigram SentencePiece model.

    Args:
        pieces: each with its log-probability; their ids begin at 1, after `<unk>`.
    """
    messages: Any = proto  # made at run time, so no checker knows what is in it
    model = messages.ModelProto()
    kind = messages.ModelProto.SentencePiece
    model.pieces.add(piece="<unk>", score=0.0, type=kind.UNKNOWN)
    for piece, score in pieces:
        model.pieces.add(piece=piece, score=score)
    trainer = model.trainer_spec
    trainer.model_type = messages.TrainerSpec.UNIGRAM
    trainer.vocab_size = len(model.pieces)
    trainer.character_coverage = 1.0
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = 0, -1, -1, -1
    normaliser = model.normalizer_spec
    normaliser.name = "identity"
    normaliser.add_dummy_prefix = True
    normaliser.remove_extra_whitespaces = True
    normaliser.escape_whitespaces = True
    return bytes(model.SerializeToString(deterministic=True))
