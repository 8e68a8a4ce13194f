"""The drawing of the house: the way it leaves arrows out, and what it must show."""

from __future__ import annotations

from tests.house.drawing import draw, levels, reduced
from tests.house.imports import rooms


def test_an_edge_is_left_out_where_a_longer_way_leads_there() -> None:
    edges = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert reduced(edges) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}


def test_what_is_imported_is_in_a_lower_row() -> None:
    rows = levels({"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": set()})
    assert [sorted(row) for row in rows] == [["a"], ["b"], ["c", "d"]]


def test_every_room_is_in_the_drawing_once() -> None:
    drawing = draw()
    for room in rooms():
        name = room.rpartition(".")[2]
        assert f">{name}</text>" in drawing or f">{name}/</text>" in drawing or "." in room
    assert drawing.count("<rect") == 1 + len(rooms()) + 6  # paper, rooms, parts
