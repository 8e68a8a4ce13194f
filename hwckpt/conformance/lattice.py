"""The transducer loss as one reads it, in plain tensors and autograd: what `train.loss.transducer` is held to.

NUMERICS 5.1, node by node in float64, and as slow as that is: for vectors and for checks. It has the
forward and backward variables besides, which the fast loss keeps to itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from train.loss.transducer import Penalties

__all__ = ["Lattice", "lattice"]


@dataclass(frozen=True)
class Lattice:
    """One utterance's lattice.

    Attributes:
        alpha, beta: (T, U + 1) log-weight of all paths to a node, and from it to the end.
        loss: scalar, negative log-likelihood in nats; it carries the graph back to the logits.
    """

    alpha: Tensor
    beta: Tensor
    loss: Tensor


def lattice(
    logits: Tensor, labels: Sequence[int], blank: int, penalties: Penalties | None = None
) -> Lattice:
    """Build the lattice of one utterance.

    Args:
        logits: (T, U + 1, C), not normalised, of the utterance's own steps and labels.
        labels: the U labels.
        blank: class that moves time on.
    """
    p = penalties or Penalties()
    steps, ends = logits.shape[0], logits.shape[1]
    lp = logits.log_softmax(-1)
    nothing = logits.new_tensor(-math.inf)

    def move(t: int, u: int) -> Tensor:
        """Return N(t, u)."""
        if u and labels[u - 1] == p.star:
            return logits.new_tensor(math.log(p.star_penalty))
        return lp[t, u, blank]

    def emit(t: int, u: int) -> Tensor:
        """Return E(t, u), of the label that follows u others."""
        early = (steps - 1) / 2 - t
        if labels[u] == p.star:
            return logits.new_tensor(p.delay * early)
        weight = lp[t, u, labels[u]] + p.delay * early
        return weight + p.eos_penalty * early if labels[u] == p.eos else weight

    alpha: dict[tuple[int, int], Tensor] = {}
    for t in range(steps):
        for u in range(ends):
            paths = [logits.new_zeros(())] if t == u == 0 else []
            paths += [alpha[t - 1, u] + move(t - 1, u)] if t else []
            paths += [alpha[t, u - 1] + emit(t, u - 1)] if u else []
            alpha[t, u] = torch.stack(paths).logsumexp(0)
    beta: dict[tuple[int, int], Tensor] = {}
    for t in reversed(range(steps)):
        for u in reversed(range(ends)):
            over = t == steps - 1
            rest = beta[t + 1, u] if not over else nothing if u < ends - 1 else 0.0
            paths = [move(t, u) + rest]
            paths += [emit(t, u) + beta[t, u + 1]] if u < ends - 1 else []
            beta[t, u] = torch.stack(paths).logsumexp(0)
    loss = -(alpha[steps - 1, ends - 1] + move(steps - 1, ends - 1))

    def table(nodes: dict[tuple[int, int], Tensor]) -> Tensor:
        return torch.stack([torch.stack([nodes[t, u] for u in range(ends)]) for t in range(steps)])

    return Lattice(table(alpha).detach(), table(beta).detach(), loss)
