"""State resets on a live stream: overlapping segments decoded side by side, joined without a seam.

A model that was trained on short utterances drifts on a long one, so encoder and decoder start afresh
every 12 s. The new segment runs beside the old one until the two agree, then takes over; the old one
is what is heard until then, so nothing is delayed. Front end and normaliser go on through all of it.
Who steps the two rows is the caller's business: this file says when a second row begins, when it
takes over, and which of its tokens are still to be heard. Steps are encoder frames (60 ms), counted
from the start of the stream in both rows.

Rules of a channel:

1. A segment begins `period` steps after the one before, in a fresh state, as the second row.
2. For `warm` steps its tokens are not trusted.
3. After that it takes over at the first step at which the two agree: neither emitted for `QUIET` steps,
   or the last `TAIL` tokens of both are the same, all since the segment was warm, and no pair of them
   is more than `APART` steps apart. Then it has nothing to say that was not heard.
4. If they never do, it takes over `overlap` steps after it began. What of its tokens was heard is what
   an alignment with the old row's finds, by least edits: of tokens that are apart by more than
   `APART` steps none replaces the other; what the old row alone heard while the new one was not warm
   costs nothing. Of equals the longest wins, so rather nothing than something twice.
5. Tokens of the old row that such an alignment leaves over at its end are owed: where the new row
   emits one of them within `APART` steps of it, in their order, it was heard already.

Myrtle's merging (`stream.decoding.state_resets`) always waits for the overlap's end, then looks at
three tokens on either side; what the old row emits after its end and the new one before it is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.decoding.greedy import Token

__all__ = ["ResetConfig", "Splice"]

QUIET = 10  # steps; no two rows emit the same token further apart
TAIL = 3
APART = 5


@dataclass(frozen=True)
class ResetConfig:
    """When states are reset; in encoder steps of 60 ms.

    Attributes:
        segment: length of a segment, 15 s.
        overlap: of a segment with the one before, 3 s.
    Raises:
        ValueError: the overlap is too short to warm up in, or not shorter than half a segment.
    """

    segment: int = 250
    overlap: int = 50

    def __post_init__(self) -> None:
        if not 2 * QUIET <= self.overlap <= self.segment // 2:
            raise ValueError(
                f"state resets: overlap is {self.overlap} of {self.segment} steps, wants "
                f"{2 * QUIET} to {self.segment // 2}"
            )

    @property
    def period(self) -> int:
        """Steps from the start of a segment to that of the next."""
        return self.segment - self.overlap

    @property
    def warm(self) -> int:
        """Steps of a segment that are not trusted."""
        return self.overlap // 2


@dataclass
class Splice:
    """What a channel remembers of its two rows.

    Attributes:
        config: when states are reset.
        begun: step at which the row that is heard began.
        second: step at which the second row began, or None: there is none.
        heard: tokens of the row that is heard, since the second one began.
        waiting: tokens of the second row.
        owed: tokens of the row before, by rule 5.
        agreed: whether the two rows agreed at the last step.
    """

    config: ResetConfig = field(default_factory=ResetConfig)
    begun: int = 0
    second: int | None = None
    heard: list[Token] = field(default_factory=list)
    waiting: list[Token] = field(default_factory=list)
    owed: list[Token] = field(default_factory=list)
    agreed: bool = False

    def begins(self, step: int) -> bool:
        """Return whether a second row begins with this step; from then on there is one (rule 1)."""
        if self.second is not None or step - self.begun < self.config.period:
            return False
        self.second = step
        return True

    def new(self, tokens: Sequence[Token]) -> list[Token]:
        """Return the tokens of the row that is heard without those that were heard (rule 5)."""
        kept = []
        for token in tokens:
            match = next(
                (
                    i
                    for i, owed in enumerate(self.owed)
                    if owed.id == token.id and abs(owed.step - token.step) <= APART
                ),
                None,
            )
            if match is None:
                kept.append(token)
            else:
                del self.owed[: match + 1]
        return kept

    def step(
        self,
        step: int,
        heard: Sequence[Token],
        waiting: Sequence[Token],
        heard_partial: Sequence[Token] = (),
        waiting_partial: Sequence[Token] = (),
    ) -> bool:
        """Take what a step brought in both rows; return whether the second takes over with it.

        Args:
            step: of both rows.
            heard, waiting: tokens that the first and the second row emitted, as finals.
            heard_partial, waiting_partial: what their best hypotheses add to all finals so far.
        """
        if self.second is None:
            return False
        self.heard += heard
        self.waiting += waiting
        age = step + 1 - self.second
        self.agreed = age > self.config.warm and self._agree(
            step, [*self.heard, *heard_partial], [*self.waiting, *waiting_partial]
        )
        return self.agreed or age >= self.config.overlap

    def take_over(self, heard: Sequence[Token] = (), waiting: Sequence[Token] = ()) -> list[Token]:
        """Make the second row the one that is heard.

        Args:
            heard, waiting: what a beam's rows emit as they are committed, heard already and not.
        Returns:
            tokens of the second row that are still to be heard.
        """
        assert self.second is not None, "there is no second row"
        rest: list[Token] = []
        self.owed = []
        if not self.agreed:
            old, new = [*self.heard, *heard], [*self.waiting, *waiting]
            covering, covered = _aligned(old, new, self.second + self.config.warm)
            rest, self.owed = new[covered:], old[covering:]
        self.begun, self.second, self.heard, self.waiting = self.second, None, [], []
        return rest

    def _agree(self, step: int, heard: list[Token], waiting: list[Token]) -> bool:
        """Rule 3."""
        if all(step - tokens[-1].step >= QUIET for tokens in (heard, waiting) if tokens):
            return True
        trusted = (self.second or 0) + self.config.warm
        old, new = heard[-TAIL:], waiting[-TAIL:]
        return (
            len(new) == len(old) == TAIL
            and min(old[0].step, new[0].step) >= trusted
            and all(
                a.id == b.id and abs(a.step - b.step) <= APART
                for a, b in zip(old, new, strict=True)
            )
        )


def _aligned(old: Sequence[Token], new: Sequence[Token], trusted: int) -> tuple[int, int]:
    """Return how many old tokens are aligned with how many new ones (rule 4)."""
    # costs[i][j]: edits between the first i old tokens and the first j new ones. New ones from before
    # `trusted` are covered, whatever they are.
    cold = sum(token.step < trusted for token in new)
    costs = [[float(max(j - cold, 0)) for j in range(len(new) + 1)]]
    dropped = [float(token.step >= trusted) for token in old]
    for a, drop in zip(old, dropped, strict=True):
        before, row = costs[-1], [costs[-1][0] + drop]
        for j, b in enumerate(new, 1):
            replace = 2.0 if abs(a.step - b.step) > APART else float(a.id != b.id)
            insert = float(b.step >= trusted)
            row.append(min(before[j - 1] + replace, before[j] + drop, row[-1] + insert))
        costs.append(row)
    least = min(costs[-1][cold:])
    covered = max(j for j in range(cold, len(new) + 1) if costs[-1][j] == least)
    covering = len(old)
    while covering and costs[covering - 1][covered] + dropped[covering - 1] == least:
        covering, least = covering - 1, costs[covering - 1][covered]
    return covering, covered
