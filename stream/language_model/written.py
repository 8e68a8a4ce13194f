"""Language models as ARPA files; KenLM's binaries are in `written_probing` and `written_trie`."""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np

from stream.language_model.levels import Level, Levels, ids_of, levels_of, listed
from stream.language_model.ngram import ArpaTable
from stream.records.file import Records
from stream.records.workspace import Workspace, workspace


def write_arpa(model: Levels, file: BinaryIO, space: Workspace) -> None:
    """Write a language model as an ARPA file; a back-off of 0 is written out, too, except of the longest.

    N-grams are in the order of their records, words in that of the model's list.
    """
    lines = ["\\data\\"]
    lines += [f"ngram {order}={count}" for order, count in enumerate(model.counts, 1)]
    file.write("\n".join(lines).encode())
    words = [model.words[place] for place in listed(model.words).tolist()]
    for order, level in enumerate(model.levels, 1):
        file.write(f"\n\n\\{order}-grams:".encode())
        pieces = level.pieces() if order > 1 else [_as_listed(level)]
        for piece in space.shown(pieces, f"writing n-grams of {order}", level.count):
            columns = [map(words.__getitem__, of) for of in ids_of(piece["key"]).T[::-1].tolist()]
            texts = map(" ".join, zip(*columns, strict=True))
            numbers = piece["probability"].tolist(), piece["backoff"].tolist()
            values = zip(texts, *numbers, strict=True)
            if order < model.order:
                some = [f"\n{p:.7g}\t{text}\t{backoff:.7g}" for text, p, backoff in values]
            else:
                some = [f"\n{p:.7g}\t{text}" for text, p, _ in values]
            file.write("".join(some).encode())
    file.write(b"\n\n\\end\\\n")


def _as_listed(unigrams: Level) -> Records:
    records = np.concatenate(list(unigrams.pieces()))
    return records[np.argsort(records["place"])]


def arpa_text(table: ArpaTable) -> str:
    """Return the ARPA file of a language model in memory."""
    file = io.BytesIO()
    with workspace() as space:
        write_arpa(levels_of(table), file, space)
    return file.getvalue().decode()
