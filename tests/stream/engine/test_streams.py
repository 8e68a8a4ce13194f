"""Streams in an engine's slots: side by side, one after another, and behind what a slot heard."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.backends import load_backend
from stream.encoders.lstm import LSTM
from stream.engine.engine import Engine
from stream.engine.streams import Streams
from tests.server.scripted import pcm, samples_of, talking_network

CHUNK = LSTM.chunk_samples

Samples = NDArray[np.float32]
RECORDINGS = [samples_of(pcm(seconds, seed)) for seed, seconds in enumerate((0.9, 0.5, 1.3, 0.7))]


def engine(slots: int, front_end: str = "float") -> Engine:
    network = talking_network()
    return Engine(network, load_backend("numpy", network), slots, None, front_end)  # type: ignore[arg-type]


def texts(of: Engine, source: int | None = None) -> list[str]:
    def begin(slot: int) -> None:
        if source is None:
            of.restart(slot, keep_statistics=False)
        else:
            of.follow(slot, source)

    results = Streams(of, begin).run([lambda x=x: x for x in RECORDINGS], 1000)
    return ["".join(r.text for r in some) for some in results]


def hear(of: Engine, samples: Samples) -> int:
    slot = of.open()
    assert slot is not None
    of.push(slot, samples)
    while of.pending():
        of.tick()
    return slot


def test_recordings_say_the_same_however_many_slots_there_are() -> None:
    want = texts(engine(1))
    assert all(want)
    assert texts(engine(3)) == want and texts(engine(9)) == want


def test_all_slots_are_free_again_afterwards() -> None:
    of = engine(3)
    texts(of)
    assert [of.open() for _ in range(4)] == [0, 1, 2, None]


@pytest.mark.parametrize("front_end", ["float", "fixed"])
def test_behind_another_slot_is_as_if_its_sound_had_come_first(front_end: str) -> None:
    of = engine(4, front_end)
    lead = talking_network().specification.front_end.lead
    before = samples_of(pcm(1.2, 9))[: lead + 12 * CHUNK]
    source = hear(of, before)
    got = texts(of, source)
    assert got != texts(of)
    for recording, text in zip(RECORDINGS, got, strict=True):
        alone = engine(1, front_end)
        slot = hear(alone, before)
        alone.push(slot, recording)
        alone.finish(slot)
        said = []
        while alone.pending():
            said += [token for result in alone.tick() for token in result.tokens]
        vocabulary = talking_network().vocabulary
        # The transcript before is no part of a stream that follows, nor is its prediction state.
        assert len(text.split()) == pytest.approx(
            len(vocabulary.decode([t.id for t in said]).split()), abs=2
        )


def test_the_slot_that_is_followed_stays_as_it_is() -> None:
    of = engine(4)
    source = hear(of, samples_of(pcm(1.2, 9)))
    first = texts(of, source)
    assert texts(of, source) == first


def test_a_slot_that_is_not_open_cannot_be_followed() -> None:
    of = engine(2)
    slot = of.open()
    assert slot == 0
    with pytest.raises(ValueError, match="channel 1 is not open"):
        of.follow(0, 1)
