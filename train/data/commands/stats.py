"""Count what data sets hold: hours, durations, speakers, words and characters."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import numpy as np

from train.data.commands.reading import add_reading, read
from train.data.records.durations import with_durations
from train.data.records.record import Record, strict

EXAMPLE = "train.jsonl"
EDGES = (0.0, 0.3, 1.0, 2.0, 4.0, 8.0, 12.0, 16.7, 20.0, 30.0, float("inf"))  # seconds
SHARES = (0.0, 0.01, 0.5, 0.9, 0.99, 1.0)
BAR = 40  # characters of the longest bar
SHOWN = 20  # words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="data sets, counted together")
    add_reading(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


@dataclass
class Counts:
    """What is counted; memory grows with the words and speakers, and by 4 bytes per utterance."""

    seconds: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = field(default_factory=list)
    characters: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    speakers: Counter[str] = field(default_factory=Counter)
    without_text: int = 0
    _waiting: list[float] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Count an utterance."""
        self._waiting.append(record.duration or 0.0)
        if len(self._waiting) == 1 << 16:
            self._gather()
        self.characters.update(record.text)
        self.words.update(record.text.split())
        self.speakers[record.speaker or ""] += 1
        self.without_text += not record.text.strip()

    def _gather(self) -> None:
        self.seconds.append(np.array(self._waiting, np.float32))
        self._waiting.clear()

    def durations(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Return the seconds of all utterances, sorted."""
        self._gather()
        return np.sort(np.concatenate(self.seconds))

    def summary(self) -> dict[str, object]:
        """Return the figures, of which all names say their units."""
        seconds = self.durations()
        histogram, _ = np.histogram(seconds, EDGES)
        words = self.words.total()
        return {
            "schema": "rill.train.data.stats.1",
            "utterances": len(seconds),
            "hours": round(float(seconds.sum(dtype=np.float64)) / 3600, 3),
            "without_text": self.without_text,
            "speakers": len(self.speakers.keys() - {""}),
            "without_speaker": self.speakers[""],
            "words": words,
            "vocabulary": len(self.words),
            "words_once": sum(count == 1 for count in self.words.values()),
            "seconds_by_share": {
                f"{share:.0%}": round(float(np.quantile(seconds, share)), 2) for share in SHARES
            },
            "utterances_by_seconds": {
                f"{low:g}-{high:g}": int(count)
                for low, high, count in zip(EDGES, EDGES[1:], histogram, strict=False)
            },
            "characters": dict(self.characters.most_common()),
            "most_frequent_words": dict(self.words.most_common(SHOWN)),
        }


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    counts = Counts()
    for path in arguments.inputs:
        for record in strict(with_durations(read(path, arguments))):
            counts.add(record)
    if not counts.speakers:
        print("the data sets hold no utterance", file=sys.stderr)
        return 1
    summary = counts.summary()
    print(msgspec.json.encode(summary).decode() if arguments.json else _table(summary))
    return 0


def _table(summary: dict[str, object]) -> str:
    lines = []
    for name, value in summary.items():
        if name == "schema":
            continue
        title = name.replace("_", " ")
        if not isinstance(value, dict):
            lines.append(f"{title:<18} {value}")
        elif name == "utterances_by_seconds":
            lines.append(f"{title}:")
            most = max(value.values()) or 1
            for label, count in value.items():
                lines.append(f"  {label:>8} s {'█' * round(BAR * count / most):<{BAR}} {count}")
        else:
            lines.append(f"{title}: " + ", ".join(f"{_shown(k)} {v}" for k, v in value.items()))
    return "\n".join(lines)


def _shown(key: str) -> str:
    return repr(key) if len(key) == 1 else key
