"""Decoding: how the channels of an engine are decoded, as options; `DECODERS` names the decoders.

A model has a transducer's decoder, a CTC head, or both (`Specification.decoders`). "greedy" and "beam" mean
the first of them, "ctc" and "ctc-beam" the CTC head.
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
from stream.language_model.ngram import Ngram
from stream.model.specification import DecoderKind
from stream.vocabulary import Vocabulary

__all__ = ["BEAMS", "DECODERS", "Decoding", "Search", "greedy_rows"]

Search: TypeAlias = GreedyConfig | BeamConfig

# By the name of an option: the decoder of the model; None: its first.
DECODERS: dict[str, DecoderKind | None] = {
    "greedy": None,
    "beam": None,
    "ctc": "ctc",
    "ctc-beam": "ctc",
}
BEAMS = ("beam", "ctc-beam")  # those that search with a beam


@dataclass(frozen=True)
class Decoding:
    """How channels are decoded.

    Attributes:
        search: greedy or beam search.
        ngram: language model of a beam search.
        resets: when states are reset on long streams; None: never.
        endpoint: when a segment of speech ends; None: no endpoints are reported.
        decoder: of the model; None: its first.
    Raises:
        ArgumentError: an n-gram model without a beam.
    """

    search: Search = field(default_factory=GreedyConfig)
    ngram: Ngram | None = None
    resets: ResetConfig | None = None
    endpoint: EndpointConfig | None = None
    decoder: DecoderKind | None = None

    def __post_init__(self) -> None:
        if self.ngram is not None and not isinstance(self.search, BeamConfig):
            raise ArgumentError("decoding: an n-gram model wants beam search")

    def rows(
        self, backend: Backend, vocabulary: Vocabulary, count: int
    ) -> tuple[int | None, DecoderRows]:
        """Return the id of `<EOS>`, where it is decoded as such, and rows of the decoder.

        Raises:
            ArgumentError: the model has no such decoder.
        """
        if isinstance(self.search, GreedyConfig):
            return self.search.eos, greedy_rows(backend, count, self.search, self.decoder)
        kind = CtcBeam if _is_ctc(backend, self.decoder) else TransducerBeam
        eos = self.search.eos
        beam = kind(backend, vocabulary, self.search, self.ngram)
        return None if eos is None else eos.id, BeamRows(beam, count)


def greedy_rows(
    backend: Backend,
    count: int,
    config: GreedyConfig | None = None,
    decoder: DecoderKind | None = None,
) -> DecoderRows:
    """Return rows of a greedy decoder.

    Args:
        count: of the rows.
        decoder: of the model; None: its first.
    Raises:
        ArgumentError: the model has no such decoder.
    """
    if _is_ctc(backend, decoder):
        return GreedyRows(CtcGreedy(backend, config), count)
    return GreedyRows(Greedy(backend, config), count)


def _is_ctc(backend: Backend, decoder: DecoderKind | None) -> bool:
    there = backend.specification.decoders
    if decoder is not None and decoder not in there:
        raise ArgumentError(f"decoder {decoder}: the model has {' and '.join(there)} alone")
    return (decoder or there[0]) == "ctc"
