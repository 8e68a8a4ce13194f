"""Decoder rows: the same interface to both decoders, and rows that do not touch each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stream.decoding.beam import BeamConfig
from stream.decoding.ctc import CtcBeam, CtcGreedy
from stream.decoding.greedy import Greedy, GreedyConfig, Token
from stream.decoding.keywords import KeywordTrie
from stream.decoding.rows import BeamRows, DecoderRows, GreedyRows
from stream.decoding.transducer_beam import TransducerBeam
from tests.stream.engine.scrambled import ScrambledBackend, frames, letters

PIECES = 6
VOCABULARY = letters(PIECES)


def greedy_rows(count: int) -> DecoderRows:
    return GreedyRows(Greedy(ScrambledBackend(PIECES), GreedyConfig(3)), count)


def beam_rows(count: int) -> DecoderRows:
    return BeamRows(TransducerBeam(ScrambledBackend(PIECES), VOCABULARY, BeamConfig()), count)


def ctc_greedy_rows(count: int) -> DecoderRows:
    return GreedyRows(CtcGreedy(ScrambledBackend(PIECES)), count)


def ctc_beam_rows(count: int) -> DecoderRows:
    return BeamRows(CtcBeam(ScrambledBackend(PIECES, 20.0), VOCABULARY), count)


KINDS = pytest.mark.parametrize("make", [greedy_rows, beam_rows, ctc_greedy_rows, ctc_beam_rows])
Make = Callable[[int], DecoderRows]


def at(*rows: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(rows, np.int64)


def alone(make: Make, f: np.ndarray, step: int = 0) -> list[Token]:  # type: ignore[type-arg]
    rows = make(1)
    rows.restart(0, step)
    (tokens,) = rows.step(f, at(0))
    return tokens + rows.commit(0)


@KINDS
def test_rows_decode_as_they_would_alone_in_any_order(make: Make) -> None:
    f = frames(3, 20)
    rows = make(5)
    tokens: dict[int, list[Token]] = {0: [], 2: [], 4: []}
    order = {0: 0, 2: 1, 4: 2}
    for t in range(20):
        chosen = [4, 0, 2] if t % 2 else [2, 4, 0]
        found = rows.step(f[[order[r] for r in chosen], t : t + 1], at(*chosen))
        for row, more in zip(chosen, found, strict=True):
            tokens[row] += more
    for row, i in order.items():
        assert tokens[row] + rows.commit(row) == alone(make, f[i : i + 1])
        assert tokens[row]


@KINDS
def test_a_restarted_row_is_fresh_and_counts_from_where_it_is_told(make: Make) -> None:
    f = frames(1, 20)
    rows = make(2)
    rows.step(frames(2, 7, 5), at(0, 1))
    rows.restart(1, 100)
    (tokens,) = rows.step(f, at(1))
    fresh = alone(make, f)
    assert [(t.id, t.step - 100) for t in tokens + rows.commit(1)] == [
        (t.id, t.step) for t in fresh
    ]


@KINDS
def test_keywords_are_those_of_the_row_until_it_restarts(make: Make) -> None:
    f = np.repeat(frames(1, 30, 2), 3, axis=0)
    rows = make(3)
    trie = KeywordTrie({"dd": 3.0, "ee": 3.0}, VOCABULARY.pieces)
    rows.restart(1, 0, trie)
    rows.restart(2, 0, trie)
    rows.restart(2)
    found = rows.step(f, at(0, 1, 2))
    said = [tokens + rows.commit(row) for row, tokens in enumerate(found)]
    assert said[0] == said[2] == alone(make, f[:1])
    assert said[1] != said[0]


@KINDS
def test_what_is_best_is_what_a_commit_gives_and_partials_begin_with(make: Make) -> None:
    rows = make(1)
    seen = 0
    for t in range(12):
        rows.step(frames(1, 12, 3)[:, t : t + 1], at(0))
        best, partials = list(rows.best(0)), rows.partials(0)
        if best:
            assert list(partials[0].tokens) == best
            seen += 1
    assert rows.commit(0) == best
    assert rows.commit(0) == []
    assert rows.partials(0) == ()
    assert seen or make in (greedy_rows, ctc_greedy_rows)
