"""State resets on a live stream: overlapping segments, decoded side by side and joined without loss.

A model that was trained on short utterances drifts on a long one, so encoder and decoder restart from
their initial states every 12 s. The new segment's row runs beside the old one until the two agree, then
takes over; until then the old row's tokens are given out, so nothing is delayed. Front end and
normaliser do not restart. The caller steps the two rows: this file says when a second row begins, when
it takes over, and which of its tokens are still to be given out. Steps are encoder frames, counted
from the start of the stream in both rows.

Rules of a channel:

1. A segment begins `period` steps after the one before, in a fresh state, as the second row.
2. For `warm` steps its tokens are not trusted.
3. After that it takes over at the first step at which the two rows agree: neither emitted for `QUIET`
   steps, or the last `TAIL` tokens of both are the same, all emitted since the segment was warm, and no
   two of a pair are more than `APART` steps apart. Then none of its tokens is still to be given out.
4. If they never agree, it takes over `overlap` steps after it began. Its tokens that were given out
   already are those that an alignment of least edits with the old row's finds: tokens more than `APART`
   steps apart never replace each other, and what the old row alone emitted while the new one was not
   warm costs nothing. Of equal alignments the longest wins, so a token may be lost but is not repeated.
5. Tokens of the old row that the alignment leaves over at its end are pending duplicates: where the new
   row emits one of them within `APART` steps of it, in their order, it is not given out again.
6. Steps never go back: a token of the new row that is given out after a later one of the old row gets its step.

Myrtle's merging of whole recordings (`hwckpt.conformance.whole_recordings`) always waits for the end of the
overlap, then compares three tokens on either side; it loses what the old row emits after the overlap
and the new one before it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stream.decoding.greedy import Token

QUIET = 10  # steps; no two rows emit the same token further apart
TAIL = 3
APART = 5


@dataclass(frozen=True)
class ResetConfig:
    """When states are reset, in encoder frames; the defaults are for frames of 60 ms.

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
class Overlap:
    """The two rows of a channel: which one is given out, and what the other one adds.

    Attributes:
        config: when states are reset.
        begun: step at which the first row began, whose tokens are given out.
        second: step at which the second row began, or None: there is none.
        old: tokens of the first row since the second one began.
        new: tokens of the second row.
        duplicates: pending duplicates, by rule 5.
        agreed: whether the two rows agreed at the last step.
    """

    config: ResetConfig = field(default_factory=ResetConfig)
    begun: int = 0
    second: int | None = None
    old: list[Token] = field(default_factory=list)
    new: list[Token] = field(default_factory=list)
    duplicates: list[Token] = field(default_factory=list)
    agreed: bool = False

    def begins(self, step: int) -> bool:
        """Return whether a second row begins with this step; from then on there is one (rule 1)."""
        if self.second is not None or step - self.begun < self.config.period:
            return False
        self.second = step
        return True

    def without_duplicates(self, tokens: Sequence[Token]) -> list[Token]:
        """Return the tokens of the first row that were not given out already (rule 5)."""
        kept = []
        for token in tokens:
            match = next(
                (
                    i
                    for i, before in enumerate(self.duplicates)
                    if before.id == token.id and abs(before.step - token.step) <= APART
                ),
                None,
            )
            if match is None:
                kept.append(token)
            else:
                del self.duplicates[: match + 1]
        return kept

    def step(
        self,
        step: int,
        old: Sequence[Token],
        new: Sequence[Token],
        old_partial: Sequence[Token] = (),
        new_partial: Sequence[Token] = (),
    ) -> bool:
        """Take the tokens of a step of both rows; return whether the second row takes over with it.

        Args:
            step: of both rows.
            old, new: tokens that the first and the second row emitted, as finals.
            old_partial, new_partial: what their best hypotheses add to all finals so far.
        """
        if self.second is None:
            return False
        self.old += old
        self.new += new
        age = step + 1 - self.second
        self.agreed = age > self.config.warm and self._agree(
            step, [*self.old, *old_partial], [*self.new, *new_partial]
        )
        return self.agreed or age >= self.config.overlap

    def take_over(self, old: Sequence[Token] = (), new: Sequence[Token] = ()) -> list[Token]:
        """Make the second row the first one.

        Args:
            old, new: what the rows of a beam emit when they are committed.
        Returns:
            tokens of the second row that are still to be given out.
        """
        assert self.second is not None, "there is no second row"
        rest: list[Token] = []
        self.duplicates = []
        if not self.agreed:
            olds, news = [*self.old, *old], [*self.new, *new]
            covering, covered = _aligned(olds, news, self.second + self.config.warm)
            latest = olds[-1].step if olds else 0
            rest = [replace(t, step=max(t.step, latest)) for t in news[covered:]]
            self.duplicates = olds[covering:]
        self.begun, self.second, self.old, self.new = self.second, None, [], []
        return rest

    def _agree(self, step: int, old: list[Token], new: list[Token]) -> bool:
        """Return whether the rows agree (rule 3)."""
        if all(step - tokens[-1].step >= QUIET for tokens in (old, new) if tokens):
            return True
        trusted = (self.second or 0) + self.config.warm
        old, new = old[-TAIL:], new[-TAIL:]
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
