"""Checks of the front end, the normaliser, block floating point and the LSTM, on NumPy and torch.

The LSTM also as an ONNX graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hwckpt.conformance.comparison import (
    Arrays,
    Row,
    VectorError,
    compare,
    exact,
    installed,
    load,
    skipped,
)
from stream.backends.session import open_session
from stream.encoders.bfp16 import bf16, bfp
from stream.encoders.lstm_layer import lstm_stack
from stream.front_end.log_mel import (
    CARD_FLOOR,
    FrontEnd,
    frame_count,
    hann,
    mel_matrix,
    streamed_log_mel,
)
from stream.front_end.normaliser import Normaliser, utterance_normalise
from stream.stage import map_state

__all__ = ["bfp16", "ewma", "layer_arrays", "log_mel", "lstm", "mel_filters", "norm"]

LOG_MEL = 5e-3  # of DALI, whose float32 is itself off by 2e-3 on speech
LOG_MEL_DC = 0.1  # a constant signal leaves nothing but rounding in its valleys
WINDOWS = {"w20": 320, "w25": 400}

To = Callable[[Any], Any]


def namespaces(stage: str) -> Iterator[tuple[str, To] | Row]:
    """Yield NumPy and torch as (name, converter); a skipped row where torch is not installed."""
    yield "numpy", np.asarray
    if installed("torch"):
        import torch

        yield "torch", torch.from_numpy
    else:
        yield skipped(stage, "torch", "torch is not installed")


def mel_filters(path: Path) -> Iterator[Row]:
    """melmat: the filterbank and the Hann tables."""
    z = load(path)
    yield compare("mel filterbank", "numpy", mel_matrix(), z["melmat_exact"], 1e-6)
    yield compare("mel filterbank, DALI", "numpy", mel_matrix(), z["melmat_dali"], 1e-6)
    for key in (k for k in z if k.startswith("hann")):
        yield compare(key, "numpy", hann(len(z[key])), z[key], 1e-6)


def log_mel(path: Path) -> Iterator[Row]:
    """logmel: both windows of one signal, against DALI and against the float64 definition."""
    z = load(path)
    pcm = z["pcm"]
    samples = pcm.astype(np.float32) / 32768 if pcm.dtype == np.int16 else pcm.astype(np.float32)
    padded = str(z["generation"]).removeprefix("v") == "1.14"
    allowed = LOG_MEL_DC if "dc" in path.stem.split("_") else LOG_MEL
    tags = [tag for tag in WINDOWS if f"logmel_{tag}" in z]
    if not tags:
        raise VectorError(f"{path}: has neither logmel_w20 nor logmel_w25")
    for tag in tags:
        front_end = FrontEnd(WINDOWS[tag], CARD_FLOOR, padded)
        if f"accepted_{tag}" in z:
            accepted = frame_count(len(samples), front_end) > 0
            yield exact(f"any frame {tag}", "numpy", [accepted], [bool(z[f"accepted_{tag}"])])
        for backend in namespaces(f"log-mel {tag}"):
            if isinstance(backend, Row):
                yield backend
                continue
            name, to = backend
            frames = np.asarray(streamed_log_mel(to(samples[None]), front_end)[0]).T
            yield compare(f"log-mel {tag}, DALI", name, frames, z[f"logmel_{tag}"], allowed)
            yield compare(f"log-mel {tag}, exact", name, frames, z[f"exact_{tag}"], allowed)


def ewma(path: Path) -> Iterator[Row]:
    """ewma: running statistics over two utterances, carried over and reset."""
    z = load(path)
    for backend in namespaces("EWMA"):
        if isinstance(backend, Row):
            yield backend
            continue
        name, to = backend
        for dtype, suffix, allowed in ((np.float32, "", 1e-4), (np.float64, "_f64", 1e-9)):
            normaliser = Normaliser(z["means0"], z["vars0"], z["alpha"])

            def run(
                key: str, state: Any, of: Normaliser = normaliser, kind: type = dtype, as_: To = to
            ) -> tuple[Any, Any]:
                return of.step(as_(z[key].astype(kind)[None]), state)

            start = tuple(to(leaf.astype(dtype)) for leaf in normaliser.initial_state(1))
            y, after = run("logmel_a", start)
            results = {"a": (y, after)}
            if not suffix:
                results |= {"b_carry": run("logmel_b", after), "b_reset": run("logmel_b", start)}
            for key, (y, (mean, variance)) in results.items():
                label = f"EWMA {key} {np.dtype(dtype).name}"
                yield compare(label, name, y[0], z[f"out_{key}{suffix}"], allowed)
                yield compare(
                    f"{label} mean", name, mean[0], z[f"means_after_{key}{suffix}"], allowed
                )
                yield compare(
                    f"{label} variance", name, variance[0], z[f"vars_after_{key}{suffix}"], allowed
                )


def norm(path: Path) -> Iterator[Row]:
    """norm: global statistics, per utterance; their blend in training is torch's to check."""
    z = load(path)
    frames = np.ascontiguousarray(z["logmel"].T)[None]
    if "pcm" in z:  # of generation 1.14, window 25 ms
        samples = (z["pcm"].astype(np.float32) / 32768)[None]
        front_end = FrontEnd(WINDOWS["w25"], CARD_FLOOR, initial_padding=True)
        yield compare("log-mel", "numpy", streamed_log_mel(samples, front_end), frames, LOG_MEL)
    for backend in namespaces("normalisation"):
        if isinstance(backend, Row):
            yield backend
            continue
        name, to = backend
        normaliser = Normaliser(z["means"], z["vars"], 0.0)
        state = tuple(to(leaf) for leaf in normaliser.initial_state(1))
        fixed = np.asarray(normaliser.step(to(frames), state)[0])[0].T
        own = np.asarray(utterance_normalise(to(frames)))[0].T
        yield compare("global statistics", name, fixed, z["dataset"], 1e-4)
        yield compare("per utterance", name, own, z["utterance"], 1e-4)


