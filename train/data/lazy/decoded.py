"""Decoded recordings on disk: what one update decoded, the next epoch reads.

    FOLDER/places   int64 (N,): where the samples of an utterance begin in `samples`
    FOLDER/samples  int16 at 16 kHz; a sparse file with room for all, of which little may be filled
    FOLDER/states   (N,) length int32 and CRC-32 of the samples; 0 and 0: not there yet

Any number of processes read and write side by side: an utterance has a place of its own, and equal samples
are written to it whoever decodes them. The state is written last and names a checksum, so what a
crash left half-written is decoded again.
"""

from __future__ import annotations

import os
import struct
import weakref
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import TOLERANCE_SECONDS, TOLERANCE_SHARE
from train.data.lazy.index import Index

STATE = struct.Struct("<iI")
Samples = NDArray[np.int16]


class Decoded:
    """The decoded recordings of an index.

    Args:
        index: of the data set; what is decoded lies in its folder.
    """

    def __init__(self, index: Index) -> None:
        self.folder = index.folder / "decoded"
        places = self.folder / "places"
        if not places.exists():
            self.folder.mkdir(exist_ok=True)
            partial = places.with_suffix(f".{os.getpid()}")
            _places(index).tofile(partial)
            partial.replace(places)
        self._places = np.memmap(places, np.int64, "r", shape=(len(index),))
        self._samples, self._states = (
            os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o644)
            for name in ("samples", "states")
        )
        for file in (self._samples, self._states):
            weakref.finalize(self, os.close, file)
        self._index = index

    def __reduce__(self) -> tuple[type[Decoded], tuple[Index]]:
        return Decoded, (self._index,)

    def get(self, number: int, decode: Callable[[], Samples]) -> Samples:
        """Return the samples of an utterance, (samples,) int16, decoded where they are not there."""
        place = 2 * int(self._places[number])
        state = os.pread(self._states, STATE.size, number * STATE.size)
        length, checksum = STATE.unpack(state) if len(state) == STATE.size else (0, 0)
        if length:
            content = os.pread(self._samples, 2 * length, place)
            if len(content) == 2 * length and zlib.crc32(content) == checksum:
                return np.frombuffer(content, np.int16)
        samples = decode()
        content = samples.tobytes()
        os.pwrite(self._samples, content, place)
        state = STATE.pack(len(samples), zlib.crc32(content))
        os.pwrite(self._states, state, number * STATE.size)
        return samples


def _places(index: Index) -> NDArray[np.int64]:
    """Return where each utterance begins: after the longest that those before it may be."""
    seconds = index.durations.astype(np.float64)
    room = seconds + np.maximum(TOLERANCE_SECONDS, TOLERANCE_SHARE * seconds)
    by_number = np.empty(len(index), np.int64)
    by_number[index.order] = np.ceil(room * SAMPLE_RATE).astype(np.int64) + 1
    return np.cumsum(by_number) - by_number
