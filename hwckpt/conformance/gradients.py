"""Vectors of losses and of whole training steps.

Losses are made node by node (`lattice`); `train.loss.transducer` is checked. The file of a step holds a
tiny transducer of any sizes in float64, under the names of the hardware's training code, one padded batch,
its logits, losses and gradients, and the weights after one update in float32. It is made by plain
autograd; what trains is checked: `train.encoders.lstm_layer`, `train.loss.transducer`, `train.optimiser.lamb`. Rows
are not masked: where a row's frames are odd in number, its last pair takes in the layer's output on
padding, as in the hardware's training code (NUMERICS 1.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwckpt import layout
from hwckpt.conformance.comparison import Arrays, Kind, Rng, Row, Vectors, compare
from stream.encoders.lstm_layer import KEYS
from stream.front_end.stacking import join_pairs
from stream.model.specification import Specification
from train.encoders.lstm_layer import LSTM, plain_layer
from train.loss.lattice import Penalties
from train.loss.transducer import transducer_loss
from train.optimiser.lamb import Lamb

Weights = Mapping[str, Tensor]
# x (B, T, I), the layer's weights by name, hard -> h of every frame (B, T, H), from a state of zeros.
Layer = Callable[[Tensor, Weights, bool], Tensor]

EOS, STAR = 1, 2
RATE, OUTPUT_FACTOR, WEIGHT_DECAY = 0.004, 0.343, 0.01  # of the one update
LOSS, WEIGHTS = 1e-9, 1e-6


def _penalties(z: Arrays) -> Penalties:
    return Penalties(
        z["delay_penalty"],
        z["eos_idx"] if z["eos_idx"] >= 0 else None,
        z["eos_penalty"],
        z["star_idx"] if z["star_idx"] >= 0 else None,
        z["star_penalty"],
    )


def _lattices(z: Arrays, logits: Tensor) -> tuple[list[Tensor], dict[str, Any]]:
    """Return the loss of each row node by node, and the forward and backward variables."""
    alpha, beta = np.zeros((2, *logits.shape[:3]))
    losses = []
    for row, (t, u) in enumerate(zip(z["logit_lens"], z["target_lens"], strict=True)):
        labels = z["targets"][row, :u].tolist()
        found = lattice(logits[row, :t, : u + 1], labels, z["blank"], _penalties(z))
        alpha[row, :t, : u + 1], beta[row, :t, : u + 1] = found.alpha, found.beta
        losses.append(found.loss)
    return losses, {"alpha": alpha, "beta": beta}


def _backward(losses: Tensor) -> dict[str, Any]:
    mean = losses.mean()
    mean.backward()
    return {"loss": losses.detach().numpy(), "mean_loss": mean.item()}


def _make_loss(
    rng: Rng,
    folder: Path,
    lengths: tuple[int, ...] = (7, 5, 6),
    labels: tuple[int, ...] = (4, 2, 3),
    delay: float = 0.0,
    eos: float | None = None,
    star: float | None = None,
) -> dict[str, Any]:
    """Draw rows of `lengths` frames and `labels` labels, with penalties; None: without the token."""
    batch, steps, most, classes = len(lengths), max(lengths), max(max(labels), 1), 9
    logits = torch.from_numpy(rng.normal(0.0, 2.0, (batch, steps, most + 1, classes)))
    logits.requires_grad_()
    targets = rng.integers(3, classes - 1, (batch, most))
    for row, count in enumerate(labels):
        if eos is not None and count:
            targets[row, count - 1] = EOS
        if star is not None and count > 1:
            targets[row, 0 if row % 2 else count - 2] = STAR
    plain = Penalties()
    inputs = {
        "logits": logits.detach().numpy(),
        "targets": targets,
        "logit_lens": np.array(lengths),
        "target_lens": np.array(labels),
        "blank": classes - 1,
        "delay_penalty": delay,
        "eos_penalty": plain.eos_penalty if eos is None else eos,
        "eos_idx": -1 if eos is None else EOS,
        "star_penalty": plain.star_penalty if star is None else star,
        "star_idx": -2 if star is None else STAR,
    }
    losses, variables = _lattices(inputs, logits)
    results = _backward(torch.stack(losses)) | {"grad_of_mean": _gradient(logits).numpy()}
    return inputs | results | variables


def _check_loss(z: Vectors) -> Iterator[Row]:
    """Check the losses and the gradient of their mean, and the lattice they come from, float64."""
    keys = ("targets", "logit_lens", "target_lens", "loss")
    z.update({key: np.atleast_1d(z[key]) for key in keys})
    logits = torch.from_numpy(z["logits"]).requires_grad_()
    targets, lengths, labels = (torch.from_numpy(z[key]) for key in keys[:3])
    losses = transducer_loss(logits, targets, lengths, labels, z["blank"], _penalties(z))
    got = _backward(losses) | {"grad_of_mean": _gradient(logits).numpy()}
    yield from z.close("torch", got, LOSS, optional=("mean_loss",))
    if "alpha" in z and "beta" in z:
        with torch.no_grad():
            yield from z.close("torch", _lattices(z, logits)[1], LOSS)


def _results(weights: Weights, logits: Tensor, losses: Tensor) -> dict[str, Any]:
    """Run backward; returns logits, losses and gradients."""
    return {
        **_backward(losses),
        "logits": logits.detach().numpy(),
        **{f"g:{name}": _gradient(weight).numpy() for name, weight in weights.items()},
    }


def _make_step(rng: Rng, folder: Path, hard: bool, delay: float) -> dict[str, Any]:
    """Draw a batch of three rows; weights are large, so that gates saturate and cells pass 1."""
    rows, classes = 3, 10
    shapes = _shapes(12, classes, hidden=6, prediction_hidden=5, joint=7)
    weights = {
        name: torch.from_numpy(rng.normal(0.0, 0.7, shape)).requires_grad_()
        for name, shape in shapes.items()
    }
    lengths, labels = np.array([9, 8, 5]), np.array([4, 2, 3])  # odd ones fill or mix a pair
    x = rng.normal(0.0, 1.0, (int(lengths.max()), rows, 12))
    y = rng.integers(0, classes - 1, (rows, int(labels.max())))
    steps = (lengths + 1) // 2
    logits = _logits(
        weights, torch.from_numpy(x).transpose(0, 1), torch.from_numpy(y), hard, _plain
    )
    losses = [
        lattice(nodes[:t, : u + 1], row[:u].tolist(), classes - 1, Penalties(delay)).loss
        for nodes, row, t, u in zip(logits, y, steps, labels, strict=True)
    ]
    results = _results(weights, logits, torch.stack(losses))
    return {
        "x": x,
        "x_lens": lengths,
        "y": y,
        "y_lens": labels,
        "delay_penalty": delay,
        "encoder_lens": steps.astype(np.int32),
        "param_names": np.array(list(weights)),
        **{f"w:{name}": weight.detach().numpy() for name, weight in weights.items()},
        **results,
        **_update(weights),
    }


def _check_step(z: Vectors) -> Iterator[Row]:
    """Check logits, losses, every gradient, their norm, and one LAMB update."""
    weights = {k[2:]: torch.from_numpy(z[k]).requires_grad_() for k in z if k.startswith("w:")}
    x, y = torch.from_numpy(z["x"]).transpose(0, 1), torch.from_numpy(z["y"])
    logits = _logits(weights, x, y, "hard" in z.path.stem, _trained)
    lengths = z["encoder_lens"].astype(np.int64)
    losses = transducer_loss(
        logits,
        y,
        torch.from_numpy(lengths),
        torch.from_numpy(z["y_lens"].astype(np.int64)),
        logits.shape[-1] - 1,
        Penalties(z["delay_penalty"]),
    )
    if "x_lens" in z:
        yield compare("encoder_lens", "torch", lengths, (z["x_lens"] + 1) // 2, 0.0)
    if "param_names" in z:
        named = set(z["param_names"].tolist())
        yield compare("param_names", "torch", len(named ^ weights.keys()), 0, 0.0)
    results = _results(weights, logits, losses)
    yield from z.close("torch", results, LOSS, optional=("mean_loss",))
    yield from z.close("torch", _update(weights), WEIGHTS)


def _logits(weights: Weights, x: Tensor, y: Tensor, hard: bool, layer: Layer) -> Tensor:
    """Compute the network: x (B, T, I), y (B, U) -> logits (B, ceil(T / 2), U + 1, C)."""

    def layers(name: str, values: Tensor) -> Tensor:
        n = 0
        while f"{name}.weight_ih_l{n}" in weights:
            of_layer = {key: weights[f"{name}.{key}_l{n}"] for key in KEYS}
            values, n = layer(values, of_layer, hard), n + 1
        return values

    def linear(name: str, values: Tensor) -> Tensor:
        return nn.functional.linear(values, weights[f"{name}.weight"], weights[f"{name}.bias"])

    h = layers("encoder.pre_rnn.lstm", x)
    h = join_pairs(nn.functional.pad(h, (0, 0, 0, h.shape[1] % 2)))
    f = linear("joint_enc", layers("encoder.post_rnn.lstm", h))
    embedded = nn.functional.embedding(y, weights["prediction.embed.weight"])
    start = embedded.new_zeros(len(y), 1, embedded.shape[2])
    g = layers("prediction.dec_rnn.lstm", torch.cat([start, embedded], dim=1))
    g = linear("joint_pred", g)
    return linear("joint_net.2", torch.relu(f[:, :, None] + g[:, None]))


def _trained(x: Tensor, weights: Weights, hard: bool) -> Tensor:
    """The layer that trains."""
    module = LSTM(x.shape[2], weights["weight_hh"].shape[1], "hard" if hard else "soft").double()
    for key in KEYS:
        delattr(module, key)
        setattr(module, key, weights[key])
    return module.step(x, module.initial_state(len(x)))[0]


def _plain(x: Tensor, weights: Weights, hard: bool) -> Tensor:
    """The layer by torch's own operations and autograd."""
    zeros = x.new_zeros(len(x), weights["weight_hh"].shape[1])
    bias = weights["bias_ih"] + weights["bias_hh"]
    arguments = weights["weight_ih"], weights["weight_hh"], bias, zeros, zeros, hard
    return plain_layer(x.transpose(0, 1), *arguments)[0].transpose(0, 1)


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def _update(weights: Weights) -> dict[str, Any]:
    """Return the norm of the gradients and the weights after one update in float32."""
    after = {name: nn.Parameter(weight.detach().float()) for name, weight in weights.items()}
    for name, parameter in after.items():
        parameter.grad = _gradient(weights[name]).float()
    last = [parameter for name, parameter in after.items() if name.startswith("joint_net")]
    rest = [parameter for name, parameter in after.items() if not name.startswith("joint_net")]
    Lamb(
        [{"params": rest, "lr": RATE}, {"params": last, "lr": RATE * OUTPUT_FACTOR}],
        weight_decay=WEIGHT_DECAY,
    ).step()
    norms = torch.stack([_gradient(weight).norm() for weight in weights.values()])
    updated = {f"w1:{name}": parameter.detach().numpy() for name, parameter in after.items()}
    return {"global_grad_norm": norms.norm().item(), **updated}


