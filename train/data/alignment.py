"""Words' times of transcripts, from what a model hears: for splicing, and for whoever wants to see them.

The model streams each recording, and its words get the times of their sound (`stream.engine.alignment`). A word of
the transcript has the times of the word that was heard in its place; words that the model did not hear, or
heard otherwise, have none. So a model that errs gives fewer times and no wrong words.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from stream.engine.alignment import Span
from train.data.records.words import TimedWord


def timed_words(
    text: str, heard: Sequence[str], times: Sequence[Span], rule: Callable[[str], str] = str
) -> tuple[TimedWord, ...]:
    """Return the words of a transcript, with the times of those that were heard.

    Args:
        text: transcript.
        heard: words that were heard, and when each sounds.
        rule: brings a word to the spelling in which it was heard; it may make several of it, or none.
    """
    words = text.split()
    spelt = [rule(word).split() for word in words]
    matcher = difflib.SequenceMatcher(None, sum(spelt, []), list(heard), autojunk=False)
    of: dict[int, Span] = {}  # place of a spelt word -> when it sounds
    for place, other, size in matcher.get_matching_blocks():
        of |= {place + n: times[other + n] for n in range(size)}
    found, begin = [], 0
    for word, parts in zip(words, spelt, strict=True):
        end = begin + len(parts)
        first, last = of.get(begin), of.get(end - 1)
        if parts and first is not None and last is not None:
            found.append(TimedWord(word, round(first.start, 3), round(last.end, 3)))
        else:
            found.append(TimedWord(word))
        begin = end
    return tuple(found)
