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

Source: Chen and Goodman (1998), an empirical study of smoothing techniques, section 3; Heafield et al. (2013), scalable
modified Kneser-Ney language model estimation. Counts are in memory (docs/training.md says how much they take); larger
texts are for KenLM's lmplz, whose files Rill reads.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from stream.errors import InputError
from stream.language_model.ngram import BEGIN, UNKNOWN, ArpaTable, Context

END = "</s>"
FALLBACK = (0.5, 1.0, 1.5)
NEVER = -99.0  # log10 probability of <s>, which is never predicted


def build_ngrams(
    texts: Iterable[Sequence[str]],
    order: int,
    words: Iterable[str] = (),
    prune: Sequence[int] = (),
) -> ArpaTable:
    """Return a language model of texts.

    Args:
        texts: each its words, or pieces.
        order: length of the longest n-grams.
        words: that the model knows though no text has them.
        prune: of each order from 1 on, the largest count that is pruned; the last one goes for longer orders, too.
            Unigrams are not pruned.
    Raises:
        InputError: there is no text.
    """
    ids: dict[str, int] = {}
    for word in (UNKNOWN, BEGIN, END, *words):
        ids.setdefault(word, len(ids))
    counts: list[Counter[Context]] = [Counter() for _ in range(order)]
    for text in texts:
        sentence = [ids[BEGIN], *(ids.setdefault(word, len(ids)) for word in text), ids[END]]
        for length in range(1, order + 1):
            for end in range(max(length, 2), len(sentence) + 1):  # <s> by itself is not counted
                counts[length - 1][tuple(sentence[end - length : end])] += 1
    if not counts[0]:
        raise InputError("language model: there is no text")
    while not counts[-1]:  # no text is so long
        counts.pop()
    counts = _adjusted(counts, ids[BEGIN])
    return _estimated(ids, counts, _kept(counts, prune))


def _adjusted(counts: Sequence[Counter[Context]], begin: int) -> list[Counter[Context]]:
    """Return the counts of rule 1."""
    adjusted = [counts[-1]]
    for longer in reversed(counts[1:]):
        continued = Counter(ngram[1:] for ngram in longer)
        shorter = counts[len(counts) - len(adjusted) - 1]
        continued |= Counter({n: count for n, count in shorter.items() if n[0] == begin})
        adjusted.insert(0, continued)
    return adjusted


def _kept(counts: Sequence[Counter[Context]], prune: Sequence[int]) -> list[Collection[Context]]:
    """Return the n-grams of each order that stay (rule 4)."""
    if not any(prune):
        return list(counts)
    kept: list[Collection[Context]] = []
    longer: set[Context] = set()
    for order in range(len(counts), 1, -1):
        most = prune[min(order, len(prune)) - 1]
        stay = {ngram for ngram, count in counts[order - 1].items() if count > most} | longer
        longer = {ngram[:-1] for ngram in stay} | {ngram[1:] for ngram in stay}
        kept.insert(0, stay & counts[order - 1].keys())
    return [counts[0], *kept]


def _estimated(
    ids: dict[str, int], counts: Sequence[Counter[Context]], kept: Sequence[Collection[Context]]
) -> ArpaTable:
    begin = ids[BEGIN]
    probabilities: dict[Context, float] = {}
    left: dict[Context, float] = {}  # of a context, what goes to the next shorter one
    uniform = 1.0 / (len(ids) - 1)
    for ngrams, stay in zip(counts, kept, strict=True):
        discounts = _discounts(ngrams)
        totals: defaultdict[Context, int] = defaultdict(int)
        taken: defaultdict[Context, float] = defaultdict(float)
        for ngram, count in ngrams.items():
            totals[ngram[:-1]] += count
            taken[ngram[:-1]] += discounts[min(count, 3) - 1] if ngram in stay else count
        left |= {context: taken[context] / total for context, total in totals.items()}
        if () in totals:  # words that no text has are left to the uniform distribution
            probabilities |= {(n,): left[()] * uniform for n in ids.values() if n != begin}
        for ngram, count in ngrams.items():
            if ngram not in stay:
                continue
            context = ngram[:-1]
            below = probabilities[ngram[1:]] if context else uniform
            seen = (count - discounts[min(count, 3) - 1]) / totals[context]
            probabilities[ngram] = seen + left[context] * below
    found = {
        ngram: (math.log10(probability), math.log10(left[ngram]) if ngram in left else 0.0)
        for ngram, probability in probabilities.items()
    }
    found[(begin,)] = (NEVER, math.log10(left[(begin,)]) if (begin,) in left else 0.0)
    return ArpaTable(len(counts), ids, found)


def _discounts(counts: Counter[Context]) -> tuple[float, ...]:
    """Return the discounts of rule 2."""
    n = Counter(counts.values())
    if not all(n[count] for count in (1, 2, 3, 4)):
        return FALLBACK
    y = n[1] / (n[1] + 2 * n[2])
    found = tuple(count - (count + 1) * y * n[count + 1] / n[count] for count in (1, 2, 3))
    return found if all(0.0 < d < count for count, d in enumerate(found, 1)) else FALLBACK
