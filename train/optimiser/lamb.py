"""LAMB, and AdamW, which is LAMB without the trust ratio (NUMERICS 5.3)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """Layer-wise adaptive moments with one global clipping of the gradient's norm.

    Args:
        params: groups; each keeps its own `lr`, set before every step.
        lr: learning rate of groups without one.
        betas, eps: of the moments, which are bias-corrected.
        weight_decay: decoupled; 0 also turns the trust ratio off, as in apex.
        max_norm: of all gradients together.
        trust_ratio: whether a tensor's update is scaled by its norm; False is AdamW.
    Source: apex FusedLAMB (You et al. 2020), NUMERICS 5.3.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.004,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-9,
        weight_decay: float = 0.01,
        max_norm: float = 1.0,
        *,
        trust_ratio: bool = True,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        self.max_norm, self.trust_ratio = max_norm, trust_ratio

    @torch.no_grad()
    def step(self, closure: Any = None) -> float:  # type: ignore[override]
        """Make one update.

        Returns:
            the norm of all gradients; where it is not finite, nothing was changed.
        """
        used = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = float(torch.stack([_norm(p.grad) for p in used]).norm()) if used else 0.0
        if not math.isfinite(norm):
            return norm
        clip = max(1.0, norm / self.max_norm)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad / clip, group)
        return norm

    def _move(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        m, v = state["exp_avg"], state["exp_avg_sq"]
        m.mul_(beta1).add_(gradient, alpha=1.0 - beta1)
        v.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
        denominator = (v / (1.0 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        u = (m / (1.0 - beta1 ** state["step"])).div_(denominator)
        ratio = 1.0
        if group["weight_decay"]:
            u.add_(p, alpha=group["weight_decay"])
            if self.trust_ratio:
                of_weight, of_update = float(p.norm()), float(u.norm())
                if of_weight and of_update:
                    ratio = of_weight / of_update
        p.sub_(u, alpha=group["lr"] * ratio)


def _norm(gradient: Tensor) -> Tensor:
    """Return the norm, in float64 where the device has it."""
    norm: Tensor = (gradient if gradient.device.type == "mps" else gradient.double()).norm()
    return norm
