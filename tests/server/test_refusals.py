from __future__ import annotations

from server.refusals import quoted


def test_a_value_of_a_peer_is_short_and_has_no_control_characters() -> None:
    assert quoted("\x1b[2J" + 200 * "x") == "'\\x1b[2J" + 96 * "x" + "'"
