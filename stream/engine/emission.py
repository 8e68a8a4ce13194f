"""Emission latency: how long after a word has sounded its last token comes, with the end of its chunk.

What a model hears is compared with its reference: forced alignment (`stream.engine.forced_alignment`) gives the frame
of each token of the reference, and the level of the sound around it (`stream.engine.alignment`) when each word
ends. The frames alone would not do, for they are those at which the model emits: on the bundled model nine tokens
in ten come exactly there, however late that is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.engine.alignment import Alignment, Span, word_spans
from stream.engine.levels import Levels
from stream.front_end.log_mel import HOP
from stream.model.specification import Specification
from stream.stage import Floats
from stream.vocabulary import Vocabulary, texts_of
from stream.words import emission_latencies, group


def word_latencies(
    specification: Specification,
    vocabulary: Vocabulary,
    levels: Floats,
    reference: Sequence[tuple[int, int]],
    hypothesis: Sequence[tuple[int, int]],
) -> list[float]:
    """Return the emission latency of each word that reference and hypothesis share, seconds.

    It is negative where a word is emitted before its sound is over.

    Args:
        levels: (frames,) float32, the largest bin of each log-mel frame of the utterance, nats.
        reference: tokens as (id, step), the steps from a forced alignment.
        hypothesis: tokens as (id, step) as they were emitted.
    """
    said, _ = texts_of((token for token, _ in reference), vocabulary.texts)
    heard, _ = texts_of((token for token, _ in hypothesis), vocabulary.texts)
    steps = [step for _, step in reference]
    spans = word_spans(said, sounding_spans(specification, levels, said, steps))
    encoder = specification.encoder
    return emission_latencies(
        [(word.text, span.end) for word, span in zip(group(said, steps), spans, strict=True)],
        [
            (word.text, encoder.frame_seconds * encoder.chunk_end(word.last))
            for word in group(heard, [step for _, step in hypothesis])
        ],
        encoder.frame_seconds,
    )


def sounding_spans(
    specification: Specification, levels: Floats, texts: Sequence[str], steps: Sequence[int]
) -> list[Span]:
    """Return when each token of an utterance sounds, as the engine finds it for a stream.

    Args:
        levels: (frames,) float32, as in `word_latencies`.
        texts: of the tokens, a space before a new word; steps: the encoder frame of each.
    """
    encoder, front_end = specification.encoder, specification.front_end
    silence = float(np.log(specification.floor))
    ring = Levels(1, silence, encoder.chunk_samples // HOP)
    alignment = Alignment(ring, specification.usual_delay, front_end, encoder, 1)
    alignment.begin(0)
    frames = encoder.frame_samples // HOP

    def hear(until: int) -> None:
        """Go on to the end of an encoder frame."""
        due = int(alignment.due[0])
        for step in (due, until) if due <= until else (until,):
            ring.put(np.zeros(1, np.int64), levels[None, ring.count[0] : frames * (step + 1)])
            if step == due:
                alignment.settle(0)

    spans: list[Span] = []
    for text, step in zip(texts, steps, strict=True):
        hear(step)
        spans += alignment.add(0, [(text, step)], closes=False)
    hear(len(levels) // frames + 1)
    samples = HOP * len(levels) - specification.final_padding
    return [*spans, *alignment.add(0, [], closes=True, samples=samples)]
