"""python -m tests.rtl.sparsity.structures: what pruning the encoder costs at once, by the structure of its zeros.

Of each structure lanes have equally much to do in each group of units, so that clocks fall with the weights:

1. banks: so many neighbouring weights of a row, of which equally many are left in each (`train.optimiser.pruning`).
   An input of a bank is chosen for each lane, by an index beside each weight;
2. words: what all lanes multiply by one input, of which equally many are left in each group. A bit for each says
   whether it is there.

Nothing is trained after it. Printed is a table of docs/rtl.md: word error rate, bytes of the encoder's weights, and
clocks of its layers for a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from stream.backends.integer import IntegerBackend
from stream.integer.network import to_integers
from stream.manifest import Utterance
from stream.model.network import Network
from stream.process import reports_errors, run_main
from stream.stage import Floats
from tests.rtl.sparsity.recordings import heard, parser_of, recordings_of, word_errors
from tests.rtl.streams import step_clocks

BANKS = (4, 8, 16, 0)  # 0: words
SHARES = (1.0, 0.75, 0.5, 0.25)
GATES, BITS = 4, 8
STEPS = {"encoder.pre": 2, "encoder.post": 1}  # of a chunk


def in_banks(weight: Floats, bank: int, share: float) -> Floats:
    """Return a matrix with that share of the weights of each bank of a row, the largest; the others are zero."""
    banks = weight.reshape(-1, bank)
    smallest = np.argsort(np.abs(banks), axis=1, kind="stable")[:, : bank - round(share * bank)]
    pruned = banks.copy()
    np.put_along_axis(pruned, smallest, 0.0, axis=1)
    return pruned.reshape(weight.shape)


def in_words(weight: Floats, units: int, share: float) -> Floats:
    """Return a matrix (4H, N) with that share of the words of each group of units, the largest by their energy."""
    words = weight.reshape(GATES, -1, units, weight.shape[1])
    energy = np.square(words).sum(axis=(0, 2))
    left = round(share * weight.shape[1])
    smallest = np.argsort(energy, axis=1, kind="stable")[:, : weight.shape[1] - left]
    mask = np.ones_like(energy)
    np.put_along_axis(mask, smallest, 0.0, axis=1)
    return (words * mask[None, :, None, :]).reshape(weight.shape)


def pruned(network: Network, bank: int, share: float, units: int) -> Network:
    """Return the network with the matrices of its encoder pruned; a bank of 0 means words."""
    arrays = {
        name: in_banks(array, bank, share) if bank else in_words(array, units, share)
        for name, array in matrices(network).items()
    }
    return replace(network, arrays={**network.arrays, **arrays})


def matrices(network: Network) -> dict[str, Floats]:
    """Return the matrices of the encoder by name."""
    names = network.specification.encoder.shapes()
    return {name: network.arrays[name] for name, shape in names.items() if len(shape) == 2}


def weight_bytes(weights: Mapping[str, Floats], bank: int, share: float, units: int) -> float:
    """Return the bytes of what is left of matrices, with what says where it is."""
    count = sum(array.size for array in weights.values())
    if share == 1.0:
        return count * BITS / 8
    where = share * math.log2(bank) if bank else 1 / (GATES * units)
    return count * (share * BITS + where) / 8


def clocks(weights: Mapping[str, Floats], share: float, units: int) -> int:
    """Return the clocks of the encoder's layers for a chunk."""
    total = 0
    for name, array in weights.items():
        if name.endswith("weight_hh"):
            hidden = array.shape[1]
            inputs = weights[name.replace("weight_hh", "weight_ih")].shape[1]
            step = step_clocks(math.ceil(share * (inputs + hidden)), hidden // units, units)
            total += STEPS[name.rsplit(".", 2)[0]] * int(step)
    return total


def row(
    network: Network, utterances: Sequence[Utterance], bank: int, share: float, units: int
) -> str:
    """Return the row of a structure and a share as Markdown."""
    of = pruned(network, bank, share, units)
    errors = word_errors(utterances, heard(of, IntegerBackend(to_integers(of)), utterances))
    weights = matrices(of)
    name = f"banks of {bank}" if bank else f"words of {GATES * units}"
    name = "none" if share == 1.0 else name
    memory = weight_bytes(weights, bank, share, units) / 1e6
    cells = [name, f"{100 * share:.0f}", f"{100 * errors:.1f}", f"{memory:.2f}"]
    return f"| {' | '.join(cells)} | {clocks(weights, share, units):,} |"


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    arguments = parser_of(
        "structures", "Print what pruning the encoder costs without any training after it."
    ).parse_args(argv)
    network, utterances = recordings_of(arguments)
    print("| zeros | left, % | WER, % | MB | clocks |\n|---|---|---|---|---|")
    for share in SHARES:
        for bank in BANKS if share < 1.0 else BANKS[:1]:
            print(row(network, utterances, bank, share, arguments.units), flush=True)
    return 0


if __name__ == "__main__":
    run_main(main)
