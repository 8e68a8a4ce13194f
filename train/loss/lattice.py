"""The transducer's lattice: losses and posteriors from the log-weights of its arcs (NUMERICS 5.1).

A node (t, u) has two arcs:

    N(t, u): blank, time moves on          E(t, u): the next label is emitted

Forward and backward variables run over the valid nodes only, so padding costs nothing. What weights the
arcs have is `train.loss.transducer`'s to say; `Penalties` change them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Lattice", "Penalties"]

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


class Lattice:
    """The valid nodes of a batch, packed: row by row, step by step, label by label.

    Attributes:
        node_row, node_step, node_label: (nodes,) int64.
        label: (nodes,) int64, the class of E(t, u); blank where there is none.
        blank_constant, label_constant: (nodes,) float64, NaN where the arc is the logit's own; else
            its whole log-weight. label_bonus: (nodes,) float64, added to E.
        first: (B + 1,) int64, the node at which a row begins.
    """

    def __init__(
        self,
        targets: Tensor,
        steps: Tensor,
        labels: Tensor,
        shape: tuple[int, int, int, int],
        blank: int,
        penalties: Penalties,
    ) -> None:
        batch, most_steps, most_labels, classes = shape
        self.blank = blank
        self.steps = steps.numpy().astype(np.int64)
        self.labels = labels.numpy().astype(np.int64)
        ids = targets.numpy().astype(np.int64)
        if len(self.steps) != batch or len(self.labels) != batch or ids.shape[0] != batch:
            raise ValueError(
                f"transducer loss: {batch} rows of scores, {len(ids)} of targets, "
                f"{len(self.steps)} and {len(self.labels)} lengths"
            )
        for row, (t, u) in enumerate(zip(self.steps, self.labels, strict=True)):
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
        sizes = self.steps * (self.labels + 1)
        self.first = np.concatenate([[0], np.cumsum(sizes)])
        self.node_row = np.repeat(np.arange(batch), sizes)
        inside = np.arange(self.first[-1]) - self.first[self.node_row]
        width = self.labels[self.node_row] + 1
        self.node_step, self.node_label = inside // width, inside % width
        padded = np.concatenate([ids, np.full((batch, 1), blank)], axis=1)
        own_label = np.where(
            self.node_label < self.labels[self.node_row],
            padded[self.node_row, np.minimum(self.node_label, ids.shape[1])],
            blank,
        )
        self.label = own_label
        early = (self.steps[self.node_row] - 1) / 2 - self.node_step
        is_eos = own_label == penalties.eos if penalties.eos is not None else False
        self.label_bonus = early * (penalties.delay + np.where(is_eos, penalties.eos_penalty, 0.0))
        nodes = len(own_label)
        self.blank_constant, self.label_constant = np.full((2, nodes), np.nan)
        if penalties.star is not None:
            star = own_label == penalties.star
            self.label_constant[star] = (penalties.delay * early)[star]
            before = padded[self.node_row, np.maximum(self.node_label - 1, 0)]
            after_star = (self.node_label > 0) & (before == penalties.star)
            self.blank_constant[after_star] = np.log(penalties.star_penalty)

    def solve(
        self, blank: NDArray[Any], label: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the losses (B,), and for each node the posteriors that reach its two logits.

        Args:
            blank, label: (nodes,) log-probabilities of the two classes.
        """
        n = np.where(np.isnan(self.blank_constant), blank, self.blank_constant)
        e = np.where(np.isnan(self.label_constant), label + self.label_bonus, self.label_constant)
        losses, of_blank, of_label = _forward_backward(
            n.astype(np.float64), e.astype(np.float64), self.first, self.steps, self.labels
        )
        of_blank[~np.isnan(self.blank_constant)] = 0.0
        of_label[~np.isnan(self.label_constant)] = 0.0
        return losses, of_blank, of_label


@_jit
def _log_add(a: Any, b: Any) -> Any:
    if a < b:
        a, b = b, a
    if b == -np.inf:
        return a
    return a + np.log1p(np.exp(b - a))


@_jit
def _forward_backward(n: Any, e: Any, first: Any, steps: Any, labels: Any) -> Any:
    rows = len(steps)
    losses = np.empty(rows)
    of_blank, of_label = np.zeros(len(n)), np.zeros(len(n))
    alpha = np.empty(len(n))
    for row in range(rows):
        begin, width, last = first[row], labels[row] + 1, steps[row] - 1
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
    return losses, of_blank, of_label
