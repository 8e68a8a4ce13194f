"""A comparison as one page of HTML: table, charts, and what is disputed, playable.

One file that opens from disk: style and script are included, charts are inline SVG, audio is data URIs,
and nothing is fetched. Every text from outside is escaped. The figures come from
`export.compare.findings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from export.checks.tracer import STAGES
from export.compare.charts import COLOURS, bars, lanes, profile, strip, timeline
from export.compare.clips import Clip
from export.compare.findings import Comparison, Disagreement, Entry

HERE = Path(__file__).resolve().parent
LISTED = 100  # disagreements; all of them are in the JSON


def render(comparison: Comparison, clips: Mapping[str, Clip]) -> str:
    """Return the page.

    Args:
        comparison: what was found.
        clips: by id, of the disagreements that can be played.
    """
    entries = comparison.artefacts
    title = " · ".join(entry.label for entry in entries)
    style, script = ((HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head><body><main>"
        f"{_header(comparison)}{_table(entries)}{_charts(comparison)}"
        f"{_disagreements(comparison, clips)}</main><script>\n{script}</script></body></html>\n"
    )


def _header(comparison: Comparison) -> str:
    minutes = comparison.seconds / 60
    facts = (
        Path(comparison.manifest).name,
        f"{comparison.recordings} recordings",
        f"{minutes:.1f} minutes" if minutes >= 1 else f"{comparison.seconds:.1f} seconds",
        comparison.date,
        comparison.machine,
    )
    return (
        f'<header><p class="mark">Rill · comparison</p><h1>{_headline(comparison)}</h1><p '
        f'class="facts">{"".join(f"<span>{escape(fact)}</span>" for fact in facts)}</p></header>'
    )


def _headline(comparison: Comparison) -> str:
    disputed, all_ = len(comparison.disagreements), comparison.recordings
    many = len(comparison.artefacts)
    if many == 1:
        return f"One artefact on {all_} recordings"
    if not disputed:
        return f"{many} artefacts say the same of all {all_} recordings"
    return f"{many} artefacts disagree about {disputed} of {all_} recordings"


def _table(entries: list[Entry]) -> str:
    heads = (
        ("", "artefact"),
        ("n", "WER"),
        ("n", "sub · del · ins"),
        ("n", "speed"),
        ("n", "words changed"),
        ("n", "tokens differ"),
        ("n", "recordings"),
        ("n", "choices flip"),
    )
    head = "".join(f'<th class="{kind}">{name}</th>' for kind, name in heads)
    rows = "".join(_row(n, entry) for n, entry in enumerate(entries))
    return (
        f'<section><div class="scroll box" role="group" aria-label="Figures of each artefact"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="note">Differences are from the first '
        "artefact. <b>Choices flip</b>: nodes of the first one's path (a frame, and the tokens before "
        "it) where another class is best, given the same history; one flip may change all that "
        "follows it.</p></section>"
    )


def _row(n: int, entry: Entry) -> str:
    wer = "–" if entry.wer is None else f"{100 * entry.wer:.2f} %"
    edits = f"{entry.substitutions} · {entry.deletions} · {entry.insertions}"
    moved = f' <small title="the same tokens, at other frames">+{entry.moved} moved</small>'
    cells: tuple[str, ...] = (
        f"<b>{wer}</b>",
        edits,
        f"{_speed(entry.speed)} ×",
        str(entry.changed_words),
        _of(entry.different_tokens, entry.tokens),
        f"{entry.different}{moved if entry.moved else ''}",
        _of(entry.flips, entry.nodes),
    )
    if n == 0:
        first = '<span class="chip">reference</span>'
        cells = (*cells[:3], *(first if k == 0 else "" for k in range(4)))
    return (
        f'<tr><td><i class="swatch a{n % COLOURS}"></i><b>{escape(entry.label)}</b>'
        f"<small>{escape(entry.description)}</small></td>"
        + "".join(f'<td class="n">{cell}</td>' for cell in cells)
        + "</tr>"
    )


def _of(some: int | None, all_: int | None) -> str:
    if some is None:
        return "–"
    return f"{some}<small> of {all_}</small>" if all_ else str(some)


def _speed(speed: float) -> str:
    return f"{speed:.0f}" if speed >= 10 else f"{speed:.1f}"


def _charts(comparison: Comparison) -> str:
    entries = list(enumerate(comparison.artefacts))
    words = max(comparison.artefacts[0].words, 1)
    errors = [
        (
            entry.label,
            [
                ("substituted", 100 * entry.substitutions / words),
                ("deleted", 100 * entry.deletions / words),
                ("inserted", 100 * entry.insertions / words),
            ],
        )
        for _, entry in entries
    ]
    speeds = [(entry.label, [("speed", entry.speed)]) for _, entry in entries]
    stages = [
        (n % COLOURS, entry.label, {name: d.largest for name, d in entry.stages.items()})
        for n, entry in entries[1:]
    ]
    relative = [
        (n % COLOURS, entry.label, {name: d.relative for name, d in entry.stages.items()})
        for n, entry in entries[1:]
    ]
    divergences = [(n % COLOURS, entry.label, entry.divergences) for n, entry in entries[1:]]
    last = max((time for _, _, times in divergences for time in times), default=0.0)
    figures = (
        (
            "Word errors",
            "% of the words: substituted, deleted, inserted, from dark to light",
            bars(errors, "%"),
        ),
        ("Speed", "seconds of audio a second", bars(speeds, "×")),
        (
            "Largest difference by stage",
            "from the reference, in each stage's unit",
            profile(list(STAGES), stages),
        ),
        (
            "Error by stage",
            "root mean square, over that of the reference",
            profile(list(STAGES), relative),
        ),
        (
            "Outputs at the bound",
            "% of |h| ≥ 127/128, by layer: what int8 cannot exceed",
            _saturation(comparison, "output"),
        ),
        (
            "Cells beyond the linear part",
            "% of |c| ≥ 1, by layer: where tanh, if hard, is flat",
            _saturation(comparison, "tanh"),
        ),
        (
            "Where transcripts diverge",
            "seconds into the recording, first difference",
            strip(divergences, last),
        ),
    )
    drawn = "".join(
        f"<figure><figcaption><b>{name}</b>{about}</figcaption>{_scrolling(name, chart)}</figure>"
        for name, about, chart in figures
        if chart
    )
    return f'<section class="charts">{drawn}</section>'


def _scrolling(name: str, chart: str) -> str:
    """Return a chart that is scrolled where it would be too small to read."""
    return f'<div class="scroll" role="group" aria-label="{escape(name)}">{chart}</div>'


def _saturation(comparison: Comparison, share: str) -> str:
    dots: dict[str, list[tuple[int, str, float]]] = {}
    for n, entry in enumerate(comparison.artefacts):
        for layer in entry.saturation:
            dots.setdefault(layer.layer, []).append(
                (n % COLOURS, entry.label, 100 * getattr(layer, share))
            )
    return lanes(list(dots.items()), "%")


def _disagreements(comparison: Comparison, clips: Mapping[str, Clip]) -> str:
    found = comparison.disagreements
    if not found:
        return ""
    labels = [entry.label for entry in comparison.artefacts]
    cards = "".join(_card(each, labels, clips.get(each.id)) for each in found[:LISTED])
    left = len(found) - LISTED
    more = f'<p class="note">{left} more are in the JSON.</p>' if left > 0 else ""
    return (
        f"<section><h2>Disagreements</h2><p class='note'>Those with most differences "
        f"first. Tokens stand at their encoder frames; marked ones differ from the reference. A line "
        f"shows where an artefact first diverges from it. Click a wave to play from there.</p>{cards}"
        f"{more}</section>"
    )


def _card(disagreement: Disagreement, labels: list[str], clip: Clip | None) -> str:
    said = escape(disagreement.text) or "<i>nothing</i>"
    head = (
        f'<article><p class="said"><span>said</span>{said}<small>'
        f"{escape(disagreement.id)} · {disagreement.duration:.1f} s</small></p>"
    )
    if clip is not None:
        part = ""
        if clip.seconds < disagreement.duration - 0.5:
            part = (
                f'<p class="note">From {clip.begin:.1f} to {clip.begin + clip.seconds:.1f} s.</p>'
            )
        return (
            f"{head}{_scrolling('Transcripts', timeline(disagreement, labels, clip))}{part}"
            f'<audio controls preload="metadata" aria-label="{escape(disagreement.id)}" '
            f'src="{clip.uri}"></audio>{_where(disagreement, labels)}'
            "</article>"
        )
    lines = "".join(
        f'<dt><i class="swatch a{n % COLOURS}"></i>{escape(label)}</dt>'
        f"<dd>{escape(transcript.text) or '<i>nothing</i>'}</dd>"
        for n, (label, transcript) in enumerate(zip(labels, disagreement.transcripts, strict=True))
    )
    return f"{head}<dl>{lines}</dl>{_where(disagreement, labels)}</article>"


def _where(disagreement: Disagreement, labels: list[str]) -> str:
    parts = []
    for label, transcript in zip(labels, disagreement.transcripts, strict=True):
        if transcript.index is None:
            continue
        unit = "word" if transcript.tokens is None else "token"
        where = "" if transcript.frame is None else f", frame {transcript.frame}"
        when = "" if transcript.seconds is None else f" ({transcript.seconds:.2f} s)"
        parts.append(f"{escape(label)} diverges at {unit} {transcript.index + 1}{where}{when}")
    return f'<p class="note">{"; ".join(parts)}</p>'
