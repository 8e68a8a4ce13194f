"""`python -m tests.benchmarks.word_times`: how far words' times are from their sound.

Streams a manifest through a model and compares the times of the words it heard right with references:

1. Words of a CTM file (`--ctm`, see `server.load.recordings`), such as an aligner writes.
2. Else, of a recording, or of each of its `segments` in the manifest, the first and the last word of
   what was said: the sound begins with the one and ends with the other (`stream.validation.extent`). Recordings
   whose energy does not tell are left out.

Which word is which is told from the text and from when it was emitted, not from the times compared.
"""

from __future__ import annotations

import argparse
import difflib
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.backends import default_backend, load_backend
from stream.bundled import model_path, recordings
from stream.engine.alignment import word_spans
from stream.engine.engine import Engine, Result
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import Utterance, read_manifest
from stream.model.network import open_model
from stream.validation.extent import extent
from stream.words import group, percentile

Samples = NDArray[np.float32]
BUNDLED = Path(__file__).with_name("bundled_words.ctm")
SLOTS = 8


@dataclass(frozen=True)
class Heard:
    """A word of the model, seconds; `emitted` is the end of its last token's frame."""

    text: str
    start: float
    end: float
    emitted: float


@dataclass(frozen=True)
class Reference:
    """A word that was said, and when its sound begins and ends, as far as that is known."""

    text: str
    start: float | None
    end: float | None


@dataclass(frozen=True)
class Unit:
    """Words in order, and between which seconds they are emitted."""

    words: Sequence[Reference]
    begin: float = 0.0
    over: float = float("inf")


