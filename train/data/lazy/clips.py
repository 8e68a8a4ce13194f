"""Batches of an index: read, decoded and augmented on demand.

Batch n holds the utterances that `Sampler` gives it, whichever process draws it. What cannot be used is
refused, or left out and named in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.audio import AudioError
from stream.manifest import ManifestError
from stream.vocabulary import Vocabulary
from train.data.batches import read_int16
from train.data.formats.record import Record
from train.data.lazy.decoded import Decoded
from train.data.lazy.sampler import Sampler, number_of
from train.data.rows import Batch, Clip, Rows
from train.text.levels import TextRules
from train.text.transcripts import normalised

__all__ = ["LazyBatches", "Texts"]


class Texts:
    """Texts as they are learned: normalised, and spelt by a tokenizer.

    Args:
        tokenizer: bytes of the SentencePiece model.
        rules: what is done to a text first.
        allow_unknown: whether what the tokenizer has no pieces for is learned as `<unk>`.
    """

    def __init__(self, tokenizer: bytes, rules: TextRules, allow_unknown: bool) -> None:
        self._made_of = tokenizer, rules, allow_unknown
        self._rules, self._allow_unknown = rules, allow_unknown
        self._vocabulary = Vocabulary(tokenizer)

    def __reduce__(self) -> tuple[type[Texts], tuple[bytes, TextRules, bool]]:
        return Texts, self._made_of

    def spelt(self, record: Record) -> tuple[str, list[int]]:
        """Return the text of an utterance as it is learned, and its tokens.

        Raises:
            ManifestError: it cannot be spelt, or nothing is left of it.
        """
        (record,) = normalised([record], self._rules, self._vocabulary.symbols)
        text = record.text
        if not self._allow_unknown and (unknown := self._vocabulary.unknown(text)):
            raise record.error(
                f"the tokenizer cannot spell {''.join(unknown)!r} of {text!r}: data.text, or "
                "data.unknown = allow; python -m train.data check --tokenizer names all"
            )
        return text, self._vocabulary.encode(text)


@dataclass(frozen=True)
class LazyBatches:
    """The batches of a run.

    Attributes:
        sampler: which utterances a batch holds.
        rows: what becomes of them.
        texts: how their texts are spelt.
        decoded: of each data set where its decoded recordings are kept; None: nowhere.
        skip: whether what cannot be used is left out, not refused.
        rank, ranks: of the processes that train together; each draws its own batches.
    """

    sampler: Sampler
    rows: Rows
    texts: Texts
    decoded: Sequence[Decoded] | None = None
    skip: bool = False
    rank: int = 0
    ranks: int = 1

    def batch(self, update: int) -> Batch:
        """Return the batch of an update, counted from 0, and of this rank.

        Raises:
            AudioError, ManifestError, OSError: an utterance cannot be used, and is not to be left out.
        """
        number = number_of(update, self.rank, self.ranks)
        clips: list[Clip] = []
        skipped: list[str] = []
        for source, row in self.sampler.batch(number):
            try:
                clips.append(self._clip(source, row))
            except (AudioError, ManifestError, OSError) as error:
                if not self.skip:
                    raise
                skipped.append(str(error))
        rng = self.rows.generator(number, stream=0)

        def any_clip(rng: np.random.Generator) -> NDArray[np.float32]:
            return clips[int(rng.integers(len(clips)))].samples()

        rows = [self.rows.row([clip], rng, update, any_clip) for clip in clips]
        return self.rows.padded(rows or [self.rows.silence(rng)], tuple(skipped))

    def _clip(self, source: int, row: int) -> Clip:
        record = self.sampler.indexes[source][row]
        text, tokens = self.texts.spelt(record)
        if self.decoded is None:
            return Clip(read_int16(record), text, tokens)
        return Clip(self.decoded[source].get(row, lambda: read_int16(record)), text, tokens)
