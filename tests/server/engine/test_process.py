from __future__ import annotations

import pytest

from server.engine.process import describe_status


@pytest.mark.parametrize(
    "status, words",
    [(0, "exit status 0"), (-9, "signal 9, SIGKILL"), (-200, "signal 200, of no name")],
)
def test_a_status_is_said_in_words(status: int, words: str) -> None:
    assert describe_status(status) == words
