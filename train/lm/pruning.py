"""Which n-grams of a language model are kept: rule 4 of `train.lm.kneser_ney`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stream.language_model.levels import ids_of, key_of
from stream.records.joining import Following
from stream.records.workspace import Workspace
from train.lm.counts import Counted, counted_dtype


def pruned(counted: Sequence[Counted], prune: Sequence[int], space: Workspace) -> list[Counted]:
    """Return n-grams with those marked that are kept; the files of the others are removed.

    Args:
        counted: of each order from 1 on.
        prune: of each order, the largest count that is pruned; the last one goes for longer orders, too.
    """
    if not any(prune):
        return list(counted)
    found = list(counted)
    needed: Following | None = None
    for order in range(len(counted), 1, -1):
        ngrams = counted[order - 1].ngrams
        most = prune[min(order, len(prune)) - 1]
        marked = space.file(f"pruned-{order}", counted_dtype(order))
        shorter = np.dtype([("key", f"S{4 * order - 4}")])
        sorter = space.sorter(f"needed-{order - 1}", shorter, [])
        for piece in space.shown(ngrams.pieces(), f"pruning n-grams of {order}", ngrams.count):
            piece["kept"] = piece["count"] > most
            if needed is not None:
                piece["kept"] |= needed.find(np.ascontiguousarray(piece["key"]))[0]
            marked.append(piece)
            ids = ids_of(piece["key"][piece["kept"]])
            for part in (ids[:, :-1], ids[:, 1:]) if order > 2 else ():
                sorter.add(key_of(part).view(shorter))
        needed = Following(sorter.pieces(), shorter)
        ngrams.remove()
        found[order - 1] = replace(counted[order - 1], ngrams=marked)
    return found
