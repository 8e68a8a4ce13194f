"""Decoding: how the channels of an engine are decoded, as options: a search over one of the model's heads.

A model has a transducer, a CTC head, or both (`Specification.heads`); either is searched greedily or with a beam.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from stream.backends import Backend
from stream.decoding.beam import BeamConfig
from stream.decoding.ctc import CtcBeam, CtcGreedy
from stream.decoding.endpoint import EndpointConfig
from stream.decoding.greedy import Greedy, GreedyConfig
from stream.decoding.overlap import ResetConfig
from stream.decoding.rows import BeamRows, DecoderRows, GreedyRows
from stream.decoding.transducer_beam import TransducerBeam
from stream.errors import ArgumentError
from stream.language_model.fusion import LanguageModel
from stream.model.specification import Head
from stream.vocabulary import Vocabulary

__all__ = ["DECODERS", "Decoding", "Search", "greedy_rows"]

Search: TypeAlias = GreedyConfig | BeamConfig

DECODERS = ("greedy", "beam")


@dataclass(frozen=True)
class Decoding:
    """How channels are decoded.

    Attributes:
        search: greedy or beam search.
        ngram: language model of a beam search.
        resets: when states are reset on long streams; None: never.
        endpoint: when a segment of speech ends; None: no endpoints are reported.
        head: of the model, which is searched; None: its first.
    Raises:
        ArgumentError: an n-gram model without a beam.
    """

    search: Search = field(default_factory=GreedyConfig)
    ngram: LanguageModel | None = None
    resets: ResetConfig | None = None
    endpoint: EndpointConfig | None = None
    head: Head | None = None

    def __post_init__(self) -> None:
        if self.ngram is not None and not isinstance(self.search, BeamConfig):
            raise ArgumentError("decoding: an n-gram model wants beam search")

    @staticmethod
    def of(decoding: Decoding | Search) -> Decoding:
        """Return a decoding; of a search, one with nothing else."""
        return decoding if isinstance(decoding, Decoding) else Decoding(decoding)

    def rows(
        self, backend: Backend, vocabulary: Vocabulary, count: int
    ) -> tuple[int | None, DecoderRows]:
        """Return the id of `<EOS>`, where it is decoded as such, and rows of the decoder.

        Raises:
            ArgumentError: the model has no such head.
        """
        if isinstance(self.search, GreedyConfig):
            return self.search.eos, greedy_rows(backend, count, self.search, self.head)
        kind = CtcBeam if _is_ctc(backend, self.head) else TransducerBeam
        eos = self.search.eos
        beam = kind(backend, vocabulary, self.search, self.ngram)
        return None if eos is None else eos.id, BeamRows(beam, count)


def greedy_rows(
    backend: Backend,
    count: int,
    config: GreedyConfig | None = None,
    head: Head | None = None,
) -> DecoderRows:
    """Return rows of a greedy decoder.

    Args:
        count: of the rows.
        head: of the model; None: its first.
    Raises:
        ArgumentError: the model has no such head.
    """
    if _is_ctc(backend, head):
        return GreedyRows(CtcGreedy(backend, config), count)
    return GreedyRows(Greedy(backend, config), count)


def _is_ctc(backend: Backend, head: Head | None) -> bool:
    return backend.specification.head(head) == "ctc"
