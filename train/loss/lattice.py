"""The transducer's lattice: losses and posteriors from the log-weights of its arcs (NUMERICS 5.1).

A node (t, u) has two arcs:

    N(t, u): blank, time moves on          E(t, u): the next label is emitted

Forward and backward variables run over the valid nodes only, so padding costs nothing: on the CPU in compiled
loops, elsewhere a diagonal of the lattice at a time (`train.loss.diagonals`). What weights the arcs have is `train.loss.transducer`'s to say; `Penalties` change them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.loss import diagonals

_jit: Any = numba.njit(cache=True, error_model="numpy")


@dataclass(frozen=True)
class Penalties:
    """What changes the arcs' weights (NUMERICS 5.1).

    Attributes:
        delay: lambda; a label at step t of T gains lambda ((T - 1) / 2 - t).
        eos: id of the end-of-stream token, whose delay counts `eos_penalty` besides.
        star: id of the token that stands for anything: probability 1, and leaving its row by a blank
            has probability `star_penalty`.
    """

    delay: float = 0.0
    eos: int | None = None
    eos_penalty: float = 0.0
    star: int | None = None
    star_penalty: float = 1.0


@dataclass(frozen=True)
class Lattice:
    """The valid nodes of a batch, packed: row by row, step by step, label by label.

    Attributes:
        blank: the class that moves time on.
        sizes: steps and labels of each row.
        row, step, position: (nodes,) int64 of each node; the position is its u.
        label: (nodes,) int64, the class of E(t, u); blank where there is none.
        blank_constant, label_constant: (nodes,) float64, NaN where the arc is the logit's own; else
            its whole log-weight. label_bonus: (nodes,) float64, added to E.
    """

    blank: int
    sizes: tuple[tuple[int, int], ...]
    row: Tensor
    step: Tensor
    position: Tensor
    label: Tensor
    blank_constant: Tensor
    label_constant: Tensor
    label_bonus: Tensor

    @classmethod
    def of(
        cls,
        targets: Tensor,
        steps: Tensor,
        labels: Tensor,
        shape: tuple[int, int, int, int],
        blank: int,
        penalties: Penalties,
        device: torch.device,
    ) -> Lattice:
        """Lay out the lattice of a batch.

        Args:
            targets, steps, labels, blank, penalties: as `transducer_loss` takes them.
            shape: of the scores, (rows, steps, labels, classes) at most.
            device: on which it is solved.
        Raises:
            ValueError: a length or a target of a row does not fit.
        """
        batch, most_steps, most_labels, classes = shape
        t_of, u_of, ids = (
            given.cpu().numpy().astype(np.int64) for given in (steps, labels, targets)
        )
        if len(t_of) != batch or len(u_of) != batch or ids.shape[0] != batch:
            raise ValueError(
                f"transducer loss: {batch} rows of scores, {len(ids)} of targets, "
                f"{len(t_of)} and {len(u_of)} lengths"
            )
        for row, (t, u) in enumerate(zip(t_of, u_of, strict=True)):
            if not (1 <= t <= most_steps and 0 <= u <= min(most_labels, ids.shape[1])):
                raise ValueError(
                    f"transducer loss: row {row} has {t} steps (1 to {most_steps}) and {u} labels "
                    f"(0 to {min(most_labels, ids.shape[1])})"
                )
            own = ids[row, :u]
            if np.any((own < 0) | (own >= classes) | (own == blank)):
                raise ValueError(
                    f"transducer loss: row {row} has targets {own.tolist()}, wants ids below "
                    f"{classes} other than blank, {blank}"
                )
        sizes = t_of * (u_of + 1)
        first = np.concatenate([[0], np.cumsum(sizes)])
        of_row = np.repeat(np.arange(batch), sizes)
        inside = np.arange(first[-1]) - first[of_row]
        width = u_of[of_row] + 1
        step, position = inside // width, inside % width
        padded = np.concatenate([ids, np.full((batch, 1), blank)], axis=1)
        label = np.where(
            position < u_of[of_row], padded[of_row, np.minimum(position, ids.shape[1])], blank
        )
        early = (t_of[of_row] - 1) / 2 - step
        is_eos = label == penalties.eos if penalties.eos is not None else False
        label_bonus = early * (penalties.delay + np.where(is_eos, penalties.eos_penalty, 0.0))
        blank_constant, label_constant = np.full((2, len(of_row)), np.nan)
        if penalties.star is not None:
            star = label == penalties.star
            label_constant[star] = (penalties.delay * early)[star]
            before = padded[of_row, np.maximum(position - 1, 0)]
            after_star = (position > 0) & (before == penalties.star)
            blank_constant[after_star] = np.log(penalties.star_penalty)

        def there(values: NDArray[Any]) -> Tensor:
            tensor = torch.from_numpy(values)
            return (tensor.to(_real(device)) if tensor.is_floating_point() else tensor).to(device)

        nodes = (of_row, step, position, label, blank_constant, label_constant, label_bonus)
        of_rows = tuple(zip(t_of.tolist(), u_of.tolist(), strict=True))
        return cls(blank, of_rows, *map(there, nodes))

    @property
    def nodes(self) -> int:
        """How many there are."""
        return len(self.row)

    def empty(self) -> Tensor:
        """Return (nodes,) to be filled with log-probabilities, float64 where the device has it."""
        return torch.empty_like(self.label_bonus)

    def solve(self, blank: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses (B,), and for each node the posteriors that reach its two logits.

        Args:
            blank, label: (nodes,) log-probabilities of the two classes.
        """
        own_n, own_e = self.blank_constant.isnan(), self.label_constant.isnan()
        n = torch.where(own_n, blank, self.blank_constant)
        e = torch.where(own_e, label + self.label_bonus, self.label_constant)
        if n.device.type == "cpu":
            sizes = np.array(self.sizes, np.int64).reshape(-1, 2)
            found = _forward_backward(n.numpy(), e.numpy(), sizes[:, 0], sizes[:, 1])
            losses, of_blank, of_label = map(torch.from_numpy, found)
        else:
            losses, of_blank, of_label = diagonals.forward_backward(
                n, e, self.sizes, self.row, self.step, self.position
            )
        return losses, of_blank.masked_fill_(~own_n, 0.0), of_label.masked_fill_(~own_e, 0.0)


