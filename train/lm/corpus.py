"""Texts as word ids on disk: read once, however long they are; the words are in memory.

Ids are in the order in which words are met, behind <unk>, <s>, </s> and the words that are given. A text ends with </s>;
<s> is not written.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stream.errors import InputError
from stream.language_model.ngram import BEGIN, END, UNKNOWN
from stream.records.file import RecordFile
from stream.records.workspace import Workspace
from stream.stage import Integers

BEGIN_ID, END_ID = 1, 2
AT_ONCE = 1 << 18  # words in memory
TOKEN = np.dtype(np.uint32)


@dataclass(frozen=True)
class Corpus:
    """Some texts.

    Attributes:
        words: by id.
        tokens: their ids, of `TOKEN`.
        longest: words of the longest text, <s> and </s> among them.
    """

    words: Sequence[str]
    tokens: RecordFile
    longest: int

    def ngrams(self, order: int) -> Iterator[Integers]:
        """Yield the n-grams that end with each word but <s>, (count, order), the last word of each first.

        What is before the beginning of a text is <s>, so that one of "a b" is "<s> <s> a".
        """
        before = np.full(order - 1, BEGIN_ID, np.int64)  # the last words of the piece before
        within = 0  # words of the text that is open
        for piece in self.tokens.pieces(AT_ONCE):
            tokens = np.concatenate([before, piece.astype(np.int64)])
            own = tokens[order - 1 :]
            numbers = np.arange(len(own))
            starts = np.full(len(own), -within)
            starts[1:] = np.where(own[:-1] == END_ID, numbers[1:], -within)
            offsets = numbers - np.maximum.accumulate(starts)  # words of the text before each
            columns = [
                np.where(offsets >= back, tokens[order - 1 - back : len(tokens) - back], BEGIN_ID)
                for back in range(order)
            ]
            yield np.stack(columns, axis=1)
            within = 0 if own[-1] == END_ID else int(offsets[-1]) + 1
            before = tokens[len(tokens) - (order - 1) :]


def read_corpus(texts: Iterable[Sequence[str]], words: Iterable[str], space: Workspace) -> Corpus:
    """Write texts as ids.

    Args:
        texts: each its words.
        words: that the model knows though no text has them.
    Raises:
        InputError: there is no text, or one has the word <s> or </s>.
    """
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    for word in (UNKNOWN, BEGIN, END, *words):
        numbers[word]  # gives it an id
    tokens = space.file("tokens", TOKEN)
    ids = array("I")
    count = longest = 0

    def write() -> None:
        tokens.append(np.array(ids, TOKEN))
        del ids[:]
        space.show(f"read {count} texts, {tokens.count} words")

    for count, text in enumerate(texts, 1):
        if BEGIN in text or END in text:
            raise InputError(
                f"language model: text {count} has the word {BEGIN if BEGIN in text else END}, which stands for "
                "the beginning or end of a text; take it out"
            )
        ids.extend(map(numbers.__getitem__, text))
        ids.append(END_ID)
        longest = max(longest, len(text) + 2)
        if len(ids) >= AT_ONCE:
            write()
    if not count:
        raise InputError("language model: there is no text")
    write()
    return Corpus(list(numbers), tokens, longest)
