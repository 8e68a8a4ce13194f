"""Configuration of pruning: which weights become zero, and when."""

from __future__ import annotations

import msgspec

from train.config.duration import Duration, check_duration


class PruningConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights that become zero while the others go on learning, equally many in each bank of a row.

    A bank is so many weights of a row of a matrix, side by side. Weights of small magnitude become zero first, and
    stay so.

    Attributes:
        share: of the weights of a bank that are left in the end; 1: no weight is pruned.
        bank: weights of a bank.
        parts: of the model whose matrices are pruned, see `train.optimiser.weights`.
        start, ramp: durations, until pruning starts and from there to its end.
    """

    share: float = 1.0
    bank: int = 8
    parts: tuple[str, ...] = ("encoder",)
    start: Duration = 0
    ramp: Duration = 1000

    def __post_init__(self) -> None:
        if self.bank < 1:
            raise ValueError(f"pruning.bank is {self.bank}, wants at least 1")
        if not (0.0 < self.share <= 1.0 and (self.share * self.bank).is_integer()):
            raise ValueError(
                f"pruning.share is {self.share}, wants a whole number of the {self.bank} weights of a bank: "
                f"{1 / self.bank:g}, {2 / self.bank:g}, ... 1"
            )
        if not self.parts:
            raise ValueError('pruning.parts is empty, wants parts of the model, as ["encoder"]')
        check_duration("pruning.start", self.start)
        check_duration("pruning.ramp", self.ramp)

    @property
    def kept(self) -> int:
        """How many weights of a bank are left in the end."""
        return round(self.share * self.bank)
