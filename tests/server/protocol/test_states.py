from __future__ import annotations

from server.protocol.states import TRANSITIONS, Close, Input, State, short_close
from tests.places import REPOSITORY


def test_a_long_reason_is_cut_to_what_a_frame_holds() -> None:
    assert short_close(1011, "é" * 100) == Close(1011, "é" * 61)


def test_every_state_that_is_not_closed_can_be_left_by_the_peer_and_by_the_engine() -> None:
    for state in (State.OPEN, State.FINISHING):
        for happened in (Input.GONE, Input.FAULT, Input.STALL, Input.LAST, Input.MISTAKE):
            assert TRANSITIONS[state, happened] is State.CLOSED
    assert not any(before is State.CLOSED for before, _ in TRANSITIONS)


def diagram() -> str:
    """Return the table as a Mermaid state diagram, for `docs/protocol.md`."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.OPEN.value}"]
    arrows: dict[tuple[State, State], list[str]] = {}
    for (before, happened), after in TRANSITIONS.items():
        arrows.setdefault((before, after), []).append(happened.value)
    for (before, after), labels in arrows.items():
        lines.append(f"    {before.value} --> {after.value}: {', '.join(labels)}")
    return "\n".join([*lines, f"    {State.CLOSED.value} --> [*]"])


def test_the_page_shows_the_table() -> None:
    page = REPOSITORY / "docs" / "protocol.md"
    assert f"```mermaid\n{diagram()}\n```" in page.read_text()