def _real(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # which has no other


@_jit
def _log_add(a: Any, b: Any) -> Any:
    if a < b:
        a, b = b, a
    if b == -np.inf:
        return a
    return a + np.log1p(np.exp(b - a))


@_jit
def _forward_backward(n: Any, e: Any, steps: Any, labels: Any) -> Any:
    rows = len(steps)
    begin = 0
    losses = np.empty(rows)
    of_blank, of_label = np.zeros(len(n)), np.zeros(len(n))
    alpha = np.empty(len(n))
    for row in range(rows):
        width, last = labels[row] + 1, steps[row] - 1
        for t in range(steps[row]):
            for u in range(width):
                k = begin + t * width + u
                score = 0.0 if t == 0 and u == 0 else -np.inf
                if t > 0:
                    score = alpha[k - width] + n[k - width]
                if u > 0:
                    score = _log_add(score, alpha[k - 1] + e[k - 1])
                alpha[k] = score
        end = begin + last * width + width - 1
        total = alpha[end] + n[end]
        losses[row] = -total
        below = np.full(width + 1, -np.inf)  # beta of step t + 1
        for t in range(last, -1, -1):
            right = -np.inf  # beta of (t, u + 1)
            for u in range(width - 1, -1, -1):
                k = begin + t * width + u
                on = n[k] if t == last and u == width - 1 else below[u] + n[k]
                emit = right + e[k] if u < width - 1 else -np.inf
                of_blank[k] = np.exp(alpha[k] + on - total)
                of_label[k] = np.exp(alpha[k] + emit - total)
                right = _log_add(on, emit)
                below[u] = right
        begin += steps[row] * width
    return losses, of_blank, of_label
