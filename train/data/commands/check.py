"""Report all faults of data sets at once: durations, texts, duplicates, speakers, recordings.

Exit status 0 if there are none, 1 if there are some. Faults go to stdout, one per line, at most
--show of a kind; then a line for each kind with its count.

1. An utterance that cannot be read, has no recording or one that cannot be decoded (--audio decode), or
   one that is not as long as the data set says.
2. Durations under --min-seconds or over --max-seconds, and more words or characters a second than anybody
   speaks: the text of another recording, most times.
3. Texts that are empty, have control characters, stray spaces or tags, or characters that the tokenizer
   has no pieces for (--tokenizer).
4. An utterance that is there twice, by its recording and part, in one set or in two.
5. A speaker who is in two sets, which are given as separate INPUTs.

--fix writes what is left of the first INPUT: utterances with a fault of 1, 2 or 4, or characters that cannot
be spelt, are left out; spaces are corrected.
"""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import msgspec

from stream.audio import AudioError
from stream.errors import ArgumentError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import ManifestError, check_length
from stream.vocabulary import Vocabulary, read_vocabulary
from train.data.commands.reading import add_reading, counted
from train.data.formats.table import FORMATS, for_output, read_records
from train.data.records.durations import with_durations
from train.data.records.record import Record, length_and_rate, name_of
from train.text.levels import SHOWN, text_rules
from train.text.transcripts import ruled

EXAMPLE = "train.jsonl dev.jsonl --tokenizer tokenizer.model --fix train-fixed.jsonl"
MOST_WORDS_A_SECOND = 7.0
MOST_CHARACTERS_A_SECOND = 40.0
BRIEF = 0.5  # seconds: below it rates of speech say nothing
THREADS = 8
AHEAD = 256  # records whose recordings are opened at once
CONTROL = ("Cc", "Cf", "Co", "Cn")  # Unicode's categories of what no text has
_TAG = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="data sets, each a separate set")
    add_reading(parser)
    parser.add_argument(
        "--tokenizer", metavar="FILE", help="report characters that this SentencePiece model lacks"
    )
    parser.add_argument(
        "--normalise",
        type=text_rules,
        metavar="RULES",
        default="as-is",
        help=f"normalise texts first, as data.text in training: {SHOWN} (default: %(default)s)",
    )
    parser.add_argument(
        "--audio",
        choices=("none", "header", "decode"),
        default="header",
        help="how much of each recording is read: nothing; its header, for its length; all of it "
        "(default: %(default)s)",
    )
    parser.add_argument("--min-seconds", type=float, default=0.1, help="(default: %(default)s)")
    parser.add_argument("--max-seconds", type=float, default=60.0, help="(default: %(default)s)")
    parser.add_argument(
        "--show",
        type=int,
        default=10,
        metavar="N",
        help="faults shown per kind (default: %(default)s)",
    )
    parser.add_argument("--fix", metavar="FILE", help="write a corrected copy of the first INPUT")


@dataclass
class Checker:
    """Finds the faults of utterances one by one.

    Attributes:
        vocabulary: of the tokenizer; None: spelling is not checked.
        spelt_as: what is done to a text before it is spelt.
        min_seconds, max_seconds: of an utterance.
    """

    vocabulary: Vocabulary | None = None
    min_seconds: float = 0.1
    max_seconds: float = 60.0
    spelt_as: Callable[[str], str] = str
    _heard: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    _speakers: dict[str, str] = field(default_factory=dict)
    _overlapping: set[str] = field(default_factory=set)

    def faults(
        self, record: Record, name: str, digest: bytes | None = None
    ) -> Iterator[tuple[str, str]]:
        """Yield (kind, what is wrong) of an utterance.

        Args:
            name: of the data set.
            digest: of the samples; None: a recording is told by its path and part.
        """
        yield from self._of_duration(record)
        yield from self._of_text(record)
        key = digest or blake2b(msgspec.json.encode((record.audio, record.part))).digest()[:10]
        if key in self._heard:
            source, line = self._heard[key]
            yield "duplicate", f"is {source}{f': line {line}' if line else ''} again"
        else:
            self._heard[key] = record.source, record.line
        if record.speaker:
            other = self._speakers.setdefault(record.speaker, name)
            if other != name and record.speaker not in self._overlapping:
                self._overlapping.add(record.speaker)
                yield "speaker overlap", f"speaker {record.speaker} is in {other} too"

    def _of_duration(self, record: Record) -> Iterator[tuple[str, str]]:
        seconds = record.duration or 0.0
        if not self.min_seconds <= seconds <= self.max_seconds:
            allowed = f"{self.min_seconds:g} to {self.max_seconds:g}"
            yield "duration", f"lasts {seconds:.3f} s, wants {allowed}"
        words, characters = len(record.text.split()), len(record.text)
        if seconds >= BRIEF and words > MOST_WORDS_A_SECOND * seconds:
            yield "pace", f"{words} words in {seconds:.2f} s: {record.text[:60]!r}"
        elif seconds >= BRIEF and characters > MOST_CHARACTERS_A_SECOND * seconds:
            yield "pace", f"{characters} characters in {seconds:.2f} s: {record.text[:60]!r}"

    def _of_text(self, record: Record) -> Iterator[tuple[str, str]]:
        text = record.text
        if not text.strip():
            yield "empty text", "the text is empty: a recording without speech"
        elif text != " ".join(text.split()):
            yield "spaces", f"stray spaces or line ends in {text[:60]!r}"
        if bad := {c for c in text if unicodedata.category(c) in CONTROL and not c.isspace()}:
            yield "control characters", f"{sorted(bad)!r} in {text[:60]!r}"
        known = self.vocabulary.symbols if self.vocabulary else ()
        if tags := [tag for tag in _TAG.findall(text) if tag not in known]:
            yield "tag", f"{tags[0]} in {text[:60]!r}"
        if self.vocabulary and (unknown := self.vocabulary.unknown(self.spelt_as(text))):
            yield "unspelt", f"the tokenizer has no {''.join(unknown)!r} of {text[:60]!r}"


