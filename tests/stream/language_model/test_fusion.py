"""Shallow fusion: a number is a weight, and every weight is finite."""

from __future__ import annotations

import pytest

from stream.errors import ArgumentError
from stream.language_model.fusion import Fusion


def test_a_number_is_a_weight_without_the_rest() -> None:
    assert Fusion.of(0.5) == Fusion(0.5, 0.0, 0.0, 0.0)
    assert Fusion.of(Fusion(0.5, 1.0)) == Fusion(0.5, 1.0)


@pytest.mark.parametrize(
    ("fusion", "said"),
    [
        ({"weight": float("nan")}, "weight is nan, wants a finite number"),
        ({"weight": 1.0, "word_bonus": float("inf")}, "word-bonus is inf"),
    ],
)
def test_a_weight_that_is_no_number_is_refused(fusion: dict[str, float], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        Fusion(**fusion)
