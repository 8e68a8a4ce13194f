"""How late a model's tokens usually are, which places words where sound alone does not.

Nobody has to say when the words of a recording sound: most of them have an edge that shows it
(`stream.engine.alignment`), so the median over what the model hears tells. It is taken again with the first
result in place, which matters where words follow one another without pauses.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from stream.backends import load_backend
from stream.engine.alignment import word_spans
from stream.engine.engine import Engine, Result
from stream.manifest import Utterance
from stream.model.network import Network
from stream.words import WordDelay, group

__all__ = ["FEWEST", "MOST", "measured"]

FEWEST = 100  # words, of which a second of audio has one or more; of fewer a median says little
MOST = 200  # recordings that are heard
PASSES = 2


def measured(
    network: Network,
    utterances: Sequence[Utterance],
    progress: Callable[[int, int], None] | None = None,
    fewest: int = FEWEST,
) -> Network:
    """Return the network with its word delay, or as it is where too little is said.

    Args:
        network: of number format float32.
        utterances: recordings of speech such as the model is for; `MOST` of them are heard.
        progress: called with (recordings done, recordings).
        fewest: words that must be heard.
    Raises:
        AudioError, ManifestError: a recording cannot be used.
    """
    heard = utterances[:: max(1, len(utterances) // MOST)][:MOST]
    if sum(utterance.duration for utterance in heard) < fewest:
        return network
    found = _with(network, None)
    for done in range(PASSES):

        def count(n: int, before: int = done * len(heard)) -> None:
            if progress:
                progress(before + n, PASSES * len(heard))

        starts, ends = _delays(found, heard, count)
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
    engine = Engine(network, load_backend("numpy", network), 1)
    slot = engine.open() or 0
    starts: list[float] = []
    ends: list[float] = []
    for done, utterance in enumerate(utterances, 1):
        engine.push(slot, utterance.read())
        engine.finish(slot)
        results: list[Result] = []
        while engine.pending():
            results += engine.tick()
        engine.restart(slot, keep_statistics=False)
        tokens = [token for result in results for token in result.tokens]
        texts = [text for result in results for text in result.texts]
        emitted = group(texts, [token.step for token in tokens])
        sound = word_spans(texts, [span for result in results for span in result.spans])
        for word, span in zip(emitted, sound, strict=True):
            starts.append(word.start - span.start)
            ends.append(word.end - span.end)
        progress(done)
    return starts, ends
