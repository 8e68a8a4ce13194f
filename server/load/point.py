"""A point of the curve: the figures of one number of streams, and whether it holds.

Percentiles are sorted[int(n p / 100)], 50 the median. Latencies are in milliseconds; CPU is in
seconds of CPU per second, so 1.0 is one core; None was not measured.

1. CL, compute latency: from sending a chunk of 60 ms to receiving its response. A chunk without a
   response until the end counts with the time it has waited, so that missing responses count as slow.
2. UPL, user-perceived latency: from the end of a spoken word to the time from which it no longer
   changes in the text, for words on which the reference and the final text agree.
3. The backlog is the number of chunks sent and not answered, per stream. It grows if its mean over the
   last quarter of the measurement is half a chunk above that over the first.
4. Words of streams that ended are compared with the text of the same recording streamed alone. Missing
   words are lost; substituted or extra words are changed. Of a stream that was still running, the final
   words (except the last, which may be incomplete) are compared with the beginning of that text.
5. A point holds if CL99 is within the limit, the backlog does not grow, and no stream was refused or
   failed. Different words are reported but not part of the condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from stream.error_rate import word_error_rate
from stream.words import percentile

GROWTH = 0.5  # chunks a stream


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement.

    Attributes:
        streams: at a time.
        seconds: measured, ramp-up excluded.
        chunks: whose latency was measured.
        cl50_ms, cl90_ms, cl99_ms: rule 1.
        upl50_ms, upl90_ms, upl99_ms: rule 2; `upl_words`: of how many words.
        words, lost_words, changed_words: rule 4.
        backlog: mean of the last quarter, rule 3; `backlog_grows`.
        refused: the reason, where the server did not take a stream.
        failed: streams that did not end well; `failure`: the first reason.
        server_cpu, server_memory_mb: of the server's processes; memory is the highest.
        client_cpu: of this process.
        late99_ms: how late the client sent, 99th percentile; where this is no longer small against
            the latencies, the client needs more CPU.
    """

    streams: int
    seconds: float
    chunks: int = 0
    cl50_ms: float | None = None
    cl90_ms: float | None = None
    cl99_ms: float | None = None
    upl50_ms: float | None = None
    upl90_ms: float | None = None
    upl99_ms: float | None = None
    upl_words: int = 0
    words: int = 0
    lost_words: int = 0
    changed_words: int = 0
    backlog: float = 0.0
    backlog_grows: bool = False
    refused: str | None = None
    failed: int = 0
    failure: str | None = None
    server_cpu: float | None = None
    server_memory_mb: float | None = None
    client_cpu: float = 0.0
    late99_ms: float | None = None

    @property
    def words_differ(self) -> bool:
        """A word was lost or changed."""
        return self.lost_words + self.changed_words > 0


class Heard(msgspec.Struct, frozen=True):
    """What a stream said: its final text, the text of the recording alone, and if it had ended."""

    text: str
    alone: str
    ended: bool


def percentiles(seconds: Iterable[float]) -> tuple[float, float, float] | tuple[None, None, None]:
    """Return the 50th, 90th and 99th percentile in ms; of nothing, None."""
    ordered = sorted(seconds)
    if not ordered:
        return None, None, None
    low, middle, high = (round(1000 * percentile(ordered, p), 3) for p in (50, 90, 99))
    return low, middle, high


def grows(backlog: Sequence[float]) -> bool:
    """Return whether a backlog grows (rule 3), from its values at equal distances."""
    quarter = len(backlog) // 4
    if quarter == 0:
        return False
    return float(np.mean(backlog[-quarter:]) - np.mean(backlog[:quarter])) > GROWTH


def compare(heard: Iterable[Heard]) -> tuple[int, int, int]:
    """Return the words compared, lost and changed (rule 4)."""
    wanted, found = [], []
    for stream in heard:
        hypothesis, reference = stream.text.split(), stream.alone.split()
        if not stream.ended:
            hypothesis = hypothesis[:-1]
            reference = reference[: len(hypothesis)]
        wanted.append(" ".join(reference))
        found.append(" ".join(hypothesis))
    rate = word_error_rate(wanted, found)
    return rate.words, rate.deletions, rate.substitutions + rate.insertions


def holds(point: Point, cl99_ms: float) -> bool:
    """Return whether a point is good enough (rule 5)."""
    return (
        point.cl99_ms is not None
        and point.cl99_ms <= cl99_ms
        and not point.backlog_grows
        and point.refused is None
        and point.failed == 0
    )
