"""Language models as files: ARPA's text, and KenLM's probing binary as `stream.language_model.probing` describes it."""

from __future__ import annotations

import struct

from stream.language_model.binary import PROBING, header_bytes, word_key
from stream.language_model.ngram import UNKNOWN, ArpaTable, NgramError
from stream.language_model.probing import ngram_key

MULTIPLIER = 1.5  # buckets an entry, KenLM's own choice


def arpa_text(table: ArpaTable) -> str:
    """Return the ARPA file of a language model; a back-off of 0 is written out, too, except of the longest."""
    lines = ["\\data\\"]
    by_order = _by_order(table)
    lines += [f"ngram {order}={len(ngrams)}" for order, ngrams in enumerate(by_order, 1)]
    words = {number: word for word, number in table.ids.items()}
    for order, ngrams in enumerate(by_order, 1):
        lines += ["", f"\\{order}-grams:"]
        for ids, (probability, backoff) in ngrams.items():
            text = " ".join(words[number] for number in ids)
            more = f"\t{backoff:.7g}" if order < table.order else ""
            lines.append(f"{probability:.7g}\t{text}{more}")
    return "\n".join([*lines, "", "\\end\\", ""])


def kenlm_binary(table: ArpaTable) -> bytes:
    """Return the bytes of a probing binary with its words: those that KenLM's build_binary writes.

    Signs are flags, by which KenLM forgets what no longer n-gram asks for: a probability is positive where one ends with
    its n-gram, and a back-off of 0 is -0 where none begins with it.

    Raises:
        NgramError: the model has no unknown word, which is the word 0 of the format.
    """
    if UNKNOWN not in table.ids:
        raise NgramError(f"n-gram: the model has no {UNKNOWN}, which KenLM's format wants")
    words = [UNKNOWN, *(word for word in table.ids if word != UNKNOWN)]
    place = {table.ids[word]: number for number, word in enumerate(words)}
    by_order = _by_order(_flagged(table))
    content = header_bytes(table.order, MULTIPLIER, PROBING, list(map(len, by_order)))
    content += struct.pack("<II", 0, len(words))
    ids = {word_key(word): struct.pack("<I", n) for n, word in enumerate(words) if n}
    content += _hashed(
        ids, 12, len(words)
    )  # with room for the unknown word, although it is not in it
    unigrams = {place[ids[0]]: values for ids, values in by_order[0].items()}
    content += b"".join(struct.pack("<ff", *unigrams[n]) for n in range(len(words))) + bytes(8)
    for order, ngrams in enumerate(by_order[1:], 2):
        longest = order == table.order
        entries = {
            ngram_key([place[number] for number in ids]): struct.pack("<f", probability)
            + (b"" if longest else struct.pack("<f", backoff))
            for ids, (probability, backoff) in ngrams.items()
        }
        content += _hashed(entries, 12 if longest else 16, len(entries))
    return content + b"".join(word.encode() + b"\0" for word in words)


def _flagged(table: ArpaTable) -> ArpaTable:
    begins = {ids[:-1] for ids in table.ngrams}
    ends = {ids[1:] for ids in table.ngrams}
    signed = {
        ids: (
            -probability if ids in ends else probability,
            -0.0 if backoff == 0.0 and ids not in begins else backoff,
        )
        for ids, (probability, backoff) in table.ngrams.items()
    }
    return ArpaTable(table.order, table.ids, signed)


def _by_order(table: ArpaTable) -> list[dict[tuple[int, ...], tuple[float, float]]]:
    """Return the n-grams of each order, from 1 on."""
    found: list[dict[tuple[int, ...], tuple[float, float]]] = [{} for _ in range(table.order)]
    for ids, values in table.ngrams.items():
        found[len(ids) - 1][ids] = values
    return found


def _hashed(entries: dict[int, bytes], size: int, count: int) -> bytes:
    """Lay out a hash table of entries of so many bytes, with room for a number of them."""
    buckets: list[bytes | None] = [None] * max(count + 1, int(MULTIPLIER * count))
    for key, value in entries.items():
        at = key % len(buckets)
        while buckets[at] is not None:
            at = (at + 1) % len(buckets)
        buckets[at] = struct.pack("<Q", key) + value
    return b"".join(bucket or bytes(size) for bucket in buckets)