def bfp16(path: Path) -> Iterator[Row]:
    """bfp16_quant: the quantisers, bit for bit."""
    z = load(path)
    for backend in namespaces("bfp16"):
        if isinstance(backend, Row):
            yield backend
            continue
        name, to = backend
        yield compare("bf16", name, bf16(to(z["bf16_in"])), z["bf16_out"], 0.0)
        for key in ("bfp_dim1", "bfp_dim1_pad"):
            yield compare(key, name, bfp(to(z[f"{key}_in"])), z[f"{key}_out"], 0.0)
        columns = np.ascontiguousarray(z["bfp_dim0_in"].T)
        yield compare("bfp_dim0", name, np.asarray(bfp(to(columns))).T, z["bfp_dim0_out"], 0.0)


def layer_arrays(z: Arrays) -> list[dict[str, Any]]:
    """Return the arrays of each layer of an lstm vector file."""
    keys = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [{key: z[f"{key}_l{n}"] for key in keys} for n in range(z["num_layers"])]


def lstm(path: Path) -> Iterator[Row]:
    """lstm: a stack of layers, soft or hard, float or block floating point, from a given state."""
    z = load(path)
    activation, rounded = "hard" if z["hard"] else "soft", bool(z["quantize"])
    stack = lstm_stack(layer_arrays(z), activation, "bfp16" if rounded else "float32")  # type: ignore[arg-type]
    # One bf16 step where every value is rounded to bf16: 2^-8 of the value.
    allowed = 2.0**-8 if rounded else 2e-6
    x = np.ascontiguousarray(z["x"].transpose(1, 0, 2))
    for backend in namespaces("LSTM"):
        if isinstance(backend, Row):
            yield backend
            continue
        name, to = backend
        state = tuple((to(h), to(c)) for h, c in zip(z["h0"], z["c0"], strict=True))
        y, after = stack.step(to(x), state)
        states = (np.stack([np.asarray(layer[index]) for layer in after]) for index in (0, 1))
        yield from _lstm_rows(name, z, np.asarray(y), *states, allowed=allowed)
        if "y_f64" in z:
            wide = map_state(lambda leaf: to(np.asarray(leaf, np.float64)), state)  # noqa: B023
            y = np.asarray(stack.step(to(x.astype(np.float64)), wide)[0]).transpose(1, 0, 2)
            yield compare("LSTM y float64", name, y, z["y_f64"], 1e-9)
    if not rounded:  # ONNX has no block floating point
        yield from _lstm_on_onnx(z, x, activation, allowed)


def _lstm_on_onnx(z: Arrays, x: Any, activation: str, allowed: float) -> Iterator[Row]:
    if not installed("onnx"):
        yield skipped("LSTM", "onnx", "onnx is not installed")
        return
    from export.onnx.lstm import lstm_graph

    session = open_session(lstm_graph(layer_arrays(z), activation))
    h, c = (np.ascontiguousarray(z[key].transpose(1, 0, 2)) for key in ("h0", "c0"))
    steps = []
    for frame in x.transpose(1, 0, 2):
        y, h, c = session.run(
            ["y", "h.after", "c.after"], {"x": np.ascontiguousarray(frame), "h": h, "c": c}
        )
        steps.append(y)
    states = (value.transpose(1, 0, 2) for value in (h, c))
    yield from _lstm_rows("onnx", z, np.stack(steps, axis=1), *states, allowed=allowed)


def _lstm_rows(backend: str, z: Arrays, y: Any, h: Any, c: Any, *, allowed: float) -> Iterator[Row]:
    """Compare y (batch, frames, H) and the last states, (layers, batch, H); |c| may exceed 1."""
    for key, got in (("y", y.transpose(1, 0, 2)), ("hn", h), ("cn", c)):
        yield compare(f"LSTM {key}", backend, got, z[key], allowed, relative_above=1.0)
