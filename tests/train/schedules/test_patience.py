"""How long a run waits for a better WER."""

from __future__ import annotations

import math

from train.schedules.patience import since_better


def test_the_validations_since_the_best_are_counted() -> None:
    assert since_better([], 0.0) == 0
    assert since_better([0.9, 0.5], 0.0) == 0
    assert since_better([0.9, 0.5, 0.5, 0.6], 0.0) == 2
    assert since_better([0.9, 0.5, 0.7, 0.4], 0.0) == 0


def test_what_is_lower_by_less_than_the_least_does_not_count_however_often() -> None:
    assert since_better([0.50, 0.49, 0.48, 0.47], 0.02) == 0  # 0.47 against 0.50
    assert since_better([0.50, 0.49, 0.48], 0.02) == 2


def test_a_model_that_has_not_begun_to_learn_is_waited_for() -> None:
    assert since_better([1.0, 1.0, 1.7, math.inf], 0.0) == 0
    assert since_better([1.0, 0.995, 1.0], 0.01) == 0
    assert since_better([1.0, 0.9, math.inf, 1.0], 0.0) == 2
