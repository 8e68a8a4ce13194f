"""Beam search: its options, and the candidates of a frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream.decoding.beam import Beam, BeamConfig
from stream.decoding.eos import EosRule
from stream.decoding.transducer_beam import TransducerBeam
from tests.stream.engine.scrambled import ScrambledBackend, letters


def beam(pieces: int, config: BeamConfig) -> Beam:
    return TransducerBeam(ScrambledBackend(pieces), letters(pieces), config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 0}, "width is 0"),
        ({"symbols_per_step": 0}, "symbols_per_step is 0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"score_threshold": -1.0}, "score_threshold is -1.0"),
        ({"token_threshold": float("inf")}, "token_threshold is inf"),
        ({"final_delay": float("nan")}, "final_delay is nan"),
    ],
)
def test_a_config_out_of_range_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(BeamConfig(), **changes)


def test_an_eos_that_is_no_piece_is_refused() -> None:
    with pytest.raises(ValueError, match="eos is 6, the vocabulary has pieces 0 to 5"):
        beam(6, BeamConfig(eos=EosRule(6)))


@pytest.mark.parametrize("threshold", [None, 1.5, 5.0])
def test_of_many_classes_within_the_threshold_the_best_count(threshold: float | None) -> None:
    search = beam(26, BeamConfig(4, token_threshold=threshold))
    logits = np.random.default_rng(0).normal(0.0, 1.0, (9, 27)).astype(np.float32)
    logits = np.tile(logits, (1, 40))  # 40 of each, so that there are ties, and far more than count
    for row, candidates in enumerate(search.candidates(logits)):
        best = np.argsort(-logits[row], kind="stable")[:4].tolist()
        best = [c for c in best if logits[row, c] >= logits[row].max() - 1.4 * (threshold or 99.0)]
        assert [c for c, _ in candidates] == (best if search.blank in best else [*best, 26])
        total = np.log(np.exp(logits[row] / 1.4).sum())
        for candidate, value in candidates:
            assert value == pytest.approx(logits[row, candidate] / 1.4 - total, abs=1e-5)
