"""From a corpus as it was published to manifests: one pass, in constant memory, all or nothing.

    OUTPUT/train.jsonl, dev.jsonl, ...   one for each set of the corpus, by its name there
    OUTPUT/left-out.tsv                  set, path and reason of every recording that is not in them

A recording is left out, and counted as faulty, where its file is missing or no recording, is cut short or
of no known length, or where it has no text. If more than the allowed share is faulty nothing is written
but this list. Lengths come from headers; no audio is decoded.

Recordings below the folder of the manifest are named relative to it, others by their absolute path.
"""

from __future__ import annotations

import fnmatch
import itertools
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import msgspec

from stream.audio import AudioError, Recording
from stream.errors import InputError
from train.data.corpora.layout import Item, LayoutError, PublishedCorpus
from train.data.records.files import write_whole

LEFT_OUT = "left-out.tsv"
TOGETHER = 512  # items whose headers are read at a time
SHOWN = 5  # faults in a message


class FaultyError(InputError):
    """More recordings are faulty than is allowed."""


@dataclass
class SetSummary:
    """What one manifest holds: recordings, their seconds, and the names of their speakers."""

    recordings: int = 0
    seconds: float = 0.0
    speakers: set[str] = field(default_factory=set)


@dataclass
class Prepared:
    """What was prepared.

    Attributes:
        sets: by name.
        faults: number of recordings left out as faulty.
        repeated: number left out since their sentence had been recorded often enough.
        skipped: number left out by a pattern.
        listed: paths of a list of recordings that were not found.
    """

    sets: dict[str, SetSummary] = field(default_factory=lambda: defaultdict(SetSummary))
    faults: int = 0
    repeated: int = 0
    skipped: int = 0
    listed: set[str] = field(default_factory=set)

    def count(self, item: Item, seconds: float) -> None:
        """Count a recording that is in a manifest."""
        summary = self.sets[item.split]
        summary.recordings += 1
        summary.seconds += seconds
        if item.speaker is not None:
            summary.speakers.add(item.speaker)


class _Line(msgspec.Struct, omit_defaults=True):
    audio_filepath: str
    text: str
    duration: float
    corpus: str
    speaker: str | None = None


def prepare(
    name: str,
    corpus: PublishedCorpus,
    root: Path,
    output: Path,
    *,
    allow: float = 0.0,
    duplicates: int | None = None,
    skip: Sequence[str] = (),
    only: Mapping[str, str] | None = None,
    workers: int = 8,
    progress: Callable[[int], None] = lambda _: None,
) -> Prepared:
    """Write the manifests of a corpus.

    Args:
        name: of the corpus, which every line carries.
        corpus: its reader.
        root: folder in which it was unpacked.
        output: folder of the manifests, made if need be.
        allow: share of recordings, 0 to 1, that may be faulty.
        duplicates: most recordings of one sentence in the training set; None: all.
        skip: patterns (`fnmatch`) of paths, relative to the root, that are left out.
        only: sets by path, relative to the root and without what follows the last dot; other recordings are
            left out. None: all, in the sets of the corpus.
        workers: threads that read headers.
        progress: told the number of recordings looked at, now and then.
    Raises:
        LayoutError: the folder is not as the corpus was published, or lists no recording.
        FaultyError: more than the share is faulty; `left-out.tsv` lists them.
    """
    root = root.absolute()
    output.mkdir(parents=True, exist_ok=True)
    (output / LEFT_OUT).unlink(missing_ok=True)
    prepared, seen = Prepared(), 0
    reasons: list[str] = []
    manifests: dict[str, BinaryIO] = {}
    items = corpus.read(root, duplicates)
    if only is not None:
        prepared.listed = set(only)
        items = _listed(items, root, only, prepared.listed)
    items = _wanted(items, root, skip, duplicates, prepared)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        while batch := list(itertools.islice(items, TOGETHER)):
            for item, measured in zip(batch, pool.map(_measure, batch), strict=True):
                if isinstance(measured, str):
                    prepared.faults += 1
                    if not reasons:
                        left_out = stack.enter_context(
                            (output / LEFT_OUT).open(
                                "w", encoding="utf-8", errors="backslashreplace"
                            )
                        )
                    left_out.write(f"{item.split}\t{item.audio}\t{measured}\n")
                    if len(reasons) < SHOWN:
                        reasons.append(f"{item.audio}: {measured}")
                    continue
                if item.split not in manifests:
                    path = output / f"{item.split}.jsonl"
                    manifests[item.split] = stack.enter_context(write_whole(path))
                line = _Line(
                    _shown(item.audio, output), item.text, round(measured, 4), name, item.speaker
                )
                manifests[item.split].write(msgspec.json.encode(line) + b"\n")
                prepared.count(item, measured)
            seen += len(batch)
            progress(seen)
        if not seen:
            raise LayoutError(
                f"{root}: no recording is listed, or none that --skip and --only leave"
            )
        if prepared.faults > allow * seen:
            share = prepared.faults / seen
            raise FaultyError(
                f"{prepared.faults} of {seen} recordings are faulty, {share:.2%}; {allow:.2%} may be. "
                f"All of them: {output / LEFT_OUT}. The first:\n  "
                + "\n  ".join(reasons)
                + f"\nTo leave them out: --allow {math.ceil(1e4 * share) / 1e4}"
            )
    return prepared


def read_list(path: Path) -> dict[str, str]:
    """Read lines `SET PATH`; returns the sets by path, without what follows the last dot.

    Raises:
        InputError: it cannot be read, or a line is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    sets = {}
    for number, line in enumerate(lines, 1):
        name, _, recording = line.strip().partition(" ")
        if not recording or not name.isidentifier():
            raise InputError(
                f"{path}: line {number} is {line[:100]!r}; want SET PATH, as in: dev yes/a.wav"
            )
        sets[str(Path(recording).with_suffix(""))] = name
    return sets


def _listed(
    items: Iterator[Item], root: Path, only: Mapping[str, str], missing: set[str]
) -> Iterator[Item]:
    """Yield the items of a list, in its sets, and take them off what is missing."""
    for item in items:
        path = os.path.relpath(item.audio.with_suffix(""), root)
        if path in only:
            missing.discard(path)
            yield replace(item, split=only[path])


def _wanted(
    items: Iterator[Item],
    root: Path,
    skip: Sequence[str],
    duplicates: int | None,
    prepared: Prepared,
) -> Iterator[Item]:
    """Yield the items that no pattern leaves out, and not more than so many of one sentence."""
    times: Counter[str] = Counter()
    for item in items:
        path = os.path.relpath(item.audio, root)
        if any(fnmatch.fnmatch(path, pattern) for pattern in skip):
            prepared.skipped += 1
            continue
        if duplicates is not None and item.split.startswith("train"):
            times[item.text] += 1
            if times[item.text] > duplicates:
                prepared.repeated += 1
                continue
        yield item


def _measure(item: Item) -> float | str:
    """Return the seconds of a recording, or why it is faulty."""
    if not item.text:
        return "has no text"
    if not item.audio.is_file():
        return "is missing"
    if not str(item.audio).isprintable():  # a name that is not UTF-8, too: JSON could not hold it
        return "has a name with characters that cannot be printed"
    try:
        with Recording(item.audio) as recording:
            seconds: float | None = recording.seconds
    except AudioError as error:
        return error.fault
    if not seconds:
        return "has no known length" if seconds is None else "holds no sample"
    return seconds


def _shown(audio: Path, output: Path) -> str:
    base = output.absolute()
    return str(audio.relative_to(base)) if audio.is_relative_to(base) else str(audio)
