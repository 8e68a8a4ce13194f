"""Rings: the waiting samples of every slot, in one array that is allocated at start.

1. Sample s of a stream lies at (s - lead) mod the ring's size, so that the chunks after the `lead`
   samples, which prime a front end, are each contiguous.
2. Overflow stays in its original array and is copied into the ring as space frees, so an hour of audio
   can be pushed at once.
3. int16 samples count as samples / 32768.

The engine decides which chunk is due.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from stream.stage import Floats, Integers, Samples

CHUNKS = 6  # of 60 ms, of a slot: twice what a live stream has waiting at its worst
WAITING = CHUNKS * 960  # samples
LEAST = 3  # chunks: one that comes, one that waits, and the lead
FULL_SCALE = np.float32(1.0 / 32768.0)


def chunks_waiting(chunk: int) -> int:
    """Return how many chunks of so many samples a live stream's ring holds."""
    return max(LEAST, -(-WAITING // chunk))


class Rings:
    """A ring for each slot.

    Args:
        chunk: samples that `take_chunks` takes.
        lead: samples at the start of a stream that `take_lead` takes, at most a chunk.
        chunks: that a ring holds.
    Attributes:
        received: (slots,) int64, samples of the stream so far.
        bytes_a_slot: memory that a slot takes.
    """

    def __init__(self, slots: int, chunk: int, lead: int, chunks: int = CHUNKS) -> None:
        self._ring = np.zeros((slots, chunks, chunk), np.float32)
        self._flat = self._ring.reshape(slots, -1)
        self.bytes_a_slot = self._ring.nbytes // slots
        self._chunk, self._lead, self._size = chunk, lead, chunks * chunk
        self.received = np.zeros(slots, np.int64)
        self._stored = np.zeros(slots, np.int64)  # of them in the ring, or taken
        self._taken = np.zeros(slots, np.int64)
        self._waiting: dict[int, deque[Samples]] = {}

    def clear(self, slot: int, taken: int = 0) -> None:
        """Begin a new stream in a slot, of which so many samples count as taken: 0 or the lead."""
        self.received[slot] = self._stored[slot] = self._taken[slot] = taken
        self._waiting.pop(slot, None)

    def put(self, slot: int, samples: Samples) -> None:
        """Add samples, (n,), to a slot; they may be kept until they are taken."""
        self.received[slot] += len(samples)
        if slot in self._waiting:
            self._waiting[slot].append(samples)
        elif (rest := self._store(slot, samples)) < len(samples):
            self._waiting[slot] = deque([samples[rest:]])

    def put_chunks(self, rows: Integers, samples: Samples) -> None:
        """Add a chunk to each of some slots, all different: (n, chunk)."""
        stored = self._stored[rows]
        room = stored - self._taken[rows] <= self._size - self._chunk
        if not room.all() or (stored % self._chunk).any():  # or what waits comes first
            for row, chunk in zip(rows.tolist(), samples, strict=True):
                self.put(row, chunk)
            return
        if samples.dtype == np.int16:
            samples = samples * FULL_SCALE
        place = stored // self._chunk % self._ring.shape[1]  # a chunk lies across two, by rule 1
        self._ring[rows, place - 1, self._chunk - self._lead :] = samples[:, : self._lead]
        self._ring[rows, place, : self._chunk - self._lead] = samples[:, self._lead :]
        self._stored[rows] += self._chunk
        self.received[rows] += self._chunk

    def backlog(self, slot: int) -> int:
        """Return the samples of a slot that were not taken."""
        return int(self.received[slot] - self._taken[slot])

    def taken(self, slot: int) -> int:
        """Return the samples of a slot's stream that were taken."""
        return int(self._taken[slot])

    def take_chunks(self, rows: Integers) -> Floats:
        """Take a chunk of each of some slots, (n, chunk); each has one, and its lead was taken."""
        place = (self._taken[rows] - self._lead) % self._size // self._chunk
        chunks: Floats = self._ring[rows, place]
        self._taken[rows] += self._chunk
        self._refill()
        return chunks

    def take_lead(self, rows: Integers) -> Floats:
        """Take the first samples of some streams, (n, lead); each has as many."""
        lead = self._flat[rows, self._size - self._lead :]
        self._taken[rows] += self._lead
        self._refill()
        return lead

    def take_rest(self, slot: int) -> Floats:
        """Take all that waits in a slot, less than the ring holds."""
        rest = self.rest(slot)
        self._taken[slot] = self._stored[slot]
        return rest

    def rest(self, slot: int) -> Floats:
        """Return all that waits in a slot, less than the ring holds, without taking it."""
        places = (np.arange(self._taken[slot], self._stored[slot]) - self._lead) % self._size
        rest: Floats = self._flat[slot, places]
        return rest

    def drop_rest(self, slot: int) -> None:
        """Forget what waits in a slot: the next samples come in its place."""
        self.received[slot] = self._stored[slot] = self._taken[slot]

    def _store(self, slot: int, samples: Samples) -> int:
        """Copy what fits into the ring; returns how much."""
        stored = int(self._stored[slot])
        count = min(len(samples), self._size - stored + int(self._taken[slot]))
        ring, place, done = self._flat[slot], (stored - self._lead) % self._size, 0
        while done < count:
            part = samples[done : min(count, done + self._size - place)]
            if part.dtype == np.int16:
                np.multiply(part, FULL_SCALE, out=ring[place : place + len(part)])
            else:
                ring[place : place + len(part)] = part
            done += len(part)
            place = 0
        self._stored[slot] = stored + count
        return count

    def _refill(self) -> None:
        """Move up what waits outside the rings."""
        for slot in tuple(self._waiting):
            arrays = self._waiting[slot]
            while arrays:
                done = self._store(slot, arrays[0])
                if done < len(arrays[0]):
                    arrays[0] = arrays[0][done:]
                    break
                arrays.popleft()
            if not arrays:
                del self._waiting[slot]
