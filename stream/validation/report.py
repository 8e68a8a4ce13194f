"""What a validation found: of every recording, of each corpus and length, and of all.

Words are aligned once, utterance by utterance; the word error rates of all tables come from that alignment.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stream.engine.alignment import Span
from stream.error_rate import (
    ErrorRate,
    Pair,
    aligned_words,
    character_error_rate,
    has_ideographs,
    mixed_error_rate,
)
from stream.validation.latency import Latency
from stream.validation.punctuation import MARKS, punctuation_errors

SCHEMA = "rill.validation/1"
LENGTHS = (2.0, 5.0, 10.0, 20.0, 60.0)  # seconds, between the groups of recordings
CONFUSIONS = 100  # the most frequent ones


@dataclass(frozen=True)
class Outcome:
    """One utterance.

    Attributes:
        id: of the utterance.
        reference, hypothesis: what was said, and what was heard.
        tokens, steps: ids of the tokens heard, and the encoder frame of each.
        times: when each word of the hypothesis sounds, seconds.
        corpus: where the data set names it.
        seconds: of audio.
    """

    id: str
    reference: str
    hypothesis: str
    tokens: list[int]
    steps: list[int]
    times: list[Span]
    corpus: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Difference:
    """Where streaming and the training forward part.

    Attributes:
        id: of the utterance.
        index: of the first token that differs.
        step: encoder frame of the earlier of the two tokens there.
        streamed, trained: (token, step) of each, or None past its last token.
    """

    id: str
    index: int
    step: int
    streamed: tuple[int, int] | None
    trained: tuple[int, int] | None


@dataclass(frozen=True)
class Group:
    """The error rate of some of the recordings.

    Attributes:
        name: of a corpus, or a range of lengths.
        utterances, seconds: how many recordings, and how much audio.
        words, substitutions, deletions, insertions, wer: as in `Report`.
    """

    name: str
    utterances: int
    seconds: float
    words: int
    substitutions: int
    deletions: int
    insertions: int
    wer: float


@dataclass(frozen=True)
class Confusion:
    """A word that was heard as another, `heard` None: not at all; `said` None: a word that nobody said."""

    said: str | None
    heard: str | None
    count: int


@dataclass(frozen=True)
class Report:
    """What a validation found; rates are fractions, see `stream.error_rate`.

    Attributes:
        scored: whether there are references; without them every rate but `rtf` is nan.
        wer, substitutions, deletions, insertions, words: of the words.
        cer: of the characters.
        mer: of words, ideographs counted one by one; None: the references have none.
        per: of punctuation (`stream.validation.punctuation`); None: the references have none.
        rtf: seconds of front end, network and decoder, without the decoding of audio files, over seconds of audio.
        utterances: one by one.
        corpora, lengths: the same by corpus and by length, in groups that have a recording.
        confusions: the most frequent first.
        latency: of the emission of words; None: it was not measured.
        differences: from the training forward, if that was compared.
    """

    scored: bool
    wer: float
    substitutions: int
    deletions: int
    insertions: int
    words: int
    cer: float
    mer: float | None
    per: float | None
    rtf: float
    utterances: list[Outcome]
    corpora: list[Group] = field(default_factory=list)
    lengths: list[Group] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    latency: Latency | None = None
    differences: list[Difference] = field(default_factory=list)

    @property
    def different(self) -> int:
        """Utterances whose tokens differ from the training forward's."""
        return len(self.differences)


def report_of(
    outcomes: Sequence[Outcome],
    rtf: float,
    *,
    scored: bool = True,
    form: Callable[[str], str] = str,
    latency: Latency | None = None,
    differences: Sequence[Difference] = (),
) -> Report:
    """Score what was heard.

    Args:
        outcomes: of the recordings.
        rtf: real-time factor, for the report.
        scored: whether the references are what was said.
        form: brings a text to the form in which it is scored; punctuation is scored as it is.
        latency, differences: for the report.
    """
    found = list(outcomes)
    if not scored:
        nan = math.nan
        return Report(
            *(False, nan, 0, 0, 0, 0, nan, None, None, rtf, found),
            latency=latency,
            differences=list(differences),
        )
    said, heard = [form(o.reference) for o in found], [form(o.hypothesis) for o in found]
    pairs = aligned_words(said, heard)
    rate = ErrorRate.of(pair for row in pairs for pair in row)
    marks = None
    if any(mark in o.reference for o in found for mark in MARKS):
        marks = punctuation_errors([o.reference for o in found], [o.hypothesis for o in found])
    return Report(
        True,
        rate.wer,
        rate.substitutions,
        rate.deletions,
        rate.insertions,
        rate.words,
        character_error_rate(said, heard).wer,
        mixed_error_rate(said, heard).wer if any(map(has_ideographs, said)) else None,
        None if marks is None else marks.rate,
        rtf,
        found,
        _groups(found, pairs, [o.corpus or "unnamed" for o in found]),
        _groups(found, pairs, [_length(o.seconds) for o in found], _LENGTH_NAMES),
        _confusions(pair for row in pairs for pair in row),
        latency,
        list(differences),
    )


def content(report: Report) -> dict[str, Any]:
    """Return a report as JSON's types; a rate that is not finite is null."""
    found: dict[str, Any] = _finite(asdict(report))
    return {"schema": SCHEMA, **found, "different": report.different}


def _groups(
    outcomes: Sequence[Outcome],
    pairs: Sequence[Sequence[Pair]],
    names: Sequence[str],
    order: Sequence[str] | None = None,
) -> list[Group]:
    members: dict[str, list[int]] = {name: [] for name in order or ()}
    for i, name in enumerate(names):
        members.setdefault(name, []).append(i)
    groups = []
    for name, rows in members.items():
        rate = ErrorRate.of(pair for i in rows for pair in pairs[i])
        edits = rate.substitutions, rate.deletions, rate.insertions
        seconds = sum(outcomes[i].seconds for i in rows)
        groups.append(Group(name, len(rows), seconds, rate.words, *edits, rate.wer))
    return [group for group in groups if group.utterances]


def _length(seconds: float) -> str:
    return _LENGTH_NAMES[sum(seconds >= bound for bound in LENGTHS)]


_LENGTH_NAMES = (
    f"under {LENGTHS[0]:g} s",
    *(f"{low:g} to {high:g} s" for low, high in zip(LENGTHS, LENGTHS[1:], strict=False)),
    f"{LENGTHS[-1]:g} s and more",
)


def _confusions(pairs: Iterable[Pair]) -> list[Confusion]:
    counts = Counter(pair for pair in pairs if pair[0] != pair[1])
    return [Confusion(*pair, count) for pair, count in counts.most_common(CONFUSIONS)]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
