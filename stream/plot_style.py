"""The look of Rill's plots: colours, and settings for matplotlib, which this file does not need."""

from __future__ import annotations

from typing import Any

__all__ = ["FAINT", "INK", "STYLE"]

INK, FAINT = "#22303c", "#d8dee4"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10.5,
    "svg.fonttype": "path",  # looks the same wherever it is seen
    "svg.hashsalt": "rill",  # the same curve gives the same file
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
