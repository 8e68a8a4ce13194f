from __future__ import annotations

import pytest

from server.limits import Limits


def test_a_limit_that_is_not_positive_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="limit idle_seconds is 0; it has to be greater than 0"):
        Limits(idle_seconds=0)


def test_limits_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Limits().idle_seconds = 3  # type: ignore[misc]
