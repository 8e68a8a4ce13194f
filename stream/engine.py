"""Engine: many channels, one batched step.

A channel holds a slot: a row in every state array, all of which are allocated at start. `push` copies
samples in, `tick` advances every slot that holds a chunk by one batched step (front end, normaliser,
encoder, greedy decoder), `finish` says that a stream has ended. The engine knows no sockets, no
clock and no threads; whoever drives it calls from one thread.

One `Result` is due for every chunk of 960 samples (60 ms) received, and one, with `last`, after
`finish`. A front end without initial padding sees its first frame only after `lead` samples more, so
its encoder frame e comes with chunk e + 1 and the first result is empty.

A channel that sends exact zeros is muted after a while (`stream.mute`): it costs nothing, and begins a
new segment when sound comes back.

State of a slot, as a tree: front end, normaliser, encoder, decoder.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend, load_backend
from stream.decoding.greedy import Greedy, GreedyConfig, Token
from stream.features import HOP, SAMPLE_RATE, STACK, stack
from stream.network import TIME_STACK, Network, open_model
from stream.stage import State, map_state

__all__ = ["CHUNK", "Engine", "Result", "Token", "load_engine"]

Samples = NDArray[np.float32]

CHUNK = HOP * STACK * TIME_STACK  # 960 samples, 60 ms: one encoder frame
CHUNK_SECONDS = CHUNK / SAMPLE_RATE
FRAMES = STACK * TIME_STACK  # log-mel frames in a chunk
LOUDEST = 1e6  # a sample beyond is no audio, and its power would overflow into every later frame
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # a shape is never new at run time


@dataclass(frozen=True, slots=True)
class Result:
    """What a chunk of a channel said.

    Attributes:
        slot: of the channel.
        start, end: of the chunk, seconds since the stream began.
        text: what the chunk adds to the transcript; a new word begins with a space.
        tokens: the same as tokens.
        last: whether the stream is over and this is its closing result.
    """

    slot: int
    start: float
    end: float
    text: str
    tokens: tuple[Token, ...]
    last: bool


class _Fifo:
    """Samples that wait, in the arrays they came in: an hour at once costs no copy."""

    def __init__(self) -> None:
        self._arrays: deque[Samples] = deque()
        self.count = 0

    def put(self, samples: Samples) -> None:
        if len(samples):
            self._arrays.append(samples)
            self.count += len(samples)

    def take(self, count: int, out: Samples) -> None:
        """Move `count` samples, at most those that wait, into out, (count,)."""
        filled = 0
        while filled < count:
            first = self._arrays[0]
            part = first[: count - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            if len(part) == len(first):
                self._arrays.popleft()
            else:
                self._arrays[0] = first[len(part) :]
        self.count -= count


class _Channel:
    """What a slot keeps beside its rows in the state arrays."""

    def __init__(self) -> None:
        self.samples = _Fifo()
        self.received = 0
        self.chunks = 0  # results given
        self.frames = 0  # log-mel frames computed
        self.primed = False
        self.zeros = 0  # chunks of zeros in a row
        self.skipped = 0  # the last of them, since the channel is muted
        self.finishing = False
        self.finished = False

    @property
    def due(self) -> bool:
        return not self.finished and self.received >= CHUNK * (self.chunks + 1)


class Engine:
    """Fixed slots around one backend.

    Args:
        network: the model.
        backend: that computes it.
        slots: most channels at once.
        decoding: variant of the greedy decoder.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        slots: int,
        decoding: GreedyConfig | None = None,
    ) -> None:
        if slots < 1:
            raise ValueError(f"engine: {slots} slots, wants at least 1")
        self.slots = slots
        self._mute_chunks = network.specification.mute_chunks
        self._backend = backend
        self._vocabulary = network.vocabulary
        self._front_end = network.specification.front_end
        self._normaliser = network.normaliser
        self._greedy = Greedy(backend, decoding)
        self._fresh: State = self._initial(1)
        self._state: State = self._initial(slots)
        self._channels: list[_Channel | None] = [None] * slots

    def _initial(self, batch: int) -> State:
        return (
            self._front_end.initial_state(batch),
            self._normaliser.initial_state(batch),
            self._backend.initial_state(batch)[0],
            self._greedy.initial_state(batch),
        )

    def open(self) -> int | None:
        """Give out a free slot, in its initial state, or None where all are taken."""
        for slot, channel in enumerate(self._channels):
            if channel is None:
                self._channels[slot] = _Channel()
                self._write(np.array([slot]), self._fresh)
                return slot
        return None

    def close(self, slot: int) -> None:
        """Free a slot; what it still held is dropped."""
        self._channel(slot)
        self._channels[slot] = None

    def restart(self, slot: int, *, keep_statistics: bool) -> None:
        """Begin a new stream in an open slot, with the running statistics as they are or fresh."""
        self._channel(slot)
        statistics = map_state(lambda leaf: leaf[[slot]].copy(), self._state[1])
        self._channels[slot] = _Channel()
        front, fresh_statistics, encoder, decoder = self._fresh
        kept = statistics if keep_statistics else fresh_statistics
        self._write(np.array([slot]), (front, kept, encoder, decoder))

    def push(self, slot: int, samples: Samples) -> None:
        """Hand in samples of a stream, (n,) float32 at 16 kHz, any n.

        They are not copied: leave them unchanged until `backlog` is 0.

        Raises:
            ValueError: the samples are not (n,), one of them is not finite or absurdly loud, the
                stream was finished, or the slot is not open. The stream is as before the call.
        """
        channel = self._channel(slot)
        if channel.finishing:
            raise ValueError(f"channel {slot}: samples after the end of the stream")
        if samples.ndim != 1:
            raise ValueError(f"channel {slot}: samples are {samples.shape}, want (n,), mono")
        # Extremes, not a mask: an hour handed in at once costs no memory. They are NaN if a sample is.
        if len(samples) and not -LOUDEST <= samples.min() <= samples.max() <= LOUDEST:
            index = int(np.flatnonzero(~(np.abs(samples) <= LOUDEST))[0])
            bad = channel.received + index
            raise ValueError(
                f"channel {slot}: sample {bad} ({bad / SAMPLE_RATE:.3f} s) is {samples[index]}, wants "
                "a finite number; full scale is 1"
            )
        channel.samples.put(np.asarray(samples, np.float32))
        channel.received += len(samples)

    def finish(self, slot: int) -> None:
        """Say that the stream has ended: its closing result comes after those still due."""
        self._channel(slot).finishing = True

    def backlog(self, slot: int) -> int:
        """Return the samples of a slot that were not processed yet."""
        return self._channel(slot).samples.count

    def pending(self) -> bool:
        """Return whether `tick` has something to do."""
        return any(
            c is not None and (c.due or (c.finishing and not c.finished)) for c in self._channels
        )

    def warm_up(self) -> None:
        """Run a short stream in every batch size, so that no real one pays for first calls.

        All slots have to be free, and are again.
        """
        noise = np.random.default_rng(0).normal(0.0, 0.1, 3 * CHUNK).astype(np.float32)
        for size in BATCH_SIZES:
            slots = [
                slot for _ in range(min(size, self.slots)) if (slot := self.open()) is not None
            ]
            for slot in slots:
                self.push(slot, noise)
                self.finish(slot)
            while self.pending():
                self.tick()
            for slot in slots:
                self.close(slot)
            if size >= self.slots:
                return

    def tick(self) -> list[Result]:
        """Advance every slot that holds a chunk by that chunk, and close one that has ended."""
        results: list[Result] = []
        stepping: list[int] = []
        for slot, channel in enumerate(self._channels):
            if channel is None or channel.finished:
                continue
            if channel.due:
                if not channel.primed and self._front_end.lead:
                    self._prime(slot, channel)
                    results.append(self._result(slot, channel, [], last=False))
                else:
                    stepping.append(slot)
            elif channel.finishing:
                results.append(self._flush(slot, channel))
        for begin in range(0, len(stepping), BATCH_SIZES[-1]):
            results += self._step(stepping[begin : begin + BATCH_SIZES[-1]])
        return results

    def _step(self, due: list[int]) -> list[Result]:
        """Advance some slots by a chunk, those that are not muted as one batch."""
        chunks = np.empty((len(due), CHUNK), np.float32)
        for row, slot in enumerate(due):
            self._channel(slot).samples.take(CHUNK, chunks[row])
        heard = [self._hears(slot, bool(x.any())) for slot, x in zip(due, chunks, strict=True)]
        muted = [
            self._result(slot, self._channel(slot), [], last=False)
            for slot, hears in zip(due, heard, strict=True)
            if not hears
        ]
        slots = [slot for slot, hears in zip(due, heard, strict=True) if hears]
        if not slots:
            return muted
        size = next(n for n in BATCH_SIZES if n >= len(slots))
        samples = np.zeros((size, CHUNK), np.float32)
        samples[: len(slots)] = chunks[heard]
        rows = np.array(slots + slots[:1] * (size - len(slots)))  # padded with a valid state
        front, statistics, encoder, decoder = map_state(lambda leaf: leaf[rows], self._state)
        frames, front = self._front_end.step(samples, front)
        z, statistics = self._normaliser.step(frames, statistics)
        f, encoder = self._backend.encode(stack(z), encoder)
        real = len(slots)
        tokens, decoder = self._greedy.step(f[:real], map_state(lambda leaf: leaf[:real], decoder))
        after = map_state(lambda leaf: leaf[:real], (front, statistics, encoder))
        self._write(rows[:real], (*after, decoder))
        results = muted
        for slot, row_tokens in zip(slots, tokens, strict=True):
            channel = self._channel(slot)
            channel.primed = True
            channel.frames += FRAMES
            results.append(self._result(slot, channel, row_tokens, last=False))
        return results

    def _hears(self, slot: int, sound: bool) -> bool:
        """Count zeros; return whether a chunk is to be stepped, in a new segment if it ends a mute."""
        channel = self._channel(slot)
        if not sound and 0 < self._mute_chunks <= channel.zeros:
            channel.skipped += 1
            return False
        channel.zeros = 0 if sound else channel.zeros + 1
        if channel.skipped:
            self._begin_segment(slot, channel)
        return True

    def _begin_segment(self, slot: int, channel: _Channel) -> None:
        """Give encoder and decoder their initial state; time and statistics go on."""
        row = np.array([slot])
        front, statistics, _, decoder = map_state(lambda leaf: leaf[row], self._state)
        encoder = self._fresh[2]
        decoder = self._greedy.restart(decoder, channel.skipped)
        self._write(row, (front, statistics, encoder, decoder))
        channel.skipped = 0

    def _prime(self, slot: int, channel: _Channel) -> None:
        lead = np.empty((1, self._front_end.lead), np.float32)
        channel.samples.take(lead.shape[1], lead[0])
        _, *rest = map_state(lambda leaf: leaf[[slot]], self._state)
        self._write(np.array([slot]), (self._front_end.prime(lead), *rest))
        channel.primed = True

    def _flush(self, slot: int, channel: _Channel) -> Result:
        """Process what is left of a stream that ended: incomplete blocks, final padding."""
        front_end = self._front_end
        padding = front_end.final_padding if channel.received else 0
        rest = np.empty(channel.samples.count, np.float32)
        channel.samples.take(len(rest), rest)
        if channel.skipped and rest.any():
            self._begin_segment(slot, channel)
        elif channel.skipped:
            rest = rest[:0]
        x = np.pad(rest, (0, padding))[None]
        front, statistics, encoder, decoder = map_state(lambda leaf: leaf[[slot]], self._state)
        if not channel.primed and x.shape[1] > front_end.lead:
            if front_end.lead:
                front, x = front_end.prime(x[:, : front_end.lead]), x[:, front_end.lead :]
            channel.primed = True
        elif not channel.primed:
            x = x[:, :0]  # too short for any frame
        whole = x.shape[1] // HOP
        if whole:
            frames, front = front_end.step(x[:, : whole * HOP], front)
        elif channel.frames == 0 and x.shape[1]:
            frames = front_end.short_frame(x, front)
        else:
            frames = np.zeros((1, 0, statistics[0].shape[1]), np.float32)
        tokens: list[Token] = []
        if count := frames.shape[1]:
            z, statistics = self._normaliser.step(frames, statistics)
            # Frames past the end are zeros in the normalised domain; a missing half of a pair is a
            # zero vector of the encoder.
            z = np.concatenate([z, np.zeros((1, -count % FRAMES, z.shape[2]), np.float32)], axis=1)
            stacked = stack(z)
            present = np.arange(stacked.shape[1])[None, :] < -(-count // STACK)
            f, encoder = self._backend.encode(stacked, encoder, present)
            (tokens,), decoder = self._greedy.step(f, decoder)
        self._write(np.array([slot]), (front, statistics, encoder, decoder))
        channel.finished = True
        return self._result(slot, channel, tokens, last=True)

    def _result(self, slot: int, channel: _Channel, tokens: list[Token], *, last: bool) -> Result:
        start = round(CHUNK_SECONDS * channel.chunks, 2)
        channel.chunks += not last
        end = round(CHUNK_SECONDS * channel.chunks, 2)
        text = "".join(self._vocabulary.text(token.id) for token in tokens)
        return Result(slot, start, end, text, tuple(tokens), last)

    def _channel(self, slot: int) -> _Channel:
        channel = self._channels[slot] if 0 <= slot < self.slots else None
        if channel is None:
            raise ValueError(f"channel {slot} is not open")
        return channel

    def _write(self, rows: NDArray[np.int64], state: State) -> None:
        def put(new: NDArray[np.float32], all_rows: NDArray[np.float32]) -> None:
            all_rows[rows] = new

        map_state(put, state, self._state)


def load_engine(model: str | Path | Network, slots: int, backend: str = "onnx") -> Engine:
    """Open a model and build an engine around it, warmed up.

    Raises:
        ModelError: the model cannot be read, or the backend cannot compute it.
    """
    network = model if isinstance(model, Network) else open_model(model)
    engine = Engine(network, load_backend(backend, network), slots)
    engine.warm_up()
    return engine
