"""Language models as KenLM's probing binary, as `stream.language_model.probing` describes it.

1. Which buckets of a hash table are taken does not depend on the order in which entries are put in; which entry lies
   where does, only among those of a run of buckets that are taken without a gap: a cluster.
2. So entries are sorted by the bucket where they are looked for first, and cluster by cluster put in, in the order in
   which the model lists them, as KenLM puts in the lines of an ARPA file. The table is written as it comes.
3. A cluster at the end of the table goes on at its beginning. What is written there waits for it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stream.language_model.binary import PROBING, header_bytes, word_key
from stream.language_model.levels import Levels, backoffs, ids_of, levels_of, listed
from stream.language_model.ngram import ArpaTable
from stream.language_model.probing import LONGEST, MIDDLE, UNIGRAM, WORD
from stream.records.file import Records
from stream.records.workspace import Workspace, workspace
from stream.stage import Floats, Integers

MULTIPLIER = 1.5  # buckets an entry, KenLM's own choice
FIRST = 1 << 12  # buckets at the beginning that wait for the end


def write_probing(model: Levels, file: BinaryIO, space: Workspace) -> None:
    """Write a probing binary with its words: the bytes that KenLM's build_binary writes.

    Signs are flags, by which KenLM forgets what no longer n-gram asks for: a probability is positive where one ends with
    its n-gram, and a back-off of 0 is -0 where none begins with it.

    Args:
        file: is written at any place.
        space: for sorting.
    """
    words, places = model.words, listed(model.words)
    file.write(header_bytes(model.order, MULTIPLIER, PROBING, model.counts))
    file.write(struct.pack("<II", 0, len(words)))
    ids = np.zeros(len(words) - 1, WORD)  # the unknown word is not in it, although it has room
    ids["key"] = [word_key(word) for word in words[1:]]
    ids["id"] = np.arange(1, len(words))
    write_table(file, [(ids, ids["id"])], len(words), WORD, space)
    unigrams = np.zeros(len(words) + 1, UNIGRAM)
    for piece in model.levels[0].pieces():
        numbers = places[ids_of(piece["key"])[:, 0]]
        unigrams["probability"][numbers] = _probabilities(piece)
        unigrams["backoff"][numbers] = backoffs(piece)
    file.write(unigrams.tobytes())
    for order, level in enumerate(model.levels[1:], 2):
        dtype = LONGEST if order == model.order else MIDDLE
        pieces = space.shown(level.pieces(), f"writing n-grams of {order}", level.count)
        entries = ((_entries(piece, places, dtype), piece["place"]) for piece in pieces)
        write_table(file, entries, level.count, dtype, space)
    file.write(b"".join(word.encode() + b"\0" for word in words))


def kenlm_binary(table: ArpaTable) -> bytes:
    """Return the probing binary of a language model in memory; see `write_probing`.

    Raises:
        NgramError: the model has no unknown word.
    """
    file = io.BytesIO()
    with workspace() as space:
        write_probing(levels_of(table), file, space)
    return file.getvalue()


def _probabilities(piece: Records) -> Floats:
    """Return probabilities, positive where a longer n-gram ends with its own."""
    values = piece["probability"].astype(np.float32)
    return np.where(piece["longer"] > 0, -values, values)


def _entries(piece: Records, places: Integers, dtype: np.dtype[Any]) -> Records:
    ids = places[ids_of(piece["key"])].astype(np.uint64)
    entries = np.zeros(len(piece), dtype)
    keys = ids[:, 0]
    for column in ids.T[1:]:
        keys = keys * np.uint64(8978948897894561157) ^ (np.uint64(1) + column) * np.uint64(
            17894857484156487943
        )
    entries["key"] = keys
    entries["probability"] = _probabilities(piece)
    if dtype == MIDDLE:
        entries["backoff"] = backoffs(piece)
    return entries


def write_table(
    file: BinaryIO,
    entries: Iterable[tuple[Records, NDArray[np.integer[Any]]]],
    count: int,
    dtype: np.dtype[Any],
    space: Workspace,
) -> None:
    """Write a hash table.

    Args:
        entries: pieces of them, with their places in the order in which they are put in.
        count: of entries for which there is room.
        dtype: of the entries.
    """
    size = max(count + 1, int(MULTIPLIER * count))
    placed = np.dtype([("key", "<i8"), ("place", "<i8"), ("entry", dtype)])
    sorter = space.sorter("table", placed)
    for piece, places in entries:
        records = np.zeros(len(piece), placed)
        records["key"] = piece["key"] % np.uint64(size)
        records["place"], records["entry"] = places, piece
        sorter.add(records)
    begin = file.tell()
    first = last = np.zeros(0, placed)
    for clusters in _whole_clusters(sorter.pieces()):
        if not len(first) or first["key"][-1] < FIRST:
            first = np.concatenate([first, clusters])
        else:
            _put(file, begin, size, last)
            last = clusters
    # Around the end: the last cluster, then those at the beginning, which it may push on.
    end = last if len(last) else first
    cut = int(_cluster_starts(end["key"])[-1]) if len(end) else 0
    if len(last):
        _put(file, begin, size, last[:cut])
    else:
        first = first[:cut]
    first["key"] += size
    _put(file, begin, size, np.concatenate([end[cut:], first]))
    file.seek(begin + size * dtype.itemsize)


def _put(file: BinaryIO, begin: int, size: int, clusters: Records) -> None:
    """Write clusters at their buckets; those from `size` on are at the beginning of the table."""
    if not len(clusters):
        return
    slots = _slots(clusters["key"], clusters["place"])
    start = int(clusters["key"][0])
    entries = np.zeros(int(slots.max()) - start + 1, clusters.dtype["entry"])
    entries[slots - start] = clusters["entry"]
    for part, at in ((entries[: size - start], start), (entries[size - start :], 0)):
        file.seek(begin + at * entries.itemsize)
        file.write(part.tobytes())


def _whole_clusters(pieces: Iterable[Records]) -> Iterator[Records]:
    """Yield entries sorted by bucket in pieces that do not cut a cluster."""
    kept: Records | None = None
    for piece in pieces:
        some = piece if kept is None else np.concatenate([kept, piece])
        cut = int(_cluster_starts(some["key"])[-1])
        yield some[:cut]
        kept = some[cut:]
    if kept is not None:
        yield kept


def _filled(buckets: Integers) -> Integers:
    """Return the buckets that entries take together, one each, sorted."""
    numbers = np.arange(len(buckets))
    return np.maximum.accumulate(buckets - numbers) + numbers


def _cluster_starts(buckets: Integers) -> Integers:
    return np.flatnonzero(_filled(buckets) == buckets)


def _slots(buckets: Integers, places: Integers) -> Integers:
    """Return the bucket where each entry comes to lie.

    Args:
        buckets: where it is looked for first, sorted, of whole clusters.
        places: in the order in which entries are put in.
    """
    starts = _cluster_starts(buckets)
    clusters = np.searchsorted(starts, np.arange(len(buckets)), "right") - 1
    turns = np.arange(len(buckets)) - starts[clusters]  # of its cluster, which entry is put in when
    order = np.lexsort((places, clusters))[np.argsort(turns, kind="stable")]
    taken = np.zeros(int(_filled(buckets)[-1]) - int(buckets[0]) + 1, np.bool_)
    slots = np.empty_like(buckets)
    for entries in np.split(order, np.cumsum(np.bincount(turns))[:-1]):
        at = buckets[entries] - buckets[0]
        while (occupied := taken[at]).any():
            at = at + occupied
        taken[at] = True
        slots[entries] = at + buckets[0]
    return slots
