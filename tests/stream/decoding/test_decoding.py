"""Decoding: which decoder of a model its options choose, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from stream.decoding.beam import BeamConfig
from stream.decoding.ctc import CtcBeam, CtcGreedy
from stream.decoding.decoding import BEAMS, DECODERS, Decoding, Search, greedy_rows
from stream.decoding.greedy import Greedy, GreedyConfig
from stream.decoding.transducer_beam import TransducerBeam
from stream.errors import ArgumentError
from stream.model.specification import Specification
from tests.stream.engine.scrambled import ScrambledBackend, frames, letters

PIECES = 6


def backend(decoder: str) -> ScrambledBackend:
    made = ScrambledBackend(PIECES)
    made.specification = Specification(vocabulary=PIECES, joint=1, decoder=decoder)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("decoder", "option", "greedy", "beam"),
    [
        ("transducer", None, Greedy, TransducerBeam),
        ("both", None, Greedy, TransducerBeam),
        ("both", "ctc", CtcGreedy, CtcBeam),
        ("both", "transducer", Greedy, TransducerBeam),
        ("ctc", None, CtcGreedy, CtcBeam),
        ("ctc", "ctc", CtcGreedy, CtcBeam),
    ],
)
def test_the_decoder_is_the_one_asked_for_or_the_models_first(
    decoder: str, option: str, greedy: type, beam: type
) -> None:
    def kind(search: Search) -> type:
        _, rows = Decoding(search, decoder=option).rows(backend(decoder), letters(PIECES), 2)  # type: ignore[arg-type]
        return type(getattr(rows, "_greedy", None) or getattr(rows, "_beam", None))

    assert kind(GreedyConfig()) is greedy
    assert kind(BeamConfig()) is beam


@pytest.mark.parametrize(("decoder", "option"), [("transducer", "ctc"), ("ctc", "transducer")])
def test_a_decoder_that_the_model_has_not_is_refused(decoder: str, option: str) -> None:
    with pytest.raises(ArgumentError, match=f"decoder {option}: the model has {decoder} alone"):
        greedy_rows(backend(decoder), 1, decoder=option)  # type: ignore[arg-type]


def test_greedy_rows_decode_with_the_ctc_head() -> None:
    made, f = backend("ctc"), frames(1, 20)
    (tokens,) = greedy_rows(made, 1).step(f, np.array([0]))
    greedy = CtcGreedy(made)
    assert tokens == greedy.decode(f, np.array([0]), greedy.initial_state(1))[0] != []


def test_every_beam_is_a_decoder() -> None:
    assert set(BEAMS) < set(DECODERS)


def test_an_ngram_model_wants_a_beam() -> None:
    with pytest.raises(ArgumentError, match="an n-gram model wants beam search"):
        Decoding(ngram=object())  # type: ignore[arg-type]
