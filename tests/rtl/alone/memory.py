"""Words that are written and read at random, and a simulation of `rill_ram` and `rill_rom`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.rtl.alone.replay import Ints, replay, write_rows
from tests.rtl.simulators import Simulator

__all__ = ["MEMORIES", "Accesses", "accesses", "run_memory"]

# Words and clocks: one block, of two sizes; a choice of one bank, of two that are full, and of a third with a single word.
MEMORIES = ((12, 2), (2049, 2), (1000, 3), (4096, 3), (4097, 3))
READS = 600


class Accesses(NamedTuple):
    """What happens in each clock, and what comes of it.

    Attributes:
        rows: whether a word is written, where, the word, and where both memories are read.
        rom: what lies in `rill_rom`.
        answers: what the ram and the rom say to each address.
    """

    rows: Ints
    rom: Ints
    answers: Ints


def accesses(depth: int) -> Accesses:
    """Return accesses that fill a memory, and then write and read it; never one word in the same clock."""
    rng = np.random.default_rng(depth)
    rom = rng.integers(0, 256, depth)
    edges = [0, 1, depth - 2, depth - 1, *range(2047, depth - 1, 2048)]
    edges += [edge + 1 for edge in edges[4:]]
    # First each word is written, and what lies half of the memory away is read.
    fill = [
        (1, place, int(rng.integers(256)), (place + depth // 2) % depth) for place in range(depth)
    ]
    rest = np.stack(
        [
            rng.integers(0, 2, READS),
            rng.choice(edges, READS),
            rng.integers(0, 256, READS),
            rng.choice(edges, READS),
        ],
        axis=1,
    )
    rest[rest[:, 1] == rest[:, 3], 0] = 0
    rows = np.concatenate([fill, rest])
    held, answers = [0] * depth, []
    for written, place, word, read in rows.tolist():
        answers.append((held[read], int(rom[read])))
        if written:
            held[place] = word
    return Accesses(rows, rom, np.array(answers))


def run_memory(simulator: Simulator, folder: Path, depth: int, clocks: int, of: Accesses) -> Ints:
    """Return what the ram and the rom answer."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "words.hex", of.rom[:, None].tolist())
    parameters = {"DEPTH": depth, "CLOCKS": clocks}
    return np.array(replay(simulator, folder, "memory_bench", parameters, of.rows.tolist()))
