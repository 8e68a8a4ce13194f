"""Expansion: what is expanded, what stops it, and how equal texts merge, with scores written by hand."""

from __future__ import annotations

import math

import pytest

from stream.decoding.expansion import Expansion, Limits
from stream.decoding.hypothesis import Candidates, Extender, Node, Path

BLANK = 3
PIECES = ("a", "b", "ab")


def expansion(width: int = 2, symbols: int = 8) -> tuple[Expansion, Node]:
    root = Node(BLANK, ())
    root.prediction = ()
    limits = Limits(width, symbols, BLANK)
    return Expansion(Extender(PIECES, None), limits, [Path(0.0, 1, (), root)], 7, None), root


def run(found: Expansion, known: dict[tuple[int, ...], Candidates]) -> list[tuple[int, ...]]:
    """Answer what is asked for, by token history; return what was, in order."""
    asked = []
    histories: dict[Node, tuple[int, ...]] = {}
    while nodes := found.advance():
        for path in found._open.values():
            histories[path.node] = tuple(token.id for token in path.tokens)
        for node in nodes:
            node.prediction = ()
            asked.append(histories[node])
            found.known[node] = known[histories[node]]
    return asked


def kept(found: Expansion) -> dict[tuple[int, ...], float]:
    return {tuple(t.id for t in path.tokens): path.score for path in found.kept()}


def test_blank_closes_a_hypothesis_and_a_token_opens_one() -> None:
    found, _ = expansion()
    asked = run(found, {(): [(0, -0.5), (BLANK, -1.0)], (0,): [(BLANK, -0.25)]})
    assert asked == [(), (0,)]
    assert kept(found) == {(0,): -0.75, (): -1.0}
    assert [token.step for token in found.kept()[0].tokens] == [7]


def test_it_stops_where_enough_are_better_than_what_is_open() -> None:
    found, _ = expansion(width=1)
    asked = run(found, {(): [(BLANK, -0.25), (0, -2.0), (1, -3.0)]})
    assert asked == [()]
    assert kept(found) == {(): -0.25}


def test_as_many_are_kept_as_the_width_the_best_first() -> None:
    found, _ = expansion(width=2)
    run(
        found,
        {
            (): [(0, -0.5), (1, -0.6), (BLANK, -3.0)],
            (0,): [(BLANK, -0.5)],
            (1,): [(BLANK, -0.1)],
        },
    )
    assert list(kept(found)) == [(1,), (0,)]


def test_a_hypothesis_with_its_symbols_spent_is_closed_only() -> None:
    found, _ = expansion(symbols=1)
    run(found, {(): [(0, -0.5), (BLANK, -5.0)], (0,): [(0, -0.1), (BLANK, -2.0)]})
    assert kept(found) == {(0,): -2.5, (): -5.0}


def test_equal_texts_add_up_and_the_better_content_stays_while_open() -> None:
    found, _ = expansion(width=3)
    run(
        found,
        {
            (): [(0, -1.0), (2, -1.5), (BLANK, -9.0)],
            (2,): [],  # asked for beside (0,), and merged before its turn
            (0,): [(1, -0.25), (BLANK, -8.0)],
            (0, 1): [(BLANK, 0.0)],
        },
    )
    best = found.kept()[0]
    assert [token.id for token in best.tokens] == [0, 1]
    assert best.score == pytest.approx(math.log(math.exp(-1.25) + math.exp(-1.5)))


def test_equal_texts_add_up_and_the_earlier_content_stays_once_closed() -> None:
    found, _ = expansion(width=4)
    run(
        found,
        {
            (): [(2, -0.1), (0, -3.0), (BLANK, -9.0)],
            (2,): [(BLANK, -1.0)],
            (0,): [(1, -0.5), (BLANK, -8.0)],
            (0, 1): [(BLANK, 0.0)],
        },
    )
    best = found.kept()[0]
    assert [token.id for token in best.tokens] == [2]
    assert best.score == pytest.approx(math.log(math.exp(-1.1) + math.exp(-3.5)))


def test_histories_are_asked_for_together_where_nothing_new_can_outrank_them() -> None:
    root = Node(BLANK, ())
    root.prediction = ()
    paths = [
        Path(score, 2, (), root.child(token), text=(token + 1, False))
        for token, score in ((0, -1.0), (1, -2.0), (2, -4.0))
    ]
    found = Expansion(Extender(PIECES, None), Limits(2, 8, BLANK), paths, 0, None)
    assert found.advance() == [paths[0].node, paths[1].node]
    found.known[paths[0].node] = found.known[paths[1].node] = [(BLANK, -0.1)]
    assert found.advance() == []
    assert [path.score for path in found.kept()] == [-1.1, -2.1]
