"""Engine: many channels, one batched step.

A channel holds a slot: a row in every array, all of which are allocated at start. `push` copies
samples in, `tick` advances every slot that holds a chunk by one batched step (front end, normaliser,
encoder, decoder), `finish` says that a stream has ended. The engine knows no sockets, no
clock and no threads; its caller uses one thread.

One `Result` is due for every chunk received (`chunk_samples`: what the encoder takes in a step), and
one, with `last`, after `finish`. A front end without initial padding sees its first frame only after
`lead` samples more, so the encoder frames of chunk n come with chunk n + 1 and the first result is empty.

A channel that sends exact zeros is muted after a while (`stream.engine.mute`): it costs nothing, and begins a
new segment when sound returns; text comes only after enough of it. When a stream ends, the silence that its last
words need is computed at once (`stream.engine.endings`).

A step runs no per-channel Python, except for channels that produced text. ONNX Runtime computes a batch of
any size as fast as the next larger round one, so nothing is padded. Front end and normaliser are in
`stream.engine.features`, the encoder's states in `stream.backends.states`. Encoder and
decoder have rows, one for each slot, or two where states are reset (`stream.decoding.channels`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from stream.backends import Backend, load_backend
from stream.backends.states import EncoderStates
from stream.decoding.channels import SILENCE, ChannelDecoder, Speech
from stream.decoding.decoding import Decoding, Search
from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Hypothesis
from stream.decoding.keywords import KeywordTrie
from stream.decoding.options import decoding_of
from stream.encoders.lstm import LSTM
from stream.engine.alignment import Alignment, Span
from stream.engine.endings import Endings
from stream.engine.features import ChannelFeatures
from stream.engine.front_end import FrontEndKind
from stream.engine.mute import NEVER, Muting
from stream.engine.rings import Rings, chunks_waiting
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.network import Network, open_model
from stream.stage import Floats, Integers, Mask, Samples, bytes_of

LOUDEST = 1e6  # a sample beyond is no audio, and its power would overflow into every later frame
WARM_UP = (1, 2, 8, 64, 256)  # batch sizes, up to the slots
APART_SECONDS = 0.003  # between the beginnings of two steps, at least: see `server.engine.worker`


class Result(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a chunk of a channel said.

    Attributes:
        slot: of the channel.
        start, end: of the chunk, seconds since the stream began.
        text: what the chunk adds to the transcript, for good; a new word begins with a space.
        tokens: the same as tokens; `<EOS>` is one of them and no text.
        last: whether the stream is over and this is its closing result.
        provisional: what may follow the transcript so far, best first; replaces that of the chunk
            before. Empty with greedy decoding, after the end, and where nothing waits.
        endpoint: whether a segment of speech ended with this chunk; nothing is provisional then.
        spans: when tokens sound, of the first ones that had no span yet (`stream.engine.alignment`). They come
            when a word is complete: with the first token of the next, an endpoint or the end.
        frame_seconds: from one encoder frame, which tokens' steps count, to the next.
        texts: what each of the tokens adds to the text. At the end of a segment a character that was
            cut short may add to the text after them.
    """

    slot: int
    start: float
    end: float
    text: str
    tokens: tuple[Token, ...]
    last: bool
    provisional: tuple[Hypothesis, ...] = ()
    endpoint: bool = False
    spans: tuple[Span, ...] = ()
    texts: tuple[str, ...] = ()
    frame_seconds: float = LSTM().frame_seconds

    @property
    def silent(self) -> bool:
        """Whether it says no more than that a chunk was consumed."""
        return not (
            self.text or self.tokens or self.last or self.provisional or self.endpoint or self.spans
        )


