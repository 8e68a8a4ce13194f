"""EOS rules: the two columns that change, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream.decoding.eos import EosRule

BLANK, EOS = 3, 1
PROBABILITIES = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.05, 0.15, 0.3]])


def applied(rule: EosRule) -> Any:
    scores = np.log(PROBABILITIES)
    rule.apply(scores, BLANK)
    return np.exp(scores)


def test_ignored_it_cannot_come() -> None:
    want = PROBABILITIES.copy()
    want[:, EOS] = 0.0
    np.testing.assert_allclose(applied(EosRule(EOS, "ignore")), want)


def test_as_blank_its_probability_is_blanks() -> None:
    want = PROBABILITIES.copy()
    want[:, BLANK] += want[:, EOS]
    want[:, EOS] = 0.0
    np.testing.assert_allclose(applied(EosRule(EOS, "blank")), want)


def test_predicted_it_is_weighed_and_dropped_below_beta() -> None:
    want = PROBABILITIES.copy()
    want[:, EOS] **= 0.5
    np.testing.assert_allclose(applied(EosRule(EOS, alpha=0.5)), want)
    want[1, EOS] = 0.0  # sqrt(0.05) is 0.22
    np.testing.assert_allclose(applied(EosRule(EOS, alpha=0.5, beta=0.3)), want)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": -1}, "id is -1"),
        ({"id": 1, "mode": "maybe"}, "mode is 'maybe'"),
        ({"id": 1, "alpha": 0.0}, "alpha is 0.0"),
        ({"id": 1, "alpha": float("nan")}, "alpha is nan"),
        ({"id": 1, "beta": 1.0}, "beta is 1.0"),
    ],
)
def test_a_number_out_of_range_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EosRule(**fields)
