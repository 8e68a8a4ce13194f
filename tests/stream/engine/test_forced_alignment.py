"""Forced alignment: the best of all paths, by trying them all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.backends import load_backend
from stream.engine import forced_alignment
from stream.engine.forced_alignment import ctc_path, forced_steps, transducer_path
from tests.tiny import talking_ctc, tiny_network


def log_softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def score_of(
    path: tuple[int, ...], blank: NDArray[np.float64], label: NDArray[np.float64]
) -> float:
    """Log-probability of a path whose label u is emitted at step path[u]."""
    score, u = 0.0, 0
    for t in range(len(blank)):
        while u < len(path) and path[u] == t:
            score, u = score + label[t, u], u + 1
        score += blank[t, u]
    return float(score)


@pytest.mark.parametrize("seed", range(5))
def test_a_transducers_path_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = log_softmax(2.0 * rng.standard_normal((5, 4, 6)))
    blank, label = nodes[:, :, 5], nodes[:, [0, 1, 2], [3, 3, 1]]
    paths = itertools.combinations_with_replacement(range(5), 3)
    assert tuple(transducer_path(blank, label)) == max(
        paths, key=lambda p: score_of(p, blank, label)
    )


def test_labels_may_all_be_emitted_at_one_step() -> None:
    blank, label = np.full((3, 4), -0.1), np.full((3, 3), -9.0)
    label[1] = -0.1
    assert transducer_path(blank, label) == [1, 1, 1]
    assert transducer_path(blank[:1], label[:1]) == [0, 0, 0]
    assert transducer_path(blank[:, :1], label[:, :0]) == []


def collapsed(classes: tuple[int, ...], blank: int) -> list[tuple[int, int]]:
    """What a sequence of classes says: (token, first step) of each."""
    before = (blank, *classes)
    return [(c, t) for t, c in enumerate(classes) if c != blank and c != before[t]]


@pytest.mark.parametrize("tokens", [[0, 1], [1, 1], [0], []])
@pytest.mark.parametrize("seed", range(4))
def test_ctcs_path_is_the_best_of_all(seed: int, tokens: list[int]) -> None:
    scores = log_softmax(2.0 * np.random.default_rng(seed).standard_normal((5, 3)))
    fitting = [
        classes
        for classes in itertools.product(range(3), repeat=5)
        if [token for token, _ in collapsed(classes, 2)] == tokens
    ]
    best = max(fitting, key=lambda classes: sum(scores[t, c] for t, c in enumerate(classes)))
    assert ctc_path(scores, tokens, 2) == [t for _, t in collapsed(best, 2)]


def test_tokens_that_do_not_fit_are_refused() -> None:
    scores = np.zeros((2, 3))
    assert ctc_path(scores, [0, 1], 2) == [0, 1]
    for tokens in ([0, 0], [0, 1, 0]):  # a token said twice wants a blank between
        with pytest.raises(ValueError, match=f"{len(tokens)} tokens, only 2 steps"):
            ctc_path(scores, tokens, 2)


@pytest.mark.parametrize("decoder", ["transducer", "ctc"])
def test_a_models_path_does_not_depend_on_how_much_is_computed_at_once(
    decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = talking_ctc(tiny_network(decoder="both"))
    backend = load_backend("numpy", network)
    f = np.random.default_rng(1).standard_normal((30, 16)).astype(np.float32)
    tokens = [3, 7, 7, 1]
    steps = forced_steps(backend, f, tokens, decoder)
    assert steps == sorted(steps) and len(steps) == 4
    monkeypatch.setattr(forced_alignment, "NODES_VALUES", 1)
    assert forced_steps(backend, f, tokens, decoder) == steps
    with pytest.raises(ValueError, match="no encoder frames"):
        forced_steps(backend, f[:0], tokens, decoder)
