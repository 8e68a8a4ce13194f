"""When each word appeared for good: the receiving side of user-perceived latency (UPL).

1. A character of final text arrived with the earliest of the texts that showed it at its place without
   a break until the final one. Provisional texts too short to reach its place neither show nor break
   it.
2. A word arrived with the last of its characters.
3. Words are separated by white space; text that does not begin with it continues the previous word.

Source: the published rules of Myrtle's benchmark client for its word times.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.load.dialects import Said
from stream.ctm import TimedWord


def final_text(said: Sequence[Said]) -> str:
    """Return all final text, as it stands."""
    return "".join(part.text for part in said if part.final)


def arrivals(said: Sequence[Said], start: float = 0.0) -> list[TimedWord]:
    """Return the words of the final text and when each arrived.

    Args:
        said: what came, in order.
        start: of the stream; times are seconds since then.
    """
    characters: list[tuple[str, float]] = []
    shown: list[tuple[str, float]] = []  # the provisional texts since the last final one
    for part in said:
        if not part.final:
            shown.append((part.text, part.time))
            continue
        for place, character in enumerate(part.text):
            time = part.time
            for text, earlier in reversed(shown):
                if len(text) <= place:
                    continue
                if text[place] != character:
                    break
                time = earlier
            characters.append((character, time))
        shown = [(text[len(part.text) :], time) for text, time in shown]
    words: list[TimedWord] = []
    within = False
    for character, time in characters:
        if character.isspace():
            within = False
        elif within:
            word, before = words[-1]
            words[-1] = (word + character, max(before, time - start))
        else:
            words.append((character, time - start))
            within = True
    return words
