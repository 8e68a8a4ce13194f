"""The picture of a search, whatever was searched."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from stream.error_rate import ErrorRate
from train.lm.search import Values
from train.lm.surface import draw
from train.lm.trials import Trial

NOTHING = ErrorRate(100, 0, 0, 0)


def trials(of: list[Values]) -> list[Trial]:
    return [Trial(values, ErrorRate(100, i, 0, 0), NOTHING, 0.0) for i, values in enumerate(of, 3)]


PLANE: list[Values] = [{"weight": a / 4, "word_bonus": b / 2} for a in range(4) for b in range(3)]
WIDTHS: list[Values] = [{**each, "beam_width": 4.0 + i % 2} for i, each in enumerate(PLANE)]


@pytest.mark.parametrize(
    ("of", "has", "has_not"),
    [
        (PLANE, ["word bonus, beta", "weight 0, word bonus 0: 3.00 %"], ["beam width"]),
        (WIDTHS, ["word bonus, beta", "beam width 4"], []),
        ([{"weight": a / 4} for a in range(4)], ["WER, %"], ["beta"]),
        ([{"weight": a, "word_bonus": a} for a in range(4)], ["word bonus, beta"], []),
        (PLANE[:1], ["WER, %"], []),
    ],
    ids=["surface", "several widths", "curve", "line", "point"],
)
def test_a_search_is_drawn(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    of: list[Values],
    has: list[str],
    has_not: list[str],
) -> None:
    from matplotlib import text

    written: list[str] = []
    draw_text = text.Text.draw

    def drawn(self: text.Text, *arguments: object, **more: object) -> None:
        written.append(self.get_text())
        draw_text(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(text.Text, "draw", drawn)
    draw(trials(of), "a title", tmp_path / "surface.svg")
    said = "\n".join(written)
    assert (tmp_path / "surface.svg").read_text().startswith("<?xml")
    assert all(part in said for part in ["a title", *has]), said
    assert not any(part in said for part in has_not), said
