"""Mamba-2: a linear recurrence with a scalar decay a head, as steps and in matrix form (Dao and Gu, 2024).

    z, (x, B, C), dt = W_in norm(input);  x, B, C = silu(depthwise(x, B, C));  dt = softplus(dt + dt_bias)
    S[t] = exp(-exp(decay) dt[t]) S[t - 1] + dt[t] x[t] B[t]^T            of each head, (head size, state)
    y[t] = S[t] C[t] + skip x[t];  output = W_out norm(y silu(z))

`recurrence` computes S and y frame by frame; `scan` the same by matrix products over blocks of frames.
An absent frame has dt = 0, so it leaves S as it is.

State: the last kernel - 1 frames before the convolution, a cache, and S, (batch, heads, head size, state); zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from stream.encoders.family import Arrays
from stream.encoders.linear import linear
from stream.encoders.norm import Norm
from stream.encoders.operations import Operations, known, zero_absent
from stream.stage import Array, State, constant_like

KERNEL = 4  # frames that the short convolution sees
BLOCK = 32  # frames whose decays to each other are a matrix


@dataclass(frozen=True)
class Mamba:
    """A Mamba-2 branch.

    Attributes:
        name: of its arrays: `norm.…`, `input.weight` (2 inner + 2 state + heads, size), whose rows give z, x,
            B, C and dt; `depthwise.weight` (inner + 2 state, 4), `depthwise.bias`, `dt_bias`, `decay` and
            `skip_scale` (heads,), `output_norm.…` and `output.weight` (size, inner).
        norm, output_norm: of its input, and of the gated y, whose size is `inner`.
        heads: number of recurrences, each over inner / heads values of x.
        state: size of B and C, which the heads share.
        operations: that compute it.
    """

    name: str
    norm: Norm
    output_norm: Norm
    heads: int
    state: int
    operations: Operations

    caches = (True, False)

    @property
    def inner(self) -> int:
        """The size of x, y and z."""
        return self.output_norm.size

    @property
    def convolved(self) -> int:
        """The size of x, B and C together."""
        return self.inner + 2 * self.state

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays by name."""
        size, inner, heads = self.norm.size, self.inner, (self.heads,)
        return {
            **self.norm.shapes(),
            f"{self.name}.input.weight": (inner + self.convolved + self.heads, size),
            f"{self.name}.depthwise.weight": (self.convolved, KERNEL),
            f"{self.name}.depthwise.bias": (self.convolved,),
            f"{self.name}.dt_bias": heads,
            f"{self.name}.decay": heads,
            f"{self.name}.skip_scale": heads,
            **self.output_norm.shapes(),
            f"{self.name}.output.weight": (size, inner),
        }

    def initial_state(self, batch: int) -> State:
        """Return zeros."""
        return (
            np.zeros((batch, KERNEL - 1, self.convolved), np.float32),
            np.zeros((batch, self.heads, self.inner // self.heads, self.state), np.float32),
        )

    def advance(
        self, arrays: Arrays, x: Array, state: State, present: Array | None
    ) -> tuple[Array, State]:
        """Return the branch's output for x, (batch, n, size), the frames of the cache, and S after it."""
        xp, inner = array_namespace(x), self.inner
        before, recurrent = state
        parts = linear(self.norm.of(arrays, x), arrays[f"{self.name}.input.weight"])
        z, new = parts[..., :inner], parts[..., inner : inner + self.convolved]
        new = zero_absent(new, present)
        u = self.operations.depthwise(
            xp.concat([before, new], axis=1), arrays[f"{self.name}.depthwise.weight"]
        )
        u = self.operations.silu(u + arrays[f"{self.name}.depthwise.bias"])
        v = xp.reshape(u[..., :inner], (*u.shape[:2], self.heads, -1))
        b, c = u[..., inner : inner + self.state], u[..., inner + self.state :]
        dt = parts[..., inner + self.convolved :] + arrays[f"{self.name}.dt_bias"]
        dt = zero_absent(xp.logaddexp(dt, xp.zeros_like(dt)), present)
        decay = -xp.exp(arrays[f"{self.name}.decay"]) * dt
        run = recurrence if x.shape[1] == 1 else scan
        y, recurrent = run(v * dt[..., None], decay, b, c, recurrent)
        y = y + v * arrays[f"{self.name}.skip_scale"][:, None]
        y = xp.reshape(y, (*y.shape[:2], inner)) * self.operations.silu(z)
        y = self.output_norm.of(arrays, y)
        return linear(y, arrays[f"{self.name}.output.weight"]), (new, recurrent)


def recurrence(u: Array, decay: Array, b: Array, c: Array, state: Array) -> tuple[Array, Array]:
    """Compute S[t] = exp(decay[t]) S[t - 1] + u[t] b[t]^T and y[t] = S[t] c[t], frame by frame.

    Args:
        u: (batch, n, heads, head size), n at least 1.
        decay: (batch, n, heads), at most 0.
        b, c: (batch, n, state).
        state: S before the first frame, (batch, heads, head size, state).
    Returns:
        y, (batch, n, heads, head size), and S after the last frame.
    """
    xp, outputs = array_namespace(u), []
    for t in range(u.shape[1]):
        entered = u[:, t, :, :, None] * b[:, t, None, None, :]
        state = xp.exp(decay[:, t, :, None, None]) * state + entered
        outputs.append(xp.sum(state * c[:, t, None, None, :], axis=-1))
    return xp.stack(outputs, axis=1), state


def scan(
    u: Array, decay: Array, b: Array, c: Array, state: Array, block: int = BLOCK
) -> tuple[Array, Array]:
    """Compute what `recurrence` does by matrix products, a block of frames at a time.

    In a block, S before it aside, y[i] = sum over j <= i of exp(decay[j + 1] + … + decay[i]) (c[i] b[j]) u[j].
    """
    xp, outputs = array_namespace(u), []
    for begin in range(0, u.shape[1], block):
        some = slice(begin, begin + block)
        y, state = _block(u[:, some], decay[:, some], b[:, some], c[:, some], state)
        outputs.append(y)
    return xp.concat(outputs, axis=1), state


def _block(u: Array, decay: Array, b: Array, c: Array, state: Array) -> tuple[Array, Array]:
    xp, n = array_namespace(u), u.shape[1]
    total = xp.cumulative_sum(xp.permute_dims(decay, (0, 2, 1)), axis=2)  # (batch, heads, n)
    before = constant_like(np.tri(n, dtype=np.bool_), u)
    between = total[..., :, None] - total[..., None, :]
    # Masked before exp: above the diagonal it may overflow, and inf has no gradient.
    between = xp.exp(xp.where(before, between, xp.full_like(between, -np.inf)))
    products = xp.matmul(c, xp.permute_dims(b, (0, 2, 1)))[:, None]
    weights = xp.where(before, products * between, xp.zeros_like(between))
    u = xp.permute_dims(known(u), (0, 2, 1, 3))  # (batch, heads, n, head size)
    y = xp.matmul(weights, u)
    from_before = xp.matmul(c[:, None], xp.permute_dims(state, (0, 1, 3, 2)))
    y = y + xp.exp(total)[..., None] * from_before
    left = xp.exp(total[..., -1:] - total)[..., None] * u
    entered = xp.matmul(xp.permute_dims(left, (0, 1, 3, 2)), b[:, None])
    state = xp.exp(total[..., -1])[..., None, None] * state + entered
    return xp.permute_dims(y, (0, 2, 1, 3)), state
