"""The word delay: how late a model's tokens usually are, for words whose times the sound does not show.

No reference times are needed: most words have an edge in the sound that shows when they begin or end
(`stream.engine.alignment`), so the delay is a median over them. It is measured a second time with the first
result in place, which matters if words follow one another without pauses.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from stream.engine.alignment import word_spans
from stream.manifest import Utterance
from stream.model.network import Network
from stream.recogniser import Recogniser
from stream.words import WordDelay, group

FEWEST = 100  # words, at least one a second of audio; a median of fewer is unreliable
MOST = 200  # recordings that are streamed
PASSES = 2


def measured(
    network: Network,
    utterances: Sequence[Utterance],
    progress: Callable[[int, int], None] | None = None,
    fewest: int = FEWEST,
) -> Network:
    """Return the network with its word delay, unchanged where there are too few words.

    Args:
        network: of number format float32.
        utterances: recordings of speech such as the model is for; at most `MOST` of them are streamed.
        progress: called with (recordings done, recordings).
        fewest: words that must be recognised.
    Raises:
        AudioError, ManifestError: a recording cannot be used.
    """
    streamed = utterances[:: max(1, len(utterances) // MOST)][:MOST]
    if sum(utterance.duration for utterance in streamed) < fewest:
        return network
    found = _with(network, None)
    for done in range(PASSES):

        def count(n: int, before: int = done * len(streamed)) -> None:
            if progress:
                progress(before + n, PASSES * len(streamed))

        starts, ends = _delays(found, streamed, count)
        if len(starts) < fewest:
            return network
        start, end = (round(statistics.median(delays), 2) for delays in (starts, ends))
        found = _with(network, WordDelay(start, end))
    return found


def _with(network: Network, delay: WordDelay | None) -> Network:
    specification = msgspec.structs.replace(network.specification, word_delay=delay)
    return replace(network, specification=specification)


def _delays(
    network: Network, utterances: Sequence[Utterance], progress: Callable[[int], None]
) -> tuple[list[float], list[float]]:
    """Return the delays of all words from their starts and from their ends."""
    recogniser = Recogniser(network, "numpy")
    starts: list[float] = []
    ends: list[float] = []
    for done, utterance in enumerate(utterances, 1):
        results = recogniser.stream(utterance.read())
        recogniser.reset()
        tokens = [token for result in results for token in result.tokens]
        texts = [text for result in results for text in result.texts]
        emitted = group(texts, [token.step for token in tokens])
        sound = word_spans(texts, [span for result in results for span in result.spans])
        for word, span in zip(emitted, sound, strict=True):
            starts.append(word.start - span.start)
            ends.append(word.end - span.end)
        progress(done)
    return starts, ends
