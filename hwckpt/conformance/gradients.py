"""Vector files of a whole training step, `train_grad_*`: their network, their check, their making.

A file holds a tiny transducer of any sizes in float64, under the names of the hardware's training
code, one padded batch, its logits, losses and gradients, and the weights after one update in float32.
The check computes with what trains (`train.encoders.lstm_layer`, `train.loss.transducer`, `train.optimiser`); the making with
plain autograd in place of the first two. Rows are not masked: where a row's frames are odd in number,
its last pair takes in the layer's output on padding, as the hardware's training code has it (NUMERICS
1.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwckpt.conformance.lattice import lattice
from stream.front_end.stacking import join_pairs
from train.encoders.lstm_layer import LSTM, plain_layer
from train.loss.transducer import Penalties, transducer_loss
from train.optimiser import Lamb

__all__ = ["GRADIENT_FILES", "gradients"]

Weights = Mapping[str, Tensor]
# x (B, T, I), the layer's weights by name, hard -> h of every frame (B, T, H), from a state of zeros.
Layer = Callable[[Tensor, Weights, bool], Tensor]

LSTM_KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
RATE, OUTPUT_FACTOR, WEIGHT_DECAY = 0.004, 0.343, 0.01  # of the one update


def _logits(weights: Weights, x: Tensor, y: Tensor, hard: bool, layer: Layer) -> Tensor:
    """Compute the network: x (B, T, I), y (B, U) -> logits (B, ceil(T / 2), U + 1, C)."""

    def layers(name: str, values: Tensor) -> Tensor:
        n = 0
        while f"{name}.weight_ih_l{n}" in weights:
            of_layer = {key: weights[f"{name}.{key}_l{n}"] for key in LSTM_KEYS}
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
    for key in LSTM_KEYS:
        delattr(module, key)
        setattr(module, key, weights[key])
    return module.step(x, module.initial_state(len(x)))[0]


def _plain(x: Tensor, weights: Weights, hard: bool) -> Tensor:
    """The layer by torch's own operations and autograd."""
    zeros = x.new_zeros(len(x), weights["weight_hh"].shape[1])
    bias = weights["bias_ih"] + weights["bias_hh"]
    arguments = weights["weight_ih"], weights["weight_hh"], bias, zeros, zeros, hard
    return plain_layer(x.transpose(0, 1), *arguments)[0].transpose(0, 1)


def gradients(z: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, float]]:
    """Check a file: logits, losses, every gradient, their norm, and one LAMB update."""
    weights = {k[2:]: torch.from_numpy(z[k]).requires_grad_() for k in z if k.startswith("w:")}
    x, y = torch.from_numpy(z["x"]).transpose(0, 1), torch.from_numpy(z["y"])
    logits = _logits(weights, x, y, "hard" in z["name"], _trained)
    lengths = z["encoder_lens"].astype(np.int64)
    losses = transducer_loss(
        logits,
        y,
        torch.from_numpy(lengths),
        torch.from_numpy(z["y_lens"].astype(np.int64)),
        logits.shape[-1] - 1,
        Penalties(z["delay_penalty"]),
    )
    losses.mean().backward()
    if "x_lens" in z:
        yield "encoder lengths", lengths, (z["x_lens"] + 1) // 2, 0.0
    if "param_names" in z:
        named = set(z["param_names"].tolist())
        yield "parameters", len(named ^ weights.keys()), 0, 0.0
    yield "logits", logits.detach().numpy(), z["logits"], 1e-9
    yield "losses", losses.detach().numpy(), z["loss"], 1e-9
    if "mean_loss" in z:
        yield "mean loss", losses.mean().item(), z["mean_loss"], 1e-9
    for name in (key[2:] for key in z if key.startswith("g:")):
        yield f"gradient {name}", weights[name].grad, z[f"g:{name}"], 1e-9
    yield "gradient norm", _norm(weights), z["global_grad_norm"], 1e-6
    updated = _updated(weights)
    for name in (key[3:] for key in z if key.startswith("w1:")):
        yield f"updated {name}", updated[name], z[f"w1:{name}"], 1e-6


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def _norm(weights: Weights) -> float:
    norms = [_gradient(weight).norm() for weight in weights.values()]
    return float(torch.stack(norms).norm())