def _shapes(inputs: int, classes: int, **sizes: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network with other inputs than frames of log-mel, by the hardware's names."""
    layers: dict[str, Any] = dict.fromkeys(("pre_layers", "post_layers", "prediction_layers"), 2)
    specification = Specification(vocabulary=classes - 1, **layers, **sizes)
    of = specification.shapes()
    shapes = {name: of[ours] for name, ours in layout.names(specification).items()}
    first = next(iter(shapes))
    return shapes | {first: (shapes[first][0], inputs)}


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
    """Build the lattice of one utterance, node by node in plain tensors (NUMERICS 5.1).

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


KINDS = (
    Kind(
        "loss_*.npz",
        _check_loss,
        {
            "loss_vanilla.npz": partial(_make_loss, lengths=(6, 4, 1)),
            "loss_vanilla_empty_target.npz": partial(_make_loss, lengths=(5, 3), labels=(0, 3)),
            "loss_single.npz": partial(_make_loss, lengths=(1,), labels=(1,)),
            "loss_delay_penalty_0.01.npz": partial(_make_loss, delay=0.01),
            "loss_delay_penalty_0.5.npz": partial(_make_loss, delay=0.5),
            "loss_eos_penalty.npz": partial(_make_loss, eos=0.1),
            "loss_delay_and_eos.npz": partial(_make_loss, delay=0.01, eos=0.2),
            "loss_star.npz": partial(_make_loss, star=0.75),
            "loss_star_delay_eos.npz": partial(_make_loss, delay=0.01, eos=0.1, star=0.5),
        },
    ),
    Kind(
        "train_grad_*.npz",
        _check_step,
        {
            "train_grad_v1.14.0.npz": partial(_make_step, hard=False, delay=0.01),
            "train_grad_v1.4.0_hard.npz": partial(_make_step, hard=True, delay=0.0),
        },
    ),
)
