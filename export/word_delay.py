"""The word delay of a model that is exported, measured on the recordings it is validated with.

How: `stream.validation.word_delay`. It takes no second run of the network: tokens do not depend on the delay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec

from stream.backends import load_backend
from stream.engine.engine import Engine
from stream.engine.streams import Streams
from stream.front_end.log_mel import streamed_log_mel
from stream.manifest import Utterance
from stream.model.network import Network
from stream.validation.word_delay import FEWEST, Emitted, word_delay
from stream.words import WordDelay

Progress = Callable[[int, int], None]  # of recordings: done, all

MOST = 200  # recordings that are streamed
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
        own = network.with_chunk(ms)
        heard = list(_heard(own, most_words, _part(progress, number, len(lengths))))
        delay = word_delay(own.specification, heard, fewest)
        if delay is None:
            return network
        delays.append(delay)
    found = delays[0] if len(lengths) == 1 else tuple(delays)
    specification = msgspec.structs.replace(network.specification, word_delay=found)
    return replace(network, specification=specification)


def _part(progress: Progress | None, number: int, parts: int) -> Progress | None:
    """Return the progress of one of several equal parts of a whole."""
    return progress and (lambda done, total: progress(number * total + done, parts * total))


def _heard(
    network: Network, utterances: Sequence[Utterance], progress: Progress | None
) -> Iterator[Emitted]:
    specification = network.specification
    engine = Engine(network, load_backend("numpy", network), SLOTS)
    streams = Streams(engine, lambda slot: engine.restart(slot, keep_statistics=False))
    chunk = specification.encoder.chunk_samples
    found = streams.run([utterance.read for utterance in utterances], chunk, progress)
    for utterance, results in zip(utterances, found, strict=True):
        levels = streamed_log_mel(utterance.read()[None], network.front_end)[0].max(-1)
        yield Emitted(
            [text for result in results for text in result.texts],
            [token.step for result in results for token in result.tokens],
            levels,
        )
