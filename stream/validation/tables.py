"""A report as it is printed: the worst recordings, tables, and a line of rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stream.error_rate import word_error_rate
from stream.model.network import Network
from stream.validation.report import Confusion, Group, Report

WORST = 5
CONFUSED = 10  # of each kind


@dataclass(frozen=True)
class Row:
    """A report among others: `name` says of which model, and how it was streamed."""

    name: str
    report: Report


def worst(report: Report) -> Iterator[str]:
    """Yield what was said and heard in the recordings of the highest error rates."""
    ranked = sorted(
        report.utterances, key=lambda o: -word_error_rate([o.reference], [o.hypothesis]).wer
    )
    for outcome in ranked[:WORST]:
        if outcome.reference != outcome.hypothesis:
            yield f"{outcome.id}\n    said  {outcome.reference}\n    heard {outcome.hypothesis}"


def breakdown(report: Report) -> Iterator[str]:
    """Yield the tables by corpus and by length, and the words that are most often wrong."""
    yield from _groups("corpus", report.corpora)
    yield from _groups("length", report.lengths)
    kinds: dict[str, list[Confusion]] = {"heard as another": [], "not heard": [], "never said": []}
    for confusion in report.confusions:
        kind = (
            "never said"
            if confusion.said is None
            else "not heard"
            if confusion.heard is None
            else "heard as another"
        )
        kinds[kind].append(confusion)
    for kind, found in kinds.items():
        if found:
            yield f"{kind}: {', '.join(map(_confusion, found[:CONFUSED]))}"


def rates(report: Report) -> str:
    """Return the line of rates."""
    edits = (
        f"{report.words} words, {report.substitutions} substituted, {report.deletions} deleted, "
        f"{report.insertions} inserted"
    )
    parts = [f"WER {_percent(report.wer)}", edits, f"CER {_percent(report.cer)}"]
    if report.mer is not None:
        parts.append(f"MER {_percent(report.mer)}")
    if report.per is not None:
        parts.append(f"PER {_percent(report.per)}")
    return "   ".join([*parts, f"RTF {report.rtf:.4f}", f"{len(report.utterances)} utterances"])


def latency(report: Report) -> str:
    """Return the line of emission latencies."""
    found = report.latency
    if found is None:
        return "emission latency: no word was said and heard whose end is known"
    return (
        f"emission latency, ms: {found.p50_ms:.0f} in the median, {found.p90_ms:.0f} at 90 %, "
        f"{found.p99_ms:.0f} at 99 %, {found.mean_ms:.0f} on average, of {found.words} words, "
        f"the ends of {found.given} given, of the others by forced alignment"
    )


def comparison(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table of several reports; the lowest word error rate is marked, the first of equal ones."""
    best = min(range(len(rows)), key=lambda i: rows[i].report.wer)
    yield f"{'WER %':>8}{'sub':>7}{'del':>7}{'ins':>7}{'CER %':>8}{'RTF':>9}  model"
    for i, (name, r) in enumerate((row.name, row.report) for row in rows):
        yield (
            f"{100 * r.wer:8.2f}{r.substitutions:7}{r.deletions:7}{r.insertions:7}"
            f"{100 * r.cer:8.2f}{r.rtf:9.4f}  {name}{'   <- best' if i == best else ''}"
        )


def differences(report: Report, network: Network, name: str = "") -> Iterator[str]:
    """Yield where streaming and the training forward part, of a few recordings, and of how many they do.

    Args:
        network: of the report.
        name: what the report is of, where there are several.
    """
    seconds = network.specification.encoder.frame_seconds
    for difference in report.differences[:WORST]:
        streamed, trained = (
            f"{network.vocabulary.pieces[token[0]]!r} at step {token[1]}" if token else "nothing"
            for token in (difference.streamed, difference.trained)
        )
        yield (
            f"{difference.id}: token {difference.index} differs at encoder frame {difference.step} "
            f"({seconds * difference.step:.2f} s): streamed {streamed}, trained {trained}"
        )
    of = f"{name}: " if name else ""
    yield f"{of}{report.different} of {len(report.utterances)} utterances differ"


def _groups(title: str, groups: Iterable[Group]) -> Iterator[str]:
    shown = list(groups)
    width = max([len(title), *(len(group.name) for group in shown)])
    yield (
        f"{title:{width}}{'recordings':>12}{'minutes':>9}{'words':>8}{'sub':>7}{'del':>7}{'ins':>7}"
        f"{'WER %':>8}"
    )
    for g in shown:
        yield (
            f"{g.name:{width}}{g.utterances:12}{g.seconds / 60:9.1f}{g.words:8}{g.substitutions:7}"
            f"{g.deletions:7}{g.insertions:7}{100 * g.wer:8.2f}"
        )


def _confusion(found: Confusion) -> str:
    words = " → ".join(word for word in (found.said, found.heard) if word is not None)
    return f"{words} ({found.count})"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"