class Engine:
    """Fixed slots around one backend.

    Args:
        slots: most channels at once.
        decoding: greedy or beam search, and what goes with it; None: greedy, as the model is decoded.
        front_end: the model's in float, or the same in fixed point.
    Attributes:
        chunk_samples: samples that a step takes of a slot.
        channel_bytes: memory that a slot takes, most of it the states of the encoder.
    Raises:
        ModelError: the fixed front end cannot be this model's.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        slots: int,
        decoding: Decoding | Search | None = None,
        front_end: FrontEndKind = "float",
    ) -> None:
        if slots < 1:
            raise ValueError(f"engine: {slots} slots, wants at least 1")
        self.slots = slots
        self._encoder = network.specification.encoder
        self.chunk_samples = self._encoder.chunk_samples
        counted = network.specification.mute_chunks, network.specification.sound_chunks
        self._mutes, self._muting = any(counted), Muting(slots, *counted)
        self._vocabulary = network.vocabulary
        self._features = ChannelFeatures(network, front_end, slots)
        decoding = decoding_of(network) if decoding is None else decoding
        self._decoder = ChannelDecoder(backend, network.vocabulary, decoding, slots)
        self._keywords: list[KeywordTrie | None] = [None] * slots
        self._alignment = Alignment(
            self._features.levels,
            network.specification.usual_delay,
            network.specification.front_end,
            self._encoder,
            slots,
        )
        self._states = EncoderStates(backend, self._decoder.row_count)
        self._rings = Rings(
            slots, self.chunk_samples, self._features.lead, chunks_waiting(self.chunk_samples)
        )
        self._open = np.zeros(slots, np.bool_)
        self._chunks = np.zeros(slots, np.int64)  # results given
        self._due_at = np.full(slots, NEVER)  # samples in the ring with which the next one is due
        self._endings = Endings(slots, network.specification.final_padding)
        of_prediction = bytes_of(backend.initial_state(1)[1])
        self.channel_bytes = (
            self._decoder.row_count // slots * (self._states.bytes_a_row + of_prediction)
            + self._features.bytes_a_slot
            + self._rings.bytes_a_slot
        )

    def open(self, keywords: Mapping[str, float] | KeywordTrie | None = None) -> int | None:
        """Give out a free slot, in its initial state, or None where all are taken.

        Args:
            keywords: boost of each keyword per character, or a trie of them that was made before,
                which takes milliseconds where they are many; see `stream.decoding.keywords`.
        Raises:
            ValueError: a keyword is empty, or cannot be spelt with the model's pieces.
        """
        if keywords is not None and not isinstance(keywords, KeywordTrie):
            keywords = KeywordTrie(keywords, self._vocabulary.spellings) if keywords else None
        if self._open.all():
            return None
        slot = int(self._open.argmin())
        self._keywords[slot] = keywords
        self._open[slot] = True
        self._decoder.end_after(slot, None)
        self._begin(slot, keep_statistics=False)
        return slot

    def end_after(self, slot: int, silence: float | None) -> None:
        """Let segments of a slot end after so many seconds without text, from its next step on.

        Args:
            slot: that is open; when it is closed, this is forgotten.
            silence: seconds, in encoder frames; None: as the engine's decoding has it.
        """
        self._check(slot)
        self._decoder.end_after(slot, silence)

    def close(self, slot: int) -> None:
        """Free a slot; what it still held is dropped."""
        self._check(slot)
        self._open[slot] = False
        self._rings.clear(slot)
        self._due_at[slot] = NEVER
        self._endings.forget(slot)

    def restart(self, slot: int, *, keep_statistics: bool) -> None:
        """Begin a new stream in an open slot, with the running statistics as they are or fresh."""
        self._check(slot)
        self._begin(slot, keep_statistics=keep_statistics)

    def follow(self, slot: int, source: int) -> None:
        """Begin a new stream in an open slot as if what another one heard had come before it.

        Front end, running statistics and encoder are those of the source after its last whole chunk;
        time, samples and the transcript start again. So minutes of noise are computed once for many
        recordings.

        Args:
            slot: where the stream begins.
            source: another open slot, which has heard a chunk at least, has not ended, and stays as it is.
        """
        self._check(source)
        self.restart(slot, keep_statistics=True)
        self._features.follow(slot, source)
        lead = self._features.lead
        self._rings.clear(slot, taken=lead)
        self._due_at[slot] = lead + self.chunk_samples
        self._muting.follow(slot, source)
        row, of_source = self._decoder.rows(np.array([slot, source])).tolist()
        self._states.copy(row, of_source)

    def _begin(self, slot: int, *, keep_statistics: bool) -> None:
        self._rings.clear(slot)
        self._features.begin(slot, keep_statistics=keep_statistics)
        self._alignment.begin(slot)
        self._muting.begin(slot)
        self._chunks[slot] = 0
        self._due_at[slot] = self.chunk_samples
        self._endings.forget(slot)
        self._decoder.open(slot, self._keywords[slot])
        self._states.reset(self._decoder.rows(np.array([slot])))

    def push(self, slot: int, samples: Samples) -> None:
        """Hand in samples of a stream: (n,) at 16 kHz, float32, or int16 of full scale, any n.

        They may be kept without a copy: leave them unchanged until `backlog` is 0.

        Raises:
            ValueError: the samples are not (n,), one of them is not finite or absurdly loud, the
                stream was finished, or the slot is not open. The stream is as before the call.
        """
        self._check(slot)
        if self._due_at[slot] == NEVER or slot in self._endings.finishing:
            raise ValueError(f"channel {slot}: samples after the end of the stream")
        if samples.ndim != 1:
            raise ValueError(f"channel {slot}: samples are {samples.shape}, want (n,), mono")
        if samples.dtype != np.int16:
            samples = np.asarray(samples, np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                power = np.dot(samples, samples)
            if not power <= LOUDEST:  # it bounds every sample, and is NaN if one is
                self._check_samples(slot, samples)
        self._rings.put(slot, samples)

    def push_chunks(self, slots: Sequence[int], samples: Samples) -> None:
        """Hand in a chunk of each of some streams at once, as `push` would one by one.

        Args:
            slots: n different ones.
            samples: (n, chunk).
        Raises:
            ValueError: as `push`, of any of them; nothing was taken.
        """
        rows = np.array(slots)
        if not self._open[rows].all() or not self._endings.finishing.isdisjoint(slots):
            raise ValueError("a channel is not open, or its stream was finished")
        if (self._due_at[rows] == NEVER).any():
            raise ValueError("samples after the end of a stream")
        if samples.dtype != np.int16:
            with np.errstate(over="ignore", invalid="ignore"):
                power = np.vecdot(samples, samples)
            if not (power <= LOUDEST).all():  # NaN, too
                raise ValueError("samples are not finite, or absurdly loud")
        self._rings.put_chunks(rows, samples)

    def _check_samples(self, slot: int, samples: Floats) -> None:
        if -LOUDEST <= samples.min() <= samples.max() <= LOUDEST:
            return
        index = int(np.flatnonzero(~(np.abs(samples) <= LOUDEST))[0])
        bad = int(self._rings.received[slot]) + index
        raise ValueError(
            f"channel {slot}: sample {bad} ({bad / SAMPLE_RATE:.3f} s) is {samples[index]}, wants "
            "a finite number; full scale is 1"
        )

    def finish(self, slot: int) -> None:
        """Say that the stream has ended: its closing result comes after those still due."""
        self._check(slot)
        if self._due_at[slot] != NEVER:
            self._endings.finishing.add(slot)

    def backlog(self, slot: int) -> int:
        """Return the samples of a slot that were not processed yet."""
        self._check(slot)
        return self._rings.backlog(slot)

    def pending(self) -> bool:
        """Return whether `tick` has something to do."""
        return bool(self._endings.finishing) or bool((self._rings.received >= self._due_at).any())

    def warm_up(self) -> None:
        """Run short streams in batches of several sizes, so that no real one pays for first calls.

        All slots have to be free, and are again.
        """
        noise = np.random.default_rng(0).normal(0.0, 0.1, 3 * self.chunk_samples).astype(np.float32)
        for size in WARM_UP:
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
        """Advance every slot that holds a chunk by that chunk, and close those that have ended."""
        due = self._rings.received >= self._due_at
        if self._endings.finishing:
            due = self._drain(due)
        ended = np.array(sorted(s for s in self._endings.finishing if not due[s]), np.int64)
        rows = np.flatnonzero(due)
        primed = self._features.primed[rows]
        results: list[Result] = []
        if not primed.all():
            results += self._prime(rows[~primed])
            rows = rows[primed]
        if rows.size or ended.size:
            results += self._step(rows, ended)
        return results

    def _drain(self, due: Mask) -> Mask:
        """Step the last whole chunk of streams that end, then put silence behind them; returns what is due."""
        for slot in self._endings.finishing:
            if due[slot] or self._endings.padded[slot] or not self._rings.received[slot]:
                continue
            if not self._endings.draining[slot]:
                self._endings.draining[slot] = True
                # A chunk comes with samples of the next one, as many as the lead, which need not come any more.
                size = self.chunk_samples if self._features.primed[slot] else self._features.lead
                self._due_at[slot] = self._rings.taken(slot) + size
                if self._rings.received[slot] >= self._due_at[slot]:
                    continue
            self._hear_rest(slot)
            self._endings.padded[slot] = True
            if self._endings.silence.size:
                self._features.keep_statistics(slot)
                self._rings.put(slot, self._endings.silence)
        return self._rings.received >= self._due_at

    def _prime(self, rows: Integers) -> list[Result]:
        """Take the first samples of some streams, which give no frame yet."""
        self._features.prime(self._rings.take_lead(rows), rows)
        return self._results(rows, [SILENCE] * len(rows))

    def _step(self, rows: Integers, ended: Integers) -> list[Result]:
        """Advance some slots by a chunk, those that are not muted, and end others, as one batch."""
        samples = self._rings.take_chunks(rows)
        results: list[Result] = []
        if self._mutes:
            heard = self._hear(rows, samples)
            if not heard.all():
                muted = rows[~heard]
                self._features.skip(muted)
                results = self._results(muted, [self._decoder.mute(slot) for slot in muted])
                rows, samples = rows[heard], samples[heard]
        if not rows.size and not ended.size:
            return results
        x = self._features.chunk(samples, rows)
        rests = [self._rings.take_rest(slot) for slot in ended.tolist()]
        tails, lengths = self._features.tails(rests, ended)
        plan = self._decoder.step_rows(rows)
        if plan.fresh.size:
            self._states.reset(plan.fresh)
        x = x if plan.owners is None else x[plan.owners]
        f, last = self._encode(x, plan.rows, tails, lengths, self._decoder.rows(ended))
        if rows.size:
            silent = self._muting.silent(rows)
            results += self._results(
                rows, self._decoder.step(rows, f, plan, silent if silent.any() else None)
            )
        if ended.size:
            steps = np.where(self._muting.silent(ended), 0, self._encoder.frames(lengths))
            results += self._end(ended, self._decoder.finish(ended, last, steps))
        return results

    def _encode(
        self, x: Floats, rows: Integers, tails: Floats, lengths: Integers, ending: Integers
    ) -> tuple[Floats, Floats]:
        """Encode a chunk of some rows, and what is left of others.

        Args:
            x: (R, n, inputs) of `rows`, a chunk.
            tails: (E, n, inputs) of `ending`; lengths, (E,) input frames of each that count.
        Returns:
            f (R, frames, J), and that of the tails.
        """
        count = len(rows)
        present = np.arange(tails.shape[1])[None] < lengths[:, None]
        f = self._states.encode(
            np.concatenate([x, tails]),
            np.concatenate([rows, ending]),
            np.concatenate([np.ones(x.shape[:2], np.bool_), present]),
        )
        return f[:count], f[count:]

    def _hear(self, rows: Integers, samples: Floats) -> Mask:
        """Return which chunks of some slots are computed: what stands behind an end always is."""
        heard = np.ones(len(rows), np.bool_)
        places = np.flatnonzero(~self._endings.padded[rows])
        sound = np.asarray(samples.any(axis=1))[places]
        heard[places], begins = self._muting.hear(rows[places], sound)
        self._begin_segments(rows[places[begins]])
        return heard

    def _hear_rest(self, slot: int) -> None:
        """Drop what a stream ends with, less than a chunk, if it is muted."""
        rest = self._rings.rest(slot)
        first = 0 if self._features.primed[slot] else self._features.lead
        row, sound = np.array([slot]), np.array([rest[first:].any()])
        heard, begins = self._muting.hear(row, sound, rest=True)
        self._begin_segments(row[begins])
        if not heard.all():
            self._rings.drop_rest(slot)

    def _begin_segments(self, rows: Integers) -> None:
        """Give encoder and decoder their initial state; time and statistics continue."""
        for slot in rows:
            self._decoder.resume(slot)
        if rows.size:
            self._states.reset(self._decoder.rows(rows))

    def _end(self, slots: Integers, speech: Sequence[Speech]) -> list[Result]:
        """Make the closing results of some slots, which take no samples any more."""
        self._due_at[slots] = NEVER
        closing = [self._endings.close(*each) for each in zip(slots.tolist(), speech, strict=True)]
        return self._results(slots, closing, last=True)

    def _results(
        self, rows: Integers, speech: Sequence[Speech], *, last: bool = False
    ) -> list[Result]:
        """Make the results of some slots, and count their chunks."""
        draining = self._endings.draining[rows]
        if draining.any() and not last:
            self._endings.add(rows[draining], list(itertools.compress(speech, draining)))
            self._due_at[rows[draining]] += self.chunk_samples
            rows, speech = rows[~draining], list(itertools.compress(speech, ~draining))
        begun = self._chunks[rows]
        ended = begun if last else begun + 1
        if not last:
            self._chunks[rows] = ended
            self._due_at[rows] += self.chunk_samples
        newest = (begun + 1) * self._encoder.chunk_frames - 1
        for slot in rows[self._alignment.due[rows] <= newest].tolist():
            self._alignment.settle(slot)
        starts, ends = (
            (chunks * self.chunk_samples / SAMPLE_RATE).tolist() for chunks in (begun, ended)
        )
        return [
            Result(slot, start, end, "", (), last)
            if said is SILENCE and not last
            else Result(
                slot,
                start,
                end,
                said.text,
                tuple(said.tokens),
                last,
                said.provisional,
                said.endpoint,
                self._spans(slot, said, last=last),
                tuple(said.texts),
                self._encoder.frame_seconds,
            )
            for slot, start, end, said in zip(rows.tolist(), starts, ends, speech, strict=True)
        ]

    def _spans(self, slot: int, said: Speech, *, last: bool) -> tuple[Span, ...]:
        if not (said.tokens or said.endpoint or last):
            return ()
        tokens = [(t, token.step) for t, token in zip(said.texts, said.tokens, strict=True)]
        samples = self._samples(slot) if last or self._endings.draining[slot] else None
        return self._alignment.add(slot, tokens, closes=said.endpoint or last, samples=samples)

    def _samples(self, slot: int) -> int:
        """Return the samples of a stream that ends, without the silence after them."""
        padding = len(self._endings.silence) if self._endings.padded[slot] else 0
        return int(self._rings.received[slot]) - padding

    def _check(self, slot: int) -> None:
        if not (0 <= slot < self.slots and self._open[slot]):
            raise ValueError(f"channel {slot} is not open")


def load_engine(
    model: str | Path | Network,
    slots: int,
    backend: str = "onnx",
    threads: int = 1,
    decoding: Decoding | Search | None = None,
    front_end: FrontEndKind = "float",
) -> Engine:
    """Open a model and build an engine around it, warmed up.

    Args:
        model: a path that `open_model` takes, or a network.
        slots, decoding, front_end: see `Engine`.
        backend: its name.
        threads: of one operator.
    Raises:
        ModelError: the model cannot be read, or the backend cannot compute it.
    """
    network = model if isinstance(model, Network) else open_model(model)
    computed = load_backend(backend, network, threads)
    engine = Engine(network, computed, slots, decoding, front_end)
    engine.warm_up()
    return engine
