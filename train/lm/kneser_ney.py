"""N-gram language models of texts: modified Kneser-Ney, interpolated.

1. The longest n-grams, and those that begin with <s>, count as often as they occur; shorter ones as often as
   different words stand before them.
2. A count of 1, 2 and 3 or more loses a discount, of each order by its counts of counts: with Y = n1 / (n1 + 2 n2),
   D1 = 1 - 2 Y n2 / n1, D2 = 2 - 3 Y n3 / n2, D3 = 3 - 4 Y n4 / n3. Where these cannot be computed or do not lie
   between 0 and the count, as in little or artificial text, they are `FALLBACK`, as KenLM's --discount_fallback.
3. What the discounts leave of a context goes to the next shorter one, in the end to all words of the vocabulary alike,
   <unk> and </s> among them.
4. N-grams of small counts may be pruned: what they counted goes to the next shorter one, too. Discounts are those of
   all counts, and an n-gram stays that begins or ends a longer one which stays.

N-grams are on disk, in two orders: by the words from the last to the first, where each follows the n-gram it ends with, and
those of a context side by side, where they are normalised. In memory are the words, what sorts may take, and the
n-grams of the one context that has the most.

Source: Chen and Goodman (1998), an empirical study of smoothing techniques, section 3; Heafield et al. (2013), scalable
modified Kneser-Ney language model estimation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.language_model.levels import Keys, Level, Levels, ids_of, key_of, level_dtype, ranks
from stream.records.file import RecordFile, Records
from stream.records.grouping import Combiner, group_starts, whole_groups
from stream.records.joining import Following
from stream.records.workspace import Workspace
from stream.stage import Integers
from train.lm.corpus import BEGIN_ID, read_corpus
from train.lm.counts import Counted, count_ngrams
from train.lm.pruning import pruned

Doubles = NDArray[np.float64]
NEVER = -99.0  # log10 probability of <s>, which is never predicted


def build_ngrams(
    texts: Iterable[Sequence[str]],
    order: int,
    space: Workspace,
    words: Iterable[str] = (),
    prune: Sequence[int] = (),
) -> Levels:
    """Return a language model of texts.

    Args:
        texts: each its words, or pieces.
        order: length of the longest n-grams.
        space: has room for the n-grams; the model is in files of it.
        words: that the model knows though no text has them.
        prune: of each order from 1 on, the largest count that is pruned; the last one goes for longer orders, too.
            Unigrams are not pruned.
    Raises:
        InputError: there is no text, one has the word <s> or </s>, or the disk is full.
    """
    corpus = read_corpus(texts, words, space)
    ids = ranks(corpus.words)
    counted = pruned(count_ngrams(corpus, ids, order, space), prune, space)
    levels: list[Level] = []
    longest = _unigrams(counted[0], ids, space)
    for n, of in enumerate(counted[1:], 2):
        contexts, seen = _normalised(of, n, space)
        shorter = longest
        longest, ends = _interpolated(seen, shorter, n, space)
        levels.append(_finished(shorter, n - 1, ids, space, (contexts, ends)))
    levels.append(_finished(longest, len(counted), ids, space))
    space.show("")
    return Levels(corpus.words, levels)


def _dtype(order: int, **fields: str) -> np.dtype[Any]:
    return np.dtype([("key", f"S{4 * order}"), *fields.items()])


def _unigrams(counted: Counted, ids: Integers, space: Workspace) -> RecordFile:
    """Return the probabilities of all words; that of <s> is none."""
    words = np.arange(len(ids))[:, None]
    counts = np.zeros(len(ids), np.int64)
    for piece in counted.ngrams.pieces():
        counts[ids_of(piece["key"])[:, 0]] = piece["count"]
    counted.ngrams.remove()
    seen, left = _shares(counts, counts > 0, np.zeros(1, np.int64), counted.discounts)
    level = space.file("probabilities-1", _dtype(1, probability="<f8"))
    records = np.zeros(len(ids), level.dtype)
    records["key"] = key_of(words)
    records["probability"] = np.where(counts > 0, seen, 0.0) + left[0] / (len(ids) - 1)
    level.append(records)
    return level


def _shares(
    counts: Integers, kept: NDArray[np.bool_], starts: Integers, discounts: Doubles
) -> tuple[Doubles, Doubles]:
    """Return what each n-gram has by itself, and what each context leaves to the next shorter one (rules 2 to 4).

    Args:
        counts: n-grams, those of a context side by side.
        kept: which of them are not pruned.
        starts: place of the first of each context.
        discounts: of counts 1, 2, and 3 or more.
    """
    kinds = np.minimum(counts, 3)
    totals = np.add.reduceat(counts, starts)
    taken = np.add.reduceat(np.where(kept, 0, counts), starts).astype(np.float64)
    for kind, discount in enumerate(discounts.tolist(), 1):
        taken += discount * np.add.reduceat((kept & (kinds == kind)).astype(np.int64), starts)
    contexts = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(counts)))
    return (counts - discounts[kinds - 1]) / totals[contexts], taken / totals


def _normalised(
    counted: Counted, order: int, space: Workspace
) -> tuple[RecordFile, Iterator[Records]]:
    """Return what each context leaves, and what each n-gram has by itself and its context leaves, sorted by key."""
    by_context = space.sorter(f"by-context-{order}", counted.ngrams.dtype)
    total = counted.ngrams.count
    name = f"n-grams of {order}"
    for piece in space.shown(counted.ngrams.pieces(), f"sorting {name}", total):
        piece["key"] = key_of(np.roll(ids_of(piece["key"]), -1, axis=1))
        by_context.add(piece)
    counted.ngrams.remove()
    contexts = space.file(f"contexts-{order - 1}", _dtype(order - 1, left="<f8", begins="?"))
    by_end = space.sorter(f"by-end-{order}", _dtype(order, seen="<f8", left="<f8"))
    sorted_pieces = space.shown(by_context.pieces(), f"normalising {name}", total)
    for piece in whole_groups(sorted_pieces, _shorter):
        keys = _shorter(piece)
        starts = group_starts(keys)
        counts, kept = piece["count"], piece["kept"]
        seen, left = _shares(counts, kept, starts, counted.discounts)
        of_contexts = np.zeros(len(starts), contexts.dtype)
        of_contexts["key"], of_contexts["left"] = keys[starts], left
        of_contexts["begins"] = np.logical_or.reduceat(kept, starts)
        contexts.append(of_contexts)
        records = np.zeros(len(piece), _dtype(order, seen="<f8", left="<f8"))
        records["key"] = key_of(np.roll(ids_of(piece["key"]), 1, axis=1))
        records["seen"] = seen
        records["left"] = np.repeat(left, np.diff(starts, append=len(piece)))
        by_end.add(records[kept])
    return contexts, by_end.pieces()


def _shorter(records: Records) -> Keys:
    """Return the keys of all words but the last of the key."""
    return key_of(ids_of(records["key"])[:, :-1])


def _interpolated(
    seen: Iterator[Records], shorter: RecordFile, order: int, space: Workspace
) -> tuple[RecordFile, RecordFile]:
    """Return the probabilities of n-grams, and how many of them end with each shorter one."""
    level = space.file(f"probabilities-{order}", _dtype(order, probability="<f8"))
    ends = space.file(f"ends-{order - 1}", _dtype(order - 1, longer="<u4"))
    below = Following(shorter.pieces(), shorter.dtype)
    combiner = Combiner(["longer"])
    for piece in space.shown(seen, f"interpolating n-grams of {order}"):
        keys = _shorter(piece)
        _, found = below.find(keys)  # all are there: rules 1 and 4
        records = np.zeros(len(piece), level.dtype)
        records["key"] = piece["key"]
        records["probability"] = piece["seen"] + piece["left"] * found["probability"]
        level.append(records)
        each = np.ones(len(piece), ends.dtype)
        each["key"] = keys
        ends.append(combiner.add(each))
    ends.append(combiner.end(np.zeros(0, ends.dtype)))
    return level, ends


def _finished(
    level: RecordFile,
    order: int,
    ids: Integers,
    space: Workspace,
    longer: tuple[RecordFile, RecordFile] | None = None,
) -> RecordFile:
    """Return the n-grams of an order as they are in the model.

    Args:
        longer: what each context leaves, and how many longer n-grams end with each; None: these are the longest.
    """
    finished = space.file(f"ngrams-{order}", level_dtype(order))
    places = np.argsort(ids)  # in the list of words, of each id
    contexts, ends = (Following(of.pieces(), of.dtype) for of in longer) if longer else (None, None)
    for piece in space.shown(level.pieces(), f"finishing n-grams of {order}", level.count):
        keys = np.ascontiguousarray(piece["key"])
        records = np.zeros(len(piece), finished.dtype)
        records["key"], records["probability"] = keys, np.log10(piece["probability"])
        records["place"] = finished.count + np.arange(len(piece))
        if contexts is not None and ends is not None:
            there, found = contexts.find(keys)
            records["backoff"][there] = np.log10(found["left"][there])
            records["begins"] = found["begins"]
            records["longer"] = ends.find(keys)[1]["longer"]
        if order == 1:
            numbers = ids_of(keys)[:, 0]
            records["place"] = places[numbers]
            records["probability"][numbers == ids[BEGIN_ID]] = NEVER
        finished.append(records)
    for file in (level, *(longer or ())):
        file.remove()
    return finished
