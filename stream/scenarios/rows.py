"""The scenarios: the word error rate of a manifest under each condition, and the words that noise invents.

    noise      after 30 and 300 s of each noise, at -60, -50 and -40 dBFS
    levels     10 to 40 dB below the recordings' level, and the same rounded to 16 bits
    telephone  8 kHz, and G.711 by either law
    tones      DTMF and other tones after digital silence: words per minute
    stream     all recordings in random order, since manifests are often sorted by word, as one stream that is
               never reset, with pauses between them and without

Each recording starts from the data set's statistics, except in `stream`. After noise it continues from the
state of a slot that heard the noise, one of several in turn, each at another moment of it: what the model
makes of one moment, such as half a word of babble, is not counted for all recordings. Each row is compared
with the same recordings without the condition.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stream.audio import g711
from stream.engine.engine import Engine
from stream.engine.streams import Streams
from stream.error_rate import ErrorRate, word_error_rate
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import Utterance
from stream.scenarios import signals
from stream.stage import Floats

SCENARIOS = ("noise", "levels", "telephone", "tones", "stream")
NOISE_SECONDS = (30.0, 300.0)
NOISE_DBFS = (-60.0, -50.0, -40.0)
LEVELS_DB = (-10.0, -20.0, -30.0, -40.0)
TONE_SECONDS = 60.0
MOMENTS = tuple(1.0 - 0.02 * k for k in range(8))  # of a noise's length, at which recordings begin
PAUSE_SECONDS = 0.5
PAUSE_DBFS = -60.0  # of the white noise in a pause
PUSHED = 6 * SAMPLE_RATE  # samples handed in at once


@dataclass(frozen=True)
class Row:
    """A condition.

    Attributes:
        scenario: of `SCENARIOS`, or "plain".
        name: of the condition.
        wer, substitutions, deletions, insertions, words: of the recordings; None: none were heard.
        plain_wer: of the same recordings without the condition.
        invented: words said in noise or tones alone, and in how many minutes; None: there was none.
        minutes: of noise or tones.
    """

    scenario: str
    name: str
    wer: float | None = None
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    words: int = 0
    plain_wer: float | None = None
    invented: int | None = None
    minutes: float = 0.0


def scenario_rows(
    engine: Engine,
    utterances: Sequence[Utterance],
    scenarios: Sequence[str],
    noises: Mapping[str, Floats],
) -> Iterator[Row]:
    """Yield the rows of some scenarios, the plain one first.

    Args:
        engine: of two slots at least, all free.
        scenarios: of `SCENARIOS`.
        noises: by name, (n,) float32 each.
    Raises:
        ValueError: there is no such scenario, or the engine has one slot.
        AudioError: a recording cannot be decoded.
    """
    for name in scenarios:
        if name not in SCENARIOS:
            raise ValueError(f"scenario {name!r}: there is none, only {', '.join(SCENARIOS)}")
    if engine.slots < 2:
        raise ValueError("scenarios want an engine of two slots: one holds the noise")
    runs = _Runs(engine, utterances)
    yield runs.row("plain", "as they are", _unchanged)
    conditions: dict[str, Callable[[], Iterator[Row]]] = {
        "noise": lambda: _behind_noise(runs, noises),
        "levels": lambda: _levels(runs),
        "telephone": lambda: _telephone(runs),
        "tones": lambda: _tones(runs),
        "stream": lambda: _one_stream(runs),
    }
    for name in SCENARIOS:
        if name in scenarios:
            yield from conditions[name]()


def _read(utterance: Utterance, change: Callable[[Floats], Floats]) -> Floats:
    return change(utterance.read())


class _Runs:
    """Runs of the recordings, and of sounds without words, in an engine."""

    def __init__(self, engine: Engine, utterances: Sequence[Utterance]) -> None:
        self._engine, self.utterances = engine, utterances
        self._plain: float | None = None

    def row(
        self,
        scenario: str,
        name: str,
        change: Callable[[Floats], Floats],
        sources: Sequence[int] = (),
        invented: int | None = None,
        minutes: float = 0.0,
    ) -> Row:
        """Run all recordings, changed, from fresh states or each after what one of some slots heard."""
        engine, following = self._engine, itertools.cycle(sources)

        def begin(slot: int) -> None:
            source = next(following, None)
            if source is None:
                engine.restart(slot, keep_statistics=False)
            else:
                engine.follow(slot, source)

        recordings = [functools.partial(_read, u, change) for u in self.utterances]
        results = Streams(engine, begin).run(recordings, PUSHED)
        texts = ["".join(r.text for r in of).strip() for of in results]
        rate = word_error_rate([u.text for u in self.utterances], texts)
        return self.rated(scenario, name, rate, invented, minutes)

    def rated(
        self,
        scenario: str,
        name: str,
        rate: ErrorRate,
        invented: int | None = None,
        minutes: float = 0.0,
    ) -> Row:
        """Return the row of an error rate; that of the first is the plain one."""
        if self._plain is None:
            self._plain = rate.wer
        edits = rate.substitutions, rate.deletions, rate.insertions
        return Row(scenario, name, rate.wer, *edits, rate.words, self._plain, invented, minutes)

    def hear(self, sounds: Iterable[Floats]) -> dict[int, list[str]]:
        """Let slots hear a sound each, whole chunks of it; return the open slots and the words they said.

        One slot stays free: of more sounds the rest is not heard.
        """
        engine = self._engine
        rest = {self._opened(): sound for sound in itertools.islice(sounds, engine.slots - 1)}
        said: dict[int, str] = dict.fromkeys(rest, "")
        while any(map(len, rest.values())):
            for slot, sound in rest.items():
                engine.push(slot, sound[:PUSHED])
                rest[slot] = sound[PUSHED:]
            while engine.pending():
                for result in engine.tick():
                    said[result.slot] += result.text
        return {slot: text.split() for slot, text in said.items()}

    def _opened(self) -> int:
        slot = self._engine.open()
        if slot is None:
            raise AssertionError("all slots are free between runs")
        return slot

    def close(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._engine.close(slot)

    def say(self, sound: Floats) -> list[str]:
        """Let a slot hear a sound; return the words it said."""
        said = self.hear([sound])
        self.close(said)
        return next(iter(said.values()))

    def silence(self) -> Floats:
        """Return a second for the last words, and a chunk, since `hear` drops what is less than one."""
        return np.zeros(SAMPLE_RATE + self._engine.chunk_samples, np.float32)


def _unchanged(x: Floats) -> Floats:
    return x


def _behind_noise(runs: _Runs, noises: Mapping[str, Floats]) -> Iterator[Row]:
    for noise, samples in noises.items():
        for dbfs in NOISE_DBFS:
            for seconds in NOISE_SECONDS:
                said = runs.hear(signals.at_level(samples, seconds * m, dbfs) for m in MOMENTS)
                invented = len(next(iter(said.values())))
                name = f"{seconds:g} s of {noise}, {dbfs:g} dBFS"
                yield runs.row("noise", name, _unchanged, list(said), invented, seconds / 60.0)
                runs.close(said)


def _levels(runs: _Runs) -> Iterator[Row]:
    for decibels in LEVELS_DB:
        quiet = functools.partial(signals.quieter, decibels=decibels)
        yield runs.row("levels", f"{decibels:g} dB", quiet)
        rounded = functools.partial(_rounded, quiet)
        yield runs.row("levels", f"{decibels:g} dB, in 16 bits", rounded)


def _rounded(change: Callable[[Floats], Floats], x: Floats) -> Floats:
    return signals.sixteen_bits(change(x))


def _telephone(runs: _Runs) -> Iterator[Row]:
    yield runs.row("telephone", "8 kHz", signals.narrowband)
    for name, law in (("mu", g711.MU_LAW), ("A", g711.A_LAW)):
        change = functools.partial(signals.telephone, law=law)
        yield runs.row("telephone", f"G.711, {name}-law", change)


def _tones(runs: _Runs) -> Iterator[Row]:
    for name in signals.TONES:
        said = runs.say(signals.tones(name, TONE_SECONDS))
        yield Row("tones", name, invented=len(said), minutes=TONE_SECONDS / 60.0)


def _one_stream(runs: _Runs) -> Iterator[Row]:
    order = np.random.default_rng(0).permutation(len(runs.utterances))
    utterances = [runs.utterances[n] for n in order]
    reference = " ".join(u.text for u in utterances)
    for name, seconds in (("", 0.0), (f", {PAUSE_SECONDS:g} s between recordings", PAUSE_SECONDS)):
        pieces = []
        for number, utterance in enumerate(utterances):
            pause = signals.white_noise(seconds, seed=number)
            pieces += [utterance.read(), pause * np.float32(10.0 ** (PAUSE_DBFS / 20.0))]
        said = runs.say(np.concatenate([*pieces, runs.silence()]))
        rate = word_error_rate([reference], [" ".join(said)])
        yield runs.rated("stream", f"one stream, never reset{name}", rate)