# Kinds of faults for which --fix leaves an utterance out.
LEFT_OUT = frozenset({"unreadable", "recording", "duration", "pace", "duplicate", "unspelt"})


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    vocabulary = read_vocabulary(Path(arguments.tokenizer)) if arguments.tokenizer else None
    if not 0.0 <= arguments.min_seconds < arguments.max_seconds:
        raise ArgumentError(
            f"--min-seconds is {arguments.min_seconds}; want less than --max-seconds"
        )
    spelt_as = ruled(arguments.normalise, vocabulary.symbols if vocabulary else ())
    checker = Checker(vocabulary, arguments.min_seconds, arguments.max_seconds, spelt_as)
    report = _Report(arguments.show)
    rest = list(arguments.inputs)
    if arguments.fix:
        fixed = _checked(rest.pop(0), arguments, checker, report)
        count = FORMATS[for_output(arguments.fix)].write(fixed, Path(arguments.fix))
        report.notes.append(f"{arguments.fix}: {count} utterances")
    for name in rest:
        for _ in _checked(name, arguments, checker, report):
            pass
    print(report.summary())
    return 1 if report.counts else 0


def _checked(
    name: str, arguments: argparse.Namespace, checker: Checker, report: _Report
) -> Iterator[Record]:
    """Report the faults of a data set; yield its utterances as --fix writes them."""
    root = Path(arguments.root) if arguments.root else None
    try:
        found = counted(read_records(name, arguments.format, root), name)
        for record, fault, digest in _opened(with_durations(found), arguments.audio):
            report.total += 1
            if isinstance(record, ManifestError):
                report.add("unreadable", str(record))
                continue
            faults = list(checker.faults(record, name, digest))
            if fault:
                faults.append(("recording", fault))
            for kind, what in faults:
                report.add(kind, str(record.error(f"{record.id}: {what}")))
            if not LEFT_OUT & {kind for kind, _ in faults}:
                yield msgspec.structs.replace(record, text=" ".join(record.text.split()))
    except ManifestError as error:  # the set cannot be read on; the next one can
        report.add("unreadable", str(error))


class _Report:
    """Faults as they are found: the first of each kind printed, all counted."""

    def __init__(self, show: int) -> None:
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self.total = 0
        self._show = show

    def add(self, kind: str, message: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= self._show:
            print(f"{kind}: {message}")

    def summary(self) -> str:
        counts = ", ".join(f"{kind} {count}" for kind, count in self.counts.most_common())
        return "\n".join([*self.notes, f"{self.total} utterances; faults: {counts or 'none'}"])


def _opened(
    records: Iterable[Record | ManifestError], how: str
) -> Iterator[tuple[Record | ManifestError, str, bytes | None]]:
    """Yield records in their order with the fault of their recording and a digest of its samples."""
    if how == "none":
        yield from ((record, "", None) for record in records)
        return
    waiting: deque[tuple[Record | ManifestError, Future[tuple[str, bytes | None]]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for record in records:
            waiting.append((record, pool.submit(_open, record, how == "decode")))
            if len(waiting) > AHEAD:
                first, future = waiting.popleft()
                yield (first, *future.result())
        yield from ((record, *future.result()) for record, future in waiting)


def _open(record: Record | ManifestError, decode: bool) -> tuple[str, bytes | None]:
    if isinstance(record, ManifestError):
        return "", None
    try:
        if decode:
            return "", blake2b(record.read().tobytes()).digest()[:10]
        part = record.part
        seconds, _ = length_and_rate(record.audio)
        there = seconds - part.offset
        if part.seconds is not None:
            there = min(there, part.seconds)
        check_length(
            round(max(there, 0.0) * SAMPLE_RATE),
            record.duration or 0.0,
            part,
            name_of(record.audio),
            (Path(record.source), record.line),
        )
    except ManifestError as error:
        return error.message, None
    except (AudioError, OSError) as error:
        return str(error), None
    return "", None
