"""Weights that are loaded, and read from outside: simulations of `rill_weights` and `rill_weight_buffer`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.rtl.alone.replay import Ints, replay, write_rows
from tests.rtl.simulators import Simulator

__all__ = [
    "FILL_WIDTHS",
    "loads",
    "reads",
    "run_buffer",
    "run_weights",
    "words_loaded",
]

UNITS = 2
BYTES = 4 * UNITS  # of a word
WORDS = 5  # of `rill_weights`
GROUP_WORDS = 6  # of the largest group in the buffer
FILL_WIDTHS = (1, 8, 32, 64)  # bits of a beat: 64, 8, 2 and 1 to a word
LAYERS = (  # base, words of a group, groups, how often a group is read
    (0, 6, 3, 1),
    (18, 4, 1, 3),
    (22, 5, 4, 2),
    (42, 6, 2, 1),
    (0, 6, 3, 2),
    (54, 4, 2, 1),
)
WEIGHT_WORDS = 64


def loads() -> Ints:
    """Return the bytes of two loads, (2, words, bytes of a word)."""
    return np.random.default_rng(0).integers(0, 256, (2, WORDS, BYTES))


def words_loaded() -> list[tuple[int, int]]:
    """Return the words of both loads, and how many bytes were taken until then."""
    return [
        (int.from_bytes(bytes(word), "little"), (load + 1) * WORDS * BYTES)
        for load, words in enumerate(loads().tolist())
        for word in words
    ]


def run_weights(simulator: Simulator, folder: Path, *options: str) -> list[tuple[int, int]]:
    """Return what `rill_weights` holds after each load, and how many bytes it has taken."""
    parameters = {"UNITS": UNITS, "WORDS": WORDS}
    rows = loads().reshape(-1, 1).tolist()
    found = replay(simulator, folder, "weights_bench", parameters, rows, *options)
    return [(word, taken) for word, taken in found]


def _image() -> list[int]:
    """Return the words of the memory outside."""
    words = np.random.default_rng(1).integers(0, 256, (WEIGHT_WORDS, BYTES)).tolist()
    return [int.from_bytes(bytes(word), "little") for word in words]


def reads() -> tuple[list[int], list[tuple[int, int]]]:
    """Return the words of all layers as they are read, and the requests for their groups: address and words."""
    image, words, requests = _image(), [], []
    for base, size, groups, passes in LAYERS:
        for begin in range(base, base + size * groups, size):
            words += image[begin : begin + size] * passes
            requests.append((begin, size))
    return words, requests


def run_buffer(
    simulator: Simulator, folder: Path, fill_width: int, *options: str
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the words that were read from `rill_weight_buffer`, and what it asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "weights.hex", ([word] for word in _image()))
    parameters = {
        "UNITS": UNITS,
        "GROUP_WORDS": GROUP_WORDS,
        "FILL_WIDTH": fill_width,
        "WEIGHT_WORDS": WEIGHT_WORDS,
    }
    found = replay(simulator, folder, "buffer_bench", parameters, LAYERS, *options)
    words = [first for is_request, first, _ in found if not is_request]
    return words, [(first, second) for is_request, first, second in found if is_request]
