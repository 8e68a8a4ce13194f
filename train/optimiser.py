"""LAMB, its learning-rate schedule, averaged weights, gradient noise: NUMERICS 5.2 to 5.5."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Ema", "Lamb", "add_gradient_noise", "learning_rate", "noise_deviation"]


def learning_rate(
    update: int, *, rate: float, min_rate: float, warmup: int, hold: int, half_life: int
) -> float:
    """Return the learning rate of an update, counted from 1: warm-up, plateau, exponential decay.

    A group with a factor passes `rate` times the factor: the floor applies after it.
    """
    if update < warmup:
        factor = (update + 1) / (warmup + 1)
    elif update < warmup + hold:
        factor = 1.0
    else:
        factor = 0.5 ** ((update - warmup - hold) / half_life)
    return max(factor * rate, min_rate)


class Lamb(torch.optim.Optimizer):
    """Layer-wise adaptive moments with one global clipping of the gradient's norm.

    Args:
        params: groups; each keeps its own `lr`, set before every step.
        lr: learning rate of groups without one.
        betas, eps: of the moments, which are bias-corrected.
        weight_decay: decoupled; 0 also turns the trust ratio off, as in apex.
        max_norm: of all gradients together.
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
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        self.max_norm = max_norm

    @torch.no_grad()
    def step(self, closure: Any = None) -> float:  # type: ignore[override]
        """Make one update.

        Returns:
            the norm of all gradients; where it is not finite, nothing was changed.
        """
        used = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = float(torch.stack([p.grad.double().norm() for p in used]).norm()) if used else 0.0
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
            of_weight, of_update = float(p.norm()), float(u.norm())
            if of_weight and of_update:
                ratio = of_weight / of_update
        p.sub_(u, alpha=group["lr"] * ratio)


class Ema:
    """Exponentially averaged weights: e = d e + (1 - d) w after every update, from the first on.

    Every floating tensor of the module's state is averaged, the statistics of its normalisation too:
    averaged weights need averaged statistics.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._average = {name: value.clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the module's present state."""
        for name, value in module.state_dict().items():
            self._average[name].lerp_(value, 1.0 - self.decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged state, as the module's `load_state_dict` takes it."""
        return self._average

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from an averaged state."""
        self._average = {name: value.clone() for name, value in state.items()}


def noise_deviation(update: int, level: float, decay: float = 0.55, start: int = 2000) -> float:
    """Return the standard deviation of gradient noise at an update; 0 before `start`."""
    return level / (1 + update - start) ** decay if update >= start else 0.0


@torch.no_grad()
def add_gradient_noise(parameters: Iterable[Tensor], deviation: float) -> None:
    """Add independent normal noise to every gradient, drawn with torch's global seed."""
    if deviation > 0.0:
        for p in parameters:
            if p.grad is not None:
                p.grad.add_(torch.randn_like(p.grad), alpha=deviation)
