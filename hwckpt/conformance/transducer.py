"""Vectors of the transducer's stages, its logits, and greedy decoding with every cap.

NumPy, torch and ONNX graphs are checked, inside the networks only NumPy. A file names a checkpoint that
lies beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hwckpt.conformance import models
from hwckpt.conformance.comparison import Arrays, Kind, Rng, Row, Vectors
from hwckpt.layout import Format
from hwckpt.reader import network_of, read_checkpoint
from stream.backends import Backend, load_backend
from stream.decoding.greedy import GreedyConfig
from stream.encoders.lstm import PAIR
from stream.encoders.lstm_layer import Activation, lstm_stack
from stream.front_end.log_mel import HOP
from stream.front_end.stacking import STACK, join_pairs
from stream.model.network import Network

STAGE = 2e-5
FRAMES, ROWS, LABELS = 23, 2, 4  # an odd number of frames: the last pair is filled
CAPS, SAMPLE_CAPS = (1, 2, 5, 30), (1, 3)
STATES = [f"{stack}_{leaf}" for stack in ("pre", "post", "pred") for leaf in "hc"]
LENGTHS = ("stacked_lens", "encoder_lens")
OPTIONAL = ("pre_rnn_out", "post_rnn_out", "pred_h", "pred_c", "pred_out")


def _make(rng: Rng, folder: Path, format: Format, activation: Activation) -> dict[str, Any]:
    """Draw a batch of two rows, one shorter than the other."""
    network = network_of(read_checkpoint(folder / models.network_file(format)))
    network = models.changed(network, activation=activation)
    backend = load_backend("numpy", network)

    def draw() -> tuple[dict[str, Any], float, bool]:
        arrays = _draw(rng, network, backend, format)
        margin = _decode_all(arrays, backend, format)
        return arrays, margin, all(len(arrays[f"greedy_tokens_b{r}_max30"]) for r in range(ROWS))

    return models.settled(draw)


def _draw(rng: Rng, network: Network, backend: Backend, format: Format) -> dict[str, Any]:
    spec = network.specification
    samples = HOP * STACK * FRAMES + spec.front_end.lead
    batch = np.concatenate([models.features(network, rng, samples) for _ in range(ROWS)])
    arrays: dict[str, Any] = {
        "checkpoint": models.network_file(format),
        "blank": spec.blank,
        "x": batch.transpose(1, 0, 2),
        "x_lens": np.array([FRAMES, FRAMES - 4], np.int32),
        "y": rng.integers(1, spec.vocabulary, (ROWS, LABELS)),
        "y_lens": np.array([LABELS, LABELS - 1], np.int32),
    }
    if format == "1.4":
        arrays["hard"] = int(spec.activation == "hard")
    else:
        arrays["eos"] = models.EOS
    arrays |= _inside(arrays, network, projected=format == "1.14")
    f, g = models.encode_batch(backend, batch), models.predict_tokens(backend, arrays["y"])[0]
    weight, bias = network.arrays["joint.output.weight"], network.arrays["joint.output.bias"]
    logits = np.maximum(f[:, :, None] + g[:, None], 0.0) @ weight.T + bias
    return arrays | dict(zip(_outputs(projected=format == "1.14"), (f, g, logits), strict=True))


def _outputs(*, projected: bool) -> tuple[str, str, str]:
    """Return the names of f, g and the logits; generation 1.14 calls its projected outputs by fewer."""
    if projected:
        return "encoder_out", "pred_out", "logits"
    return "joint_enc_out", "joint_pred_out", "logits"


def _inside(z: Arrays, network: Network, *, projected: bool) -> dict[str, Any]:
    """Return what lies inside the encoder and the prediction network, time first."""
    spec = network.specification
    values: dict[str, Any] = {}

    def run(name: str, key: str, x: Any) -> Any:
        layers = lstm_stack(list(network.layers(name)), spec.activation, spec.number_format)
        y, after = layers.step(x, layers.initial_state(len(x)))
        values[f"{key}_h"], values[f"{key}_c"] = (np.stack([s[i] for s in after]) for i in (0, 1))
        return y

    h = run("encoder.pre", "pre", np.ascontiguousarray(z["x"].transpose(1, 0, 2)))
    stacked = join_pairs(np.pad(h, ((0, 0), (0, -h.shape[1] % PAIR), (0, 0))))
    top = run("encoder.post", "post", stacked)
    for key, y in (("pre_rnn_out", h), ("stacked", stacked), ("post_rnn_out", top)):
        values[key] = y.transpose(1, 0, 2)
    embedding = network.arrays["prediction.embedding"]
    start = np.zeros((len(h), 1, embedding.shape[1]), np.float32)
    g = run("prediction.lstm", "pred", np.concatenate([start, embedding[z["y"]]], axis=1))
    steps = -(-z["x_lens"] // PAIR)
    values |= {"stacked_lens": steps, "encoder_lens": steps}
    return values if projected else values | {"encoder_out": top, "pred_out": g}


def _check(z: Vectors) -> Iterator[Row]:
    """Check every stage, the logits, and greedy decoding with its caps."""
    network = models.network_beside(z)
    if "hard" in z:
        network = models.changed(network, activation="hard" if z["hard"] else "soft")
    projected = "joint_enc_out" not in z
    inside = _inside(z, network, projected=projected)
    states = {name: inside.pop(name) for name in STATES}
    yield from z.exact("numpy", {key: inside.pop(key) for key in LENGTHS}, optional=LENGTHS)
    yield from z.close("numpy", inside, STAGE, optional=OPTIONAL)
    yield from z.close("numpy", states, STAGE, optional=OPTIONAL, relative_above=1.0)

    def rows(name: str, backend: Backend) -> Iterator[Row]:
        f = models.encode_batch(backend, np.ascontiguousarray(z["x"].transpose(1, 0, 2)))
        g, _ = models.predict_tokens(backend, z["y"])
        outputs = zip(
            _outputs(projected=projected), (f, g, models.join_all(backend, f, g)), strict=True
        )
        yield from z.close(name, dict(outputs), STAGE)
        yield from _greedy(z, name, backend, f)

    yield from models.on_backends("transducer", network, ("numpy", "torch", "onnx"), rows)


def _config(variant: str, *, running: bool, per_frame: bool) -> GreedyConfig:
    """Return a variant, "max" and the cap of a step or "sample" and the cap of an utterance."""
    if variant.startswith("sample"):
        return GreedyConfig(CAPS[-1], "running", sample_cap=int(variant[6:]))
    return GreedyConfig(int(variant[3:]), "running" if running and not per_frame else "frame")


def _decode_all(arrays: dict[str, Any], backend: Backend, format: Format) -> float:
    """Add what the generation's decoders give; returns the smallest margin of their decisions."""
    running = format == "1.14"
    f = arrays[_outputs(projected=running)[0]]
    variants = [("", f"max{cap}") for cap in CAPS]
    if running:
        variants += [("framecap_", f"max{cap}") for cap in CAPS]
        variants += [("", f"sample{cap}") for cap in SAMPLE_CAPS]
    smallest = np.inf
    for row, steps in enumerate(arrays["encoder_lens"]):
        for kind, variant in variants:
            config = _config(variant, running=running, per_frame=bool(kind))
            found = models.decode(backend, f[row, :steps], config)
            smallest = min(smallest, found.margin)
            name = f"b{row}_{variant}"
            arrays[f"greedy_{kind}tokens_{name}"] = found.ids
            if kind or variant.startswith("sample"):
                continue
            arrays[f"greedy_frames_{name}"] = found.steps
            arrays[f"greedy_margin_{name}"] = found.margin
            if running:
                arrays[f"greedy_probs_{name}"] = found.probabilities
    return smallest


def _greedy(z: Vectors, name: str, backend: Backend, f: Any) -> Iterator[Row]:
    """Decode each row with every variant that the file has."""
    for key in (k for k in z if k.startswith(("greedy_tokens_", "greedy_framecap_tokens_"))):
        row, variant = key.rsplit("_", 2)[1:]
        b = int(row[1:])
        config = _config(variant, running="eos" in z, per_frame="framecap" in key)
        found = models.decoded(
            models.decode_steps(backend, f[b, : int(z["encoder_lens"][b])], config)
        )
        frames, probs = (key.replace("tokens", other) for other in ("frames", "probs"))
        yield from z.exact(name, {key: found.ids, frames: found.steps}, optional=(frames,))
        yield from z.close(
            name, {probs: found.probabilities}, models.PROBABILITY, optional=(probs,)
        )


KINDS = (
    Kind(
        "transducer_*.npz",
        _check,
        {
            "transducer_v1.4.0_hard.npz": partial(_make, format="1.4", activation="hard"),
            "transducer_v1.4.0_soft.npz": partial(_make, format="1.4", activation="soft"),
            "transducer_v1.14.0.npz": partial(_make, format="1.14", activation="soft"),
        },
    ),
)
