"""Forward and backward variables of transducer lattices a diagonal at a time, in torch's operations.

The nodes (t, u) of one diagonal d = t + u depend on those of its neighbours alone, so a batch takes T + U steps
of elementwise operations on (B, U + 1), whatever the device. On a CPU the loops of `train.loss.lattice`
are faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def forward_backward(
    n: Tensor,
    e: Tensor,
    sizes: Sequence[tuple[int, int]],
    row: Tensor,
    step: Tensor,
    position: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the losses (B,) and the posteriors of each node's two arcs, (nodes,) each.

    Args:
        n, e: (nodes,) log-weights of the arcs, as in `train.loss.lattice`.
        sizes: steps and labels of each row.
        row, step, position: (nodes,) int64, where the nodes are.
    """
    count, most = max(t + u for t, u in sizes), max(u for _, u in sizes)
    shape = count + 1, len(sizes), most + 1
    at = step + position, row, position
    # Arcs that leave a node of the diagonal; -inf where there is none.
    on, emit = (n.new_full(shape, -torch.inf).index_put_(at, arcs) for arcs in (n, e))
    alpha, beta = (n.new_full(shape, -torch.inf) for _ in range(2))
    # A row ends in (T, U), which only its last blank leads to.
    ends = torch.tensor([[t + u, u] for t, u in sizes]).to(n.device)
    last = ends[:, 0], torch.arange(len(sizes), device=n.device), ends[:, 1]
    alpha[0, :, 0] = 0.0
    for d in range(1, count + 1):
        alpha[d] = alpha[d - 1] + on[d - 1]
        moved = alpha[d - 1, :, :-1] + emit[d - 1, :, :-1]
        alpha[d, :, 1:] = torch.logaddexp(alpha[d, :, 1:], moved)
    total = alpha[last]
    beta[last] = 0.0
    for d in range(count - 1, -1, -1):
        beta[d] = torch.logaddexp(beta[d], beta[d + 1] + on[d])
        moved = beta[d + 1, :, 1:] + emit[d, :, :-1]
        beta[d, :, :-1] = torch.logaddexp(beta[d, :, :-1], moved)
    after = step + position + 1
    here = alpha[at] - total[row]
    of_blank = (here + n + beta[after, row, position]).exp()
    right = (position + 1).clamp(max=most)  # none to the right of the last: its weight is no arc's
    there = torch.where(position < ends[row, 1], beta[after, row, right], -torch.inf)
    of_label = (here + e + there).exp()
    return -total, of_blank, of_label
