"""Clips of an index: read, decoded and spelt when a batch wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream.vocabulary import Vocabulary
from train.data.corpus import read_int16
from train.data.lazy.decoded import Decoded
from train.data.lazy.index import Index
from train.data.records.record import Record
from train.data.rows import Clip, Place
from train.text.levels import TextRules
from train.text.transcripts import normalised


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

    def spelt(self, record: Record) -> tuple[Record, list[int]]:
        """Return an utterance with its text as it is learned, and the tokens of that.

        Raises:
            ManifestError: it cannot be spelt, or nothing is left of it.
        """
        (record,) = normalised([record], self._rules, self._vocabulary.symbols)
        text = record.text
        if not self._allow_unknown and (unknown := self._vocabulary.unknown(text)):
            raise record.error(
                f"the tokenizer cannot spell {''.join(unknown)!r} of {text!r}: data.text, or "
                "data.unknown = allow; rill data check --tokenizer names all"
            )
        return record, self._vocabulary.encode(text)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text as it is learned."""
        return self._vocabulary.encode(text)


@dataclass(frozen=True)
class IndexedClips:
    """The clips of some data sets.

    Attributes:
        indexes: of the data sets.
        texts: how their texts are spelt.
        decoded: of each data set where its decoded recordings are kept; None: nowhere.
    """

    indexes: Sequence[Index]
    texts: Texts
    decoded: Sequence[Decoded] | None = None

    def clip(self, place: Place) -> Clip:
        """Return an utterance.

        Raises:
            AudioError, ManifestError, OSError: it cannot be used.
        """
        source, number = place
        record, tokens = self.texts.spelt(self.indexes[source][number])
        if self.decoded is None:
            audio = read_int16(record)
        else:
            audio = self.decoded[source].get(number, lambda: read_int16(record))
        return Clip(audio, record.text, tokens, record.words, record.origin)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text that is spelt as clips' texts are."""
        return self.texts.encode(text)
