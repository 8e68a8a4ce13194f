"""A trial: updates of a run, its largest batch and a part of its validation, timed and measured.

The model that learns is thrown away afterwards.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import statistics
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from stream.front_end.log_mel import SAMPLE_RATE
from stream.vocabulary import Vocabulary
from train.compute.memory import bytes_of, memory_of
from train.data.rows import Batch
from train.run.data_wait import timed
from train.run.learner import Learner
from train.run.material import Material
from train.validation.scoring import activations_of, scored

TURNS = 1000  # batches that the largest is looked for among
UPDATES = 8
AHEAD = (
    8  # updates, more than are drawn ahead: drawing goes on beside the last update that is timed
)
SECONDS = 60.0  # after which no other update is begun
DRAWN = 4  # batches, by one process
VALIDATED = 24  # utterances


class Shape(NamedTuple):
    """The rows of a batch, and the seconds that each is padded to."""

    rows: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """What was measured.

    Attributes:
        update_seconds: of an update, its wait for data included.
        wait_seconds: of these, for data, which is drawn meanwhile.
        audio_seconds: of audio in an update; the mean.
        validation_seconds: of a validation, scaled from `VALIDATED` utterances by length.
        largest: the shape of the largest batch that was found.
        state_bytes: of weights, their averages, gradients and the optimiser's moments.
        held_bytes: of the process between updates, all of this and the recordings included.
        needed_bytes: of the process while it learns from the largest batch.
        measured: whether that is measured, or expected, since it is more than there is.
    """

    update_seconds: float
    wait_seconds: float
    audio_seconds: float
    validation_seconds: float
    largest: Shape
    state_bytes: int
    held_bytes: int
    needed_bytes: int
    measured: bool


def tried(learner: Learner, material: Material, vocabulary: Vocabulary, end: int) -> Trial:
    """Learn from some batches, the largest last.

    Args:
        learner: of the run, at the update that it would go on from.
        material, vocabulary: of the run.
        end: its last update.
    """
    learner.freezing.release()  # an update takes longer, and more memory, once all parts learn
    first, parts = learner.update, material.batches.parts
    turns = range(first * parts, max(end, first + 1) * parts)
    memory = memory_of(learner.device)
    times, waits, audio, peaks = [], [], [], []
    drawn = learner.drawn(first + UPDATES + AHEAD)
    began = time.perf_counter()
    with contextlib.closing(drawn):
        for number, (waited, batches) in enumerate(itertools.islice(timed(drawn), UPDATES)):
            before, start = memory.held(), time.perf_counter()
            peak = memory.peak_during(functools.partial(learner.learn, batches))
            if number:  # the first one compiles kernels and allocates the optimiser's moments
                waits.append(waited)
                times.append(time.perf_counter() - start)
                peaks.append((peak - before) / max(map(padded_samples, batches)))
            audio.append(sum(float(batch.samples.sum()) for batch in batches) / SAMPLE_RATE)
            if times and time.perf_counter() - began > SECONDS:
                break
    some = turns[:: max(1, len(turns) // TURNS)]
    planned = [
        material.batches.padded_seconds(turns[0] + each) for each in range(len(audio) * parts)
    ]
    lengths = [material.batches.padded_seconds(each) for each in some]
    usual = parts * float(np.mean(lengths))
    # These few batches may be short or long: what they took is scaled to the usual length.
    learning = sum(times) / sum(planned[parts:]) * usual
    # The first batches were drawn while kernels were compiled; later ones come as fast as they are drawn.
    drawing = parts * drawing_seconds(material, turns) / max(material.workers, 1)
    waiting = max(statistics.median(waits), drawing - learning, 0.0)
    largest = material.batches.batch(some[int(np.argmax(lengths))])
    between = memory.held()
    needed = between + round(max(peaks) * padded_samples(largest))
    fits = needed < memory.there()
    if fits:
        needed = memory.peak_during(functools.partial(learner.learn, [largest]))
    return Trial(
        learning + waiting,
        waiting,
        sum(audio) / sum(planned) * usual,
        validation_seconds(learner, material, vocabulary),
        Shape(len(largest.samples), int(largest.samples.max()) / SAMPLE_RATE),
        bytes_of(learner.objective.state_dict()) * 2
        + bytes_of(learner.average.state_dict())
        + bytes_of(learner.optimiser.state_dict()),
        between,
        needed,
        fits,
    )


def padded_samples(batch: Batch) -> int:
    """Return the samples of a batch's rows, padded to one length."""
    return len(batch.samples) * int(batch.samples.max())


def drawing_seconds(material: Material, turns: range) -> float:
    """Return how long one process takes to draw a batch, the mean of a few."""
    began = time.perf_counter()
    for part in range(DRAWN):
        material.batches.batch(turns[len(turns) * part // DRAWN])
    return (time.perf_counter() - began) / DRAWN


def validation_seconds(learner: Learner, material: Material, vocabulary: Vocabulary) -> float:
    """Return how long a validation takes, from that of some utterances, drawn evenly."""
    step = max(1, len(material.dev) // VALIDATED)
    some = replace(material, dev=material.dev[::step], dev_audio=material.dev_audio[::step])
    own = learner.model.specification.activation
    began = time.perf_counter()
    with torch.inference_mode():
        scored(learner.averaged(own), learner.normaliser, vocabulary, some)
    took = time.perf_counter() - began
    whole, part = (sum(map(len, each.dev_audio)) for each in (material, some))
    times = len(activations_of(own)) + len(learner.model.specification.heads) - 1
    return took * times * whole / max(part, 1)
