"""Vector files of the transducer's stages, its logits, and greedy decoding with every cap, from NumPy.

`hwckpt.conformance.check_models.transducer` reads them. Each names a checkpoint, which lies in the same folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hwckpt.conformance.check_models import encode_batch, predict_tokens
from hwckpt.conformance.models import EOS, MARGIN, TRIES, decode, features, network_file
from hwckpt.layout import Format
from hwckpt.reader import network_of, read_checkpoint
from stream.backends import load_backend
from stream.decoding.greedy import GreedyConfig
from stream.encoders.lstm import PAIR
from stream.encoders.lstm_layer import Activation, lstm_stack
from stream.front_end.log_mel import HOP
from stream.front_end.stacking import STACK
from stream.model.network import Network
from stream.stage import State

__all__ = ["TRANSDUCER_FILES"]

Rng = np.random.Generator
FRAMES, ROWS, LABELS = 23, 2, 4  # an odd number of frames: the last pair is filled
# By what is between "greedy_" and "tokens", and the cap's name.
DECODERS: dict[Format, dict[tuple[str, str], GreedyConfig]] = {
    "1.4": {("", f"max{cap}"): GreedyConfig(cap) for cap in (1, 2, 5, 30)},
    "1.14": {
        **{("", f"max{cap}"): GreedyConfig(cap, "running") for cap in (1, 2, 5, 30)},
        **{("framecap_", f"max{cap}"): GreedyConfig(cap) for cap in (1, 2, 5, 30)},
        **{("", f"sample{cap}"): GreedyConfig(30, "running", sample_cap=cap) for cap in (1, 3)},
    },
}


def _transducer(rng: Rng, folder: Path, format: Format, activation: Activation) -> dict[str, Any]:
    network = network_of(read_checkpoint(folder / network_file(format)))
    specification = msgspec.structs.replace(network.specification, activation=activation)
    network = replace(network, specification=specification)
    tries = 0
    while True:
        tries += 1
        arrays = _stages(rng, network, format)
        margin = _greedy(arrays, network, format)
        says = all(len(arrays[f"greedy_tokens_b{row}_max30"]) for row in range(ROWS))
        if margin > MARGIN and (says or tries > TRIES):
            return arrays


def _stages(rng: Rng, network: Network, format: Format) -> dict[str, Any]:
    spec = network.specification
    backend = load_backend("numpy", network)
    samples = HOP * STACK * FRAMES + spec.front_end.lead
    batch = np.concatenate([features(network, rng, samples) for _ in range(ROWS)])
    y = rng.integers(1, spec.vocabulary, (ROWS, LABELS))
    lengths = np.array([FRAMES, FRAMES - 4], np.int32)
    steps = -(-lengths // PAIR)
    f, g = encode_batch(backend, batch), predict_tokens(backend, y)
    hidden = np.maximum(f[:, :, None] + g[:, None], 0.0)
    weight, bias = network.arrays["joint.output.weight"], network.arrays["joint.output.bias"]

    states: dict[str, State] = {}

    def run(name: str, key: str, inputs: Any) -> Any:
        layers = lstm_stack(list(network.layers(name)), spec.activation, spec.number_format)
        outputs, states[key] = layers.step(inputs, layers.initial_state(ROWS))
        return outputs

    h = run("encoder.pre", "pre", batch)
    fill = np.zeros((ROWS, -FRAMES % PAIR, h.shape[2]), np.float32)
    stacked = np.concatenate([h, fill], axis=1).reshape(ROWS, int(steps[0]), -1)
    top = run("encoder.post", "post", stacked)
    start = np.zeros((ROWS, 1, spec.prediction_hidden), np.float32)
    embedded = np.concatenate([start, network.arrays["prediction.embedding"][y]], axis=1)
    of_prediction = run("prediction.lstm", "pred", embedded)
    arrays: dict[str, Any] = {
        "checkpoint": network_file(format),
        "blank": spec.blank,
        "x": batch.transpose(1, 0, 2),
        "x_lens": lengths,
        "y": y,
        "y_lens": np.array([LABELS, LABELS - 1], np.int32),
        "pre_rnn_out": h.transpose(1, 0, 2),
        "stacked": stacked.transpose(1, 0, 2),
        "stacked_lens": steps,
        "post_rnn_out": top.transpose(1, 0, 2),
        "encoder_lens": steps,
        "logits": hidden @ weight.T + bias,
    }
    for key, state in states.items():
        arrays[f"{key}_h"], arrays[f"{key}_c"] = (np.stack([s[i] for s in state]) for i in (0, 1))
    if format == "1.4":
        arrays |= {"hard": int(spec.activation == "hard"), "encoder_out": top}
        return arrays | {"joint_enc_out": f, "pred_out": of_prediction, "joint_pred_out": g}
    return arrays | {"eos": EOS, "encoder_out": f, "pred_out": g}


def _greedy(arrays: dict[str, Any], network: Network, format: Format) -> float:
    """Add what the generation's decoders give; returns the smallest margin of their decisions."""
    backend = load_backend("numpy", network)
    f = arrays["encoder_out" if format == "1.14" else "joint_enc_out"]
    smallest = np.inf
    for row, steps in enumerate(arrays["encoder_lens"]):
        for (kind, cap), config in DECODERS[format].items():
            found = decode(backend, f[row, :steps], config)
            smallest = min(smallest, found.margin)
            arrays[f"greedy_{kind}tokens_b{row}_{cap}"] = found.ids
            if kind or cap.startswith("sample"):
                continue
            arrays[f"greedy_frames_b{row}_{cap}"] = found.steps
            arrays[f"greedy_margin_b{row}_{cap}"] = found.margin
            if format == "1.14":
                arrays[f"greedy_probs_b{row}_{cap}"] = found.probabilities
    return smallest


TRANSDUCER_FILES: dict[str, Callable[[Rng, Path], dict[str, Any]]] = {
    "transducer_v1.4.0_hard.npz": partial(_transducer, format="1.4", activation="hard"),
    "transducer_v1.4.0_soft.npz": partial(_transducer, format="1.4", activation="soft"),
    "transducer_v1.14.0.npz": partial(_transducer, format="1.14", activation="soft"),
}
