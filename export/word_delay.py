"""The word delay: how late a model's tokens usually are, for words whose times the sound does not show.

No reference times are needed. Beside a pause, the sound shows when a word begins or ends, whatever the delay is
assumed to be (`stream.engine.alignment`); so the delay is the median over the words' edges beside pauses. How far a
pause is looked for depends on the delay, so the words are timed again with what was found until it stays the same.
That takes no second run of the network: tokens do not depend on the delay.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from stream.backends import load_backend
from stream.engine.alignment import word_spans
from stream.engine.emission import sounding_spans
from stream.engine.engine import Engine
from stream.engine.streams import Streams
from stream.front_end.log_mel import streamed_log_mel
from stream.manifest import Utterance
from stream.model.network import Network
from stream.model.specification import Specification
from stream.stage import Floats
from stream.words import WordDelay, group

Progress = Callable[[int, int], None]  # of recordings: done, all

FEWEST = 100  # edges; a median of fewer is unreliable
MOST = 200  # recordings that are streamed
PASSES = 20  # at most; the bundled model takes 3 to 5
PAUSE = 0.025  # seconds; a shorter gap may be a stop consonant's
SLOTS = 16


def measured(
    network: Network,
    utterances: Sequence[Utterance],
    progress: Progress | None = None,
    fewest: int = FEWEST,
) -> Network:
    """Return the network with its word delay, unchanged where there are too few words.

    A model with several lengths of chunk has a delay for each: a token comes with the end of its chunk.

    Args:
        network: of number format float32.
        utterances: recordings of speech such as the model is for. Of more than `MOST`, those of the most words are
            streamed, since the delay matters within connected speech.
        progress: called with (recordings done, recordings), each counted for every length of chunk.
        fewest: edges of words beside a pause that must be found.
    Raises:
        AudioError, ManifestError: a recording cannot be used.
    """
    most_words = sorted(utterances, key=lambda utterance: -len(utterance.text.split()))[:MOST]
    lengths = network.specification.encoder.chunk_lengths
    delays: list[WordDelay] = []
    for number, ms in enumerate(lengths):
        delay = _delay(
            network.with_chunk(ms), most_words, _part(progress, number, len(lengths)), fewest
        )
        if delay is None:
            return network
        delays.append(delay)
    found = delays[0] if len(lengths) == 1 else tuple(delays)
    specification = msgspec.structs.replace(network.specification, word_delay=found)
    return replace(network, specification=specification)


def _part(progress: Progress | None, number: int, parts: int) -> Progress | None:
    """Return the progress of one of several equal parts of a whole."""
    return progress and (lambda done, total: progress(number * total + done, parts * total))


def _delay(
    network: Network, utterances: Sequence[Utterance], progress: Progress | None, fewest: int
) -> WordDelay | None:
    """Return the word delay with the chunks in use, or None where there are too few words."""
    heard = list(_heard(network, utterances, progress))
    delay = WordDelay()
    for _ in range(PASSES):
        specification = msgspec.structs.replace(network.specification, word_delay=delay)
        starts, ends = _delays(specification, heard)
        if min(len(starts), len(ends)) < fewest:
            return None
        before, delay = delay, WordDelay(_median(starts), _median(ends))
        if delay == before:
            break
    return delay


@dataclass(frozen=True)
class _Heard:
    """What was heard in a recording: the tokens' texts and encoder frames, and the levels of the sound."""

    texts: list[str]
    steps: list[int]
    levels: Floats


def _heard(
    network: Network, utterances: Sequence[Utterance], progress: Progress | None
) -> Iterator[_Heard]:
    specification = network.specification
    engine = Engine(network, load_backend("numpy", network), SLOTS)
    streams = Streams(engine, lambda slot: engine.restart(slot, keep_statistics=False))
    chunk = specification.encoder.chunk_samples
    found = streams.run([utterance.read for utterance in utterances], chunk, progress)
    for utterance, results in zip(utterances, found, strict=True):
        levels = streamed_log_mel(utterance.read()[None], network.front_end)[0].max(-1)
        yield _Heard(
            [text for result in results for text in result.texts],
            [token.step for result in results for token in result.tokens],
            levels,
        )


def _delays(
    specification: Specification, heard: Sequence[_Heard]
) -> tuple[list[float], list[float]]:
    """Return the delays of words from their starts behind a pause, and from their ends before one."""
    seconds = specification.encoder.frame_seconds
    starts: list[float] = []
    ends: list[float] = []
    for of in heard:
        emitted = group(of.texts, of.steps)
        spans = word_spans(of.texts, sounding_spans(specification, of.levels, of.texts, of.steps))
        ended = [-PAUSE, *(span.end for span in spans)]
        begins = [*(span.start for span in spans[1:]), float("inf")]
        for word, span, before, after in zip(emitted, spans, ended, begins, strict=False):
            if span.start >= before + PAUSE:
                starts.append(seconds * word.first - span.start)
            if after >= span.end + PAUSE:
                ends.append(seconds * (word.last + 1) - span.end)
    return starts, ends


def _median(delays: Sequence[float]) -> float:
    return round(min(max(statistics.median(delays), -2.0), 2.0), 2)