def _updated(weights: Weights) -> dict[str, Tensor]:
    """Return the weights after one update in float32."""
    after = {name: nn.Parameter(weight.detach().float()) for name, weight in weights.items()}
    for name, parameter in after.items():
        parameter.grad = _gradient(weights[name]).float()
    last = [parameter for name, parameter in after.items() if name.startswith("joint_net")]
    rest = [parameter for name, parameter in after.items() if not name.startswith("joint_net")]
    Lamb(
        [{"params": rest, "lr": RATE}, {"params": last, "lr": RATE * OUTPUT_FACTOR}],
        weight_decay=WEIGHT_DECAY,
    ).step()
    return {name: parameter.detach() for name, parameter in after.items()}


def _shapes(
    inputs: int, hidden: int, prediction: int, joint: int, classes: int
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, size, widths in (
        ("encoder.pre_rnn.lstm", hidden, (inputs, hidden)),
        ("encoder.post_rnn.lstm", hidden, (2 * hidden, hidden)),
        ("prediction.dec_rnn.lstm", prediction, (prediction, prediction)),
    ):
        if name.startswith("prediction"):
            shapes["prediction.embed.weight"] = (classes - 1, prediction)
        for n, width in enumerate(widths):
            of_layer = ((4 * size, width), (4 * size, size), (4 * size,), (4 * size,))
            shapes |= {f"{name}.{k}_l{n}": s for k, s in zip(LSTM_KEYS, of_layer, strict=True)}
    for name, rows, columns in (
        ("joint_pred", joint, prediction),
        ("joint_enc", joint, hidden),
        ("joint_net.2", classes, joint),
    ):
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    return shapes


def _make(rng: np.random.Generator, hard: bool, delay: float) -> dict[str, Any]:
    """Make a file; weights are large, so that gates saturate and cells pass 1."""
    rows, classes = 3, 10
    shapes = _shapes(inputs=12, hidden=6, prediction=5, joint=7, classes=classes)
    weights = {
        name: torch.from_numpy(rng.normal(0.0, 0.7, shape)).requires_grad_()
        for name, shape in shapes.items()
    }
    lengths, labels = np.array([9, 8, 5]), np.array([4, 2, 3])  # odd ones fill or mix a pair
    x = rng.normal(0.0, 1.0, (int(lengths.max()), rows, 12))
    y = rng.integers(0, classes - 1, (rows, int(labels.max())))
    steps = (lengths + 1) // 2
    inputs = torch.from_numpy(x).transpose(0, 1)
    logits = _logits(weights, inputs, torch.from_numpy(y), hard, _plain)
    losses = torch.stack(
        [
            lattice(
                logits[b, : steps[b], : labels[b] + 1],
                y[b, : labels[b]].tolist(),
                classes - 1,
                Penalties(delay),
            ).loss
            for b in range(rows)
        ]
    )
    losses.mean().backward()
    arrays: dict[str, Any] = {
        "x": x,
        "x_lens": lengths,
        "y": y,
        "y_lens": labels,
        "delay_penalty": delay,
        "logits": logits.detach().numpy(),
        "loss": losses.detach().numpy(),
        "mean_loss": losses.mean().item(),
        "encoder_lens": steps.astype(np.int32),
        "param_names": np.array(list(weights)),
        "global_grad_norm": _norm(weights),
    }
    updated = _updated(weights)
    for name, weight in weights.items():
        arrays[f"w:{name}"] = weight.detach().numpy()
        arrays[f"g:{name}"] = _gradient(weight).numpy()
        arrays[f"w1:{name}"] = updated[name].numpy()
    return arrays


GRADIENT_FILES: dict[str, Callable[[np.random.Generator], dict[str, Any]]] = {
    "train_grad_v1.14.0.npz": partial(_make, hard=False, delay=0.01),
    "train_grad_v1.4.0_hard.npz": partial(_make, hard=True, delay=0.0),
}
