"""Charts as inline SVG, in the colours and fonts of the page.

They are written here, not by a plotting library, so that they follow the page's light and dark scheme,
keep their text as text, show a value when it is pointed at, and need nothing installed. Each says its
values in its label, for who does not see it. Classes and
variables (`a0` to `a7` for the colours of the artefacts) are defined in `export/compare/page.css`. A chart
without data is an empty string.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from export.compare.clips import Clip
from export.compare.findings import Disagreement

COLOURS = 8
WIDTH, WIDE = 560.0, 1120.0  # of half the page, and of all of it
ROW = 30.0
CHARACTER = 7.4  # width of one at 12 px, in bold
LARGER = 13.5 / 12  # text of a timeline
LABEL_MOST = 22  # characters

Named = Sequence[tuple[str, float]]


def bars(rows: Sequence[tuple[str, Named]], unit: str) -> str:
    """Draw a stacked bar for each row.

    Args:
        rows: label, and (what, value) of each part; of equal parts in all rows.
        unit: of the values.
    """
    if not rows:
        return ""
    top = max(sum(value for _, value in parts) for _, parts in rows) or 1.0
    left, right = _margin([label for label, _ in rows]), WIDTH - 64
    body = []
    for n, (label, parts) in enumerate(rows):
        y, x = n * ROW, left
        body.append(_text(left - 10, y + 19, label, f"label a{n % COLOURS}", "end"))
        for shade, (what, value) in enumerate(parts):
            width = (right - left) * value / top
            body.append(
                f'<rect class="fill a{n % COLOURS} s{shade}" x="{x:.1f}" y="{y + 5:.1f}" '
                f'width="{width:.1f}" height="{ROW - 10:.1f}" rx="2"><title>{escape(label)}: '
                f"{escape(what)} {value:.4g} {unit}</title></rect>"
            )
            x += width
        total = sum(value for _, value in parts)
        body.append(_text(x + 8, y + 19, f"{total:.3g}", "value"))
    said = (
        f"{label}: {', '.join(f'{what} {value:.3g} {unit}' for what, value in parts)}"
        for label, parts in rows
    )
    return _svg(body, len(rows) * ROW, said)


def lanes(groups: Sequence[tuple[str, Sequence[tuple[int, str, float]]]], unit: str) -> str:
    """Draw a lane for each group with a dot for each value in it, on one scale from 0.

    Args:
        groups: label, and (colour, who, value) of each dot.
        unit: of the values.
    """
    if not any(dots for _, dots in groups):
        return ""
    top = _ceiling(max(value for _, dots in groups for _, _, value in dots))
    left, right = _margin([label for label, _ in groups]), WIDTH - 20
    height = len(groups) * ROW
    body = [
        _grid(left + (right - left) * k / 4, height, f"{top * k / 4:.3g} {unit if k == 4 else ''}")
        for k in range(5)
    ]
    for n, (label, dots) in enumerate(groups):
        y = n * ROW + ROW / 2
        body.append(_text(left - 10, y + 4, label, "label", "end"))
        body.append(f'<path class="lane" d="M{left:.1f} {y:.1f}H{right:.1f}"/>')
        for place, (colour, who, value) in enumerate(dots):
            x = left + (right - left) * value / top
            shift = (place - (len(dots) - 1) / 2) * min(5.0, 18.0 / len(dots))
            body.append(_dot(x, y + shift, colour, f"{who}, {label}: {value:.3g} {unit}"))
    said = (
        f"{label}: {', '.join(f'{who} {value:.3g} {unit}' for _, who, value in dots)}"
        for label, dots in groups
    )
    return _svg(body, height + 22, said)


def profile(stages: Sequence[str], lines: Sequence[tuple[int, str, dict[str, float]]]) -> str:
    """Draw a line for each artefact over the stages, on a logarithmic scale; zeros lie at its foot.

    Args:
        stages: names, in order.
        lines: (colour, who, value by stage); stages may be missing.
    """
    positive = [v for _, _, values in lines for v in values.values() if v > 0.0]
    if not any(values for _, _, values in lines):
        return ""
    low = math.floor(math.log10(min(positive, default=1e-6))) - 1
    high = max(math.ceil(math.log10(max(positive, default=1.0))), low + 2)
    height, left, right, foot = 210.0, 52.0, WIDTH - 30, 10.0

    def across(n: int) -> float:
        return left + 30 + (right - left - 60) * n / max(len(stages) - 1, 1)

    def up(value: float) -> float:
        level = low if value <= 0.0 else math.log10(value)
        return foot + (height - 2 * foot) * (high - level) / (high - low)

    body = []
    step = max(1, (high - low) // 6)
    for level in range(low, high + 1, step):
        y = up(10.0**level) if level > low else up(0.0)
        body.append(f'<path class="grid" d="M{left:.1f} {y:.1f}H{right:.1f}"/>')
        name = "0" if level == low else _power(level)
        body.append(_text(left - 8, y + 4, name, "tick", "end"))
    for n, stage in enumerate(stages):
        body.append(_text(across(n), height + 12, stage, "label", "middle"))
    for colour, who, values in lines:
        points = [(across(n), up(values[s]), s) for n, s in enumerate(stages) if s in values]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in points)
        body.append(f'<path class="line a{colour}" d="M{path}"/>' if points else "")
        body += [_dot(x, y, colour, f"{who}, {s}: {values[s]:.3g}") for x, y, s in points]
    said = (
        f"{who}: {', '.join(f'{stage} {value:.3g}' for stage, value in values.items())}"
        for _, who, values in lines
    )
    return _svg(body, height + 20, said)


def strip(rows: Sequence[tuple[int, str, Sequence[float]]], seconds: float) -> str:
    """Draw a lane of marks in time for each row.

    Args:
        rows: (colour, label, times in seconds).
        seconds: where the axis ends.
    """
    if not any(times for _, _, times in rows):
        return ""
    top = _ceiling(max(seconds, 0.1))
    left, right = _margin([label for _, label, _ in rows]), WIDE - 20
    height = len(rows) * ROW
    body = [
        _grid(left + (right - left) * k / 4, height, f"{top * k / 4:.3g}{' s' if k == 4 else ''}")
        for k in range(5)
    ]
    for n, (colour, label, times) in enumerate(rows):
        y = n * ROW
        body.append(_text(left - 10, y + 19, label, f"label a{colour}", "end"))
        for time in times:
            x = left + (right - left) * time / top
            body.append(
                f'<path class="mark a{colour}" d="M{x:.1f} {y + 6:.1f}v{ROW - 12:.1f}">'
                f"<title>{time:.2f} s</title></path>"
            )
    said = (
        f"{label}: {', '.join(f'{time:.2f} s' for time in times) or 'nowhere'}"
        for _, label, times in rows
    )
    return _svg(body, height + 22, said, ' class="strip"', WIDE)


def timeline(disagreement: Disagreement, labels: Sequence[str], clip: Clip) -> str:
    """Draw the wave of a clip, and below it the tokens of each artefact at their times.

    What differs from the first artefact is marked, and where the first difference is.
    """
    left, right, wave = LARGER * _margin(labels), WIDE - 8, 46.0
    scale = (right - left) / clip.seconds
    reference = disagreement.transcripts[0]
    across, peaks = np.linspace(left, right, len(clip.outline)), 20 * clip.outline + 0.4
    above = np.stack([across, wave / 2 - peaks], axis=1)
    below = np.stack([across, wave / 2 + peaks], axis=1)[::-1]
    points = "L".join(f"{at:.1f} {height:.1f}" for at, height in (*above, *below))
    body = [f'<path class="wave" d="M{points}Z"/>']
    height = wave + ROW * len(labels) + 4
    for n, (label, transcript) in enumerate(zip(labels, disagreement.transcripts, strict=True)):
        y, colour = wave + n * ROW, n % COLOURS
        body.append(_text(left - 10, y + 19, label, f"label a{colour}", "end"))
        body.append(f'<path class="lane" d="M{left:.1f} {y + 27:.1f}H{right:.1f}"/>')
        if transcript.seconds is not None and 0 <= transcript.seconds - clip.begin <= clip.seconds:
            x = left + (transcript.seconds - clip.begin) * scale
            body.append(
                f'<path class="divergence a{colour}" d="M{x:.1f} 2V{y + 27:.1f}">'
                f"<title>{escape(label)} diverges at frame {transcript.frame}, "
                f"{transcript.seconds:.2f} s</title></path>"
            )
        if transcript.tokens is None:
            body.append(_text(left, y + 19, f"{transcript.text} (no times)", "token"))
            continue
        new = _new([t for t, _ in reference.tokens or transcript.tokens], transcript.tokens)
        free = left
        for place, (text, seconds) in enumerate(transcript.tokens):
            x = left + (seconds - clip.begin) * scale
            shown = text.strip() or "␣"
            if not left - 1 <= x <= right:
                continue
            at = max(x + 3, free)
            free = at + CHARACTER * len(shown) + 5
            kind = f"token new a{colour}" if place in new else "token"
            body.append(f'<path class="tick a{colour}" d="M{x:.1f} {y + 24:.1f}v6"/>')
            body.append(_text(at, y + 19, shown, kind, title=f"{seconds:.2f} s"))
    head = f'<path class="playhead" d="M{left:.1f} 0V{height:.1f}"/>'
    data = f' class="timeline" data-left="{left:.1f}" data-scale="{scale:.3f}"'
    said = (
        f"{label}: {transcript.text or 'nothing'}"
        for label, transcript in zip(labels, disagreement.transcripts, strict=True)
    )
    return _svg([*body, head], height, said, data, WIDE)


def _new(reference: Sequence[str], tokens: Sequence[tuple[str, float]]) -> set[int]:
    """Return the places of the tokens that the reference does not have there."""
    matcher = difflib.SequenceMatcher(None, reference, [text for text, _ in tokens], autojunk=False)
    return {
        place
        for kind, _, _, begin, end in matcher.get_opcodes()
        if kind != "equal"
        for place in range(begin, end)
    }


def _svg(
    body: Sequence[str],
    height: float,
    said: Iterable[str],
    attributes: str = "",
    width: float = WIDTH,
) -> str:
    """Return a chart; `said` are the sentences of its label."""
    label = escape("; ".join(said))
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}"{attributes}>'
        + "".join(body)
        + "</svg>"
    )


def _text(
    x: float, y: float, text: str, kind: str, anchor: str = "start", title: str | None = None
) -> str:
    shown = text if len(text) <= 3 * LABEL_MOST else text[: 3 * LABEL_MOST - 1] + "…"
    inner = escape(shown) + (f"<title>{escape(title)}</title>" if title else "")
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{inner}</text>'


def _dot(x: float, y: float, colour: int, title: str) -> str:
    return (
        f'<circle class="dot a{colour}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">'
        f"<title>{escape(title)}</title></circle>"
    )


def _grid(x: float, height: float, name: str) -> str:
    line = f'<path class="grid" d="M{x:.1f} 0V{height:.1f}"/>'
    return line + _text(x, height + 16, name, "tick", "middle")


def _margin(labels: Sequence[str]) -> float:
    return 16 + CHARACTER * min(max(map(len, labels)), LABEL_MOST)


def _power(level: int) -> str:
    """Return a power of ten, from 0.001 to 1000 in full."""
    if abs(level) <= 3:
        return f"{10.0**level:g}"
    return "10" + str(level).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _ceiling(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 6, 8, 10 times a power of ten; 1 of 0."""
    if value <= 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return power * next(n for n in (1, 2, 4, 5, 6, 8, 10) if n * power >= value * (1 - 1e-9))
