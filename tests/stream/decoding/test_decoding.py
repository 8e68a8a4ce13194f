"""Decoding: which head of a model is searched how, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from stream.decoding.beam import BeamConfig
from stream.decoding.ctc import CtcBeam, CtcGreedy
from stream.decoding.decoding import Decoding, Search, greedy_rows
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
    ("decoder", "head", "greedy", "beam"),
    [
        ("transducer", None, Greedy, TransducerBeam),
        ("both", None, Greedy, TransducerBeam),
        ("both", "ctc", CtcGreedy, CtcBeam),
        ("both", "transducer", Greedy, TransducerBeam),
        ("ctc", None, CtcGreedy, CtcBeam),
        ("ctc", "ctc", CtcGreedy, CtcBeam),
    ],
)
def test_the_head_is_the_one_asked_for_or_the_models_first(
    decoder: str, head: str | None, greedy: type, beam: type
) -> None:
    def kind(search: Search) -> type:
        _, rows = Decoding(search, head=head).rows(backend(decoder), letters(PIECES), 2)  # type: ignore[arg-type]
        return type(getattr(rows, "_greedy", None) or getattr(rows, "_beam", None))

    assert kind(GreedyConfig()) is greedy
    assert kind(BeamConfig()) is beam


@pytest.mark.parametrize(("there", "asked"), [("transducer", "ctc"), ("ctc", "transducer")])
def test_a_head_that_the_model_lacks_is_refused(there: str, asked: str) -> None:
    with pytest.raises(ArgumentError, match=f"head is '{asked}'; the model has only '{there}'"):
        greedy_rows(backend(there), 1, head=asked)  # type: ignore[arg-type]


def test_greedy_rows_decode_with_the_ctc_head() -> None:
    made, f = backend("ctc"), frames(1, 20)
    (tokens,) = greedy_rows(made, 1).step(f, np.array([0]))
    greedy = CtcGreedy(made)
    assert tokens == greedy.decode(f, np.array([0]), greedy.initial_state(1))[0] != []


def test_an_ngram_model_wants_a_beam() -> None:
    with pytest.raises(ArgumentError, match="an n-gram model wants beam search"):
        Decoding(ngram=object())  # type: ignore[arg-type]