@dataclass(frozen=True)
class Errors:
    """Of words that were heard right: seconds behind the reference, the last from its end."""

    starts: list[float]
    ends: list[float]
    overlaps: list[bool]
    lengths: list[float]
    emitted: list[float]

    def __str__(self) -> str:
        def both(values: Sequence[float]) -> str:
            sizes = [abs(value) for value in values]
            return (
                f"{statistics.median(values):+.2f} s in the median, off by "
                f"{statistics.median(sizes):.2f} s in the median and {percentile(sizes, 90):.2f} s at 90 %"
            )

        return (
            f"start: {both(self.starts)} ({len(self.starts)} words)\n"
            f"end:   {both(self.ends)} ({len(self.ends)} words)\n"
            f"over their sound: {100 * np.mean(self.overlaps):.1f} % of {len(self.overlaps)} words, "
            f"which are {statistics.median(self.lengths):.2f} s long\n"
            f"emitted {both(self.emitted)} after the end of the sound"
        )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.word_times",
        description="Compare the times of words with where they sound.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", metavar="PATH", help="model (default: the bundled one)")
    parser.add_argument(
        "--manifest", metavar="JSONL", help="recordings (default: the bundled ones)"
    )
    parser.add_argument("--ctm", metavar="F", type=Path, help="references; see above")
    parser.add_argument(
        "--padding", type=float, default=0.75, help="zeros behind, s (default: 0.75)"
    )
    parser.add_argument("--snr", type=float, metavar="DB", help="add white noise")
    parser.add_argument(
        "--gain", type=float, default=0.0, metavar="DB", help="of the speech (default: 0)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    utterances = read_manifest(arguments.manifest) if arguments.manifest else recordings()
    ctm = arguments.ctm or (None if arguments.manifest else BUNDLED)
    references = read_references(ctm) if ctm else {}
    segments = read_segments(Path(arguments.manifest)) if arguments.manifest else {}
    audio = [utterance.read() for utterance in utterances]
    units = [
        list(units_of(utterance, samples, references, segments))
        for utterance, samples in zip(utterances, audio, strict=True)
    ]
    heard = recognise(
        arguments.model or model_path(),
        [spoilt(samples, arguments.gain, arguments.snr, arguments.padding) for samples in audio],
    )
    errors = compare(heard, units)
    if not errors.starts or not errors.ends:
        print("no word was heard right of which the times are known", file=sys.stderr)
        return 3
    print(errors)
    return 0


def read_references(path: Path) -> dict[str, list[Reference]]:
    """Read a CTM file: the words of each of its files, in order."""
    found: dict[str, list[Reference]] = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith(";;"):
            file, _, start, seconds, word, _ = line.split()
            at = float(start)
            found.setdefault(file, []).append(Reference(word, at, at + float(seconds)))
    return found


def read_segments(path: Path) -> dict[str, list[Any]]:
    """Read the `segments` of a manifest, by `audio_filepath`."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {line["audio_filepath"]: line["segments"] for line in lines if "segments" in line}


def units_of(
    utterance: Utterance,
    samples: Samples,
    references: dict[str, list[Reference]],
    segments: dict[str, list[Any]],
) -> Iterator[Unit]:
    """Yield what is known of a recording."""
    for name in (utterance.id, utterance.audio.name, utterance.audio.stem):
        if name in references:
            yield Unit(references[name])
            return
    if utterance.id not in segments:
        yield Unit(by_energy(utterance.text, samples, 0.0))
        return
    of = segments[utterance.id]
    begins = [segment["start"] for segment in of]
    for segment, over in zip(of, [*begins[1:], float("inf")], strict=True):
        begin, end = (round(SAMPLE_RATE * segment[key]) for key in ("start", "end"))
        words = by_energy(segment["text"], samples[begin:end], segment["start"])
        yield Unit(words, segment["start"], over)


def by_energy(text: str, samples: Samples, begin: float) -> list[Reference]:
    """Return the words of a text; the first begins and the last ends with the sound (rule 2)."""
    words = [Reference(word, None, None) for word in text.split()]
    sound = extent(samples, len(words))
    if words and sound is not None:
        words[0] = replace(words[0], start=begin + sound[0])
        words[-1] = replace(words[-1], end=begin + sound[1])
    return words


def spoilt(samples: Samples, gain: float, snr: float | None, padding: float) -> Samples:
    """Return a recording with zeros behind it, at another level, in white noise."""
    speech = np.float32(10 ** (gain / 20)) * samples
    made = np.pad(speech, (0, round(SAMPLE_RATE * padding)))
    if snr is not None:
        power = np.mean(speech**2) * 10 ** (-snr / 10)
        noise = np.random.default_rng(len(samples)).normal(0.0, np.sqrt(power), len(made))
        made += noise.astype(np.float32)
    return made


def recognise(model: str | Path, audio: Sequence[Samples]) -> list[list[Heard]]:
    """Stream recordings, each from the data set's statistics."""
    network = open_model(model)
    engine = Engine(network, load_backend(default_backend(network), network), SLOTS)
    results: list[list[Result]] = [[] for _ in audio]
    waiting, of = iter(range(len(audio))), {}
    while True:
        while len(of) < SLOTS and (number := next(waiting, None)) is not None:
            slot = engine.open()
            assert slot is not None
            of[slot] = number
            engine.push(slot, audio[number])
            engine.finish(slot)
        if not of:
            break
        for result in engine.tick():
            results[of[result.slot]].append(result)
            if result.last:
                del of[result.slot]
                engine.close(result.slot)
    return [_words(network.vocabulary.text, of) for of in results]


def _words(text: Any, results: Sequence[Result]) -> list[Heard]:
    tokens = [token for result in results for token in result.tokens]
    texts = [text(token.id) for token in tokens]
    emitted = group(texts, [token.step for token in tokens])
    sound = word_spans(texts, [span for result in results for span in result.spans])
    return [Heard(word.text, *span, word.end) for word, span in zip(emitted, sound, strict=True)]


def compare(heard: Sequence[Sequence[Heard]], units: Sequence[Sequence[Unit]]) -> Errors:
    """Return the errors of the words that were heard right."""
    errors = Errors([], [], [], [], [])
    for words, known in zip(heard, units, strict=True):
        for unit in known:
            here = [word for word in words if unit.begin <= word.emitted < unit.over]
            for reference, word in matched(unit.words, here):
                if reference.start is not None:
                    errors.starts.append(word.start - reference.start)
                if reference.end is not None:
                    errors.ends.append(word.end - reference.end)
                    errors.emitted.append(word.emitted - reference.end)
                if reference.start is not None and reference.end is not None:
                    over = word.start < reference.end and reference.start < word.end
                    errors.overlaps.append(over)
                    errors.lengths.append(word.end - word.start)
    return errors


def matched(
    references: Sequence[Reference], heard: Sequence[Heard]
) -> Iterator[tuple[Reference, Heard]]:
    """Yield the words on which both agree."""
    texts = [word.text for word in references], [word.text for word in heard]
    matcher = difflib.SequenceMatcher(None, *texts, autojunk=False)
    for i, j, size in matcher.get_matching_blocks():
        yield from zip(references[i : i + size], heard[j : j + size], strict=True)


if __name__ == "__main__":
    raise SystemExit(main())
