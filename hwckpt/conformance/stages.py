"""Vector files of the front end, the normaliser, block floating point and the LSTM, from NumPy.

Values wanted come from the references in `stream`, in float64 where the stage has no rounding of its
own; `hwckpt.conformance.check_stages` reads the files. Signals and weights are random, with the edges that a second
implementation gets wrong: windows that just fit, saturation, ties, exponents far apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.encoders.bfp16 import bf16, bfp
from stream.encoders.lstm_layer import Activation, NumberFormat, lstm_stack
from stream.front_end.log_mel import (
    BINS,
    CARD_FLOOR,
    FFT,
    HOP,
    PRE_EMPHASIS,
    SAMPLE_RATE,
    FrontEnd,
    frame_count,
    hann,
    mel_matrix,
    streamed_log_mel,
)
from stream.front_end.normaliser import Normaliser
from stream.stage import map_state

__all__ = ["STAGE_FILES"]

Rng = np.random.Generator
Make = Callable[[Rng], dict[str, Any]]

WINDOWS = {"w20": 320, "w25": 400}
# Around the first window and the second frame of both generations and window lengths.
LENGTHS = (1, 2, 159, 160, 161, 240, 241, 319, 320, 321, 399, 400, 401, 559, 560, 561)
SILENCE = np.log(CARD_FLOOR)


def _mel(rng: Rng) -> dict[str, Any]:
    return {
        "melmat_dali": mel_matrix().astype(np.float32),
        "melmat_exact": mel_matrix(),
        "sample_rate": SAMPLE_RATE,
        "n_fft": FFT,
        "n_mels": BINS,
        "fmin": 0.0,
        "fmax": SAMPLE_RATE / 2,
        "hann320": hann(320),
        "hann400": hann(400),
    }


def _tone(rng: Rng) -> NDArray[np.float64]:
    time = np.arange(6400) / SAMPLE_RATE
    low, high = rng.uniform(200.0, 600.0), rng.uniform(1500.0, 4000.0)
    tone: NDArray[np.float64] = 0.4 * np.sin(2 * np.pi * low * time)
    # Between pure tones there is nothing but rounding, on which float32 does not agree.
    return tone + 0.1 * np.sin(2 * np.pi * high * time) + rng.normal(0.0, 1e-3, 6400)


def _noise(rng: Rng, samples: int) -> NDArray[np.float64]:
    return rng.normal(0.0, 3000.0, samples)


SIGNALS: dict[str, Callable[[Rng], NDArray[np.float64]]] = {
    "tone": lambda rng: 32767 * _tone(rng),
    "clipped": lambda rng: 90000 * _tone(rng),
    "noise": lambda rng: _noise(rng, 4800),
    "silence": lambda rng: np.zeros(1600),
    "impulse": lambda rng: 32767 * np.eye(1, 2000, int(rng.integers(600, 1400)))[0],
    "dc": lambda rng: np.full(1600, rng.integers(8000, 16000)),
    **{f"len{n}": partial(_noise, samples=n) for n in LENGTHS},
}


def _log_mel(rng: Rng, signal: str, padded: bool) -> dict[str, Any]:
    if signal == "float":  # partly beyond [-1, 1], which is not clipped
        pcm: NDArray[Any] = (2.3 * _tone(rng)).astype(np.float32)
        exact = pcm.astype(np.float64)
    else:
        pcm = np.clip(np.rint(SIGNALS[signal](rng)), -32768, 32767).astype(np.int16)
        exact = pcm / 32768
    arrays: dict[str, Any] = {
        "pcm": pcm,
        "sample_rate": SAMPLE_RATE,
        "generation": "v1.14" if padded else "v1.4",
    }
    for tag, window in WINDOWS.items():
        frames = streamed_log_mel(exact[None], FrontEnd(window, CARD_FLOOR, padded))[0].T
        padding = window - HOP if padded else 0
        count = frame_count(len(pcm), FrontEnd(window, CARD_FLOOR, padded))
        if count and len(pcm) + padding < window:
            arrays[f"short_frame_{tag}"] = 1
        arrays |= {
            f"logmel_{tag}": frames.astype(np.float32),
            f"exact_{tag}": frames.astype(np.float32),
            f"accepted_{tag}": int(count > 0),
            f"params_{tag}": np.array(
                [window / SAMPLE_RATE, HOP / SAMPLE_RATE, window, HOP, FFT, BINS, PRE_EMPHASIS]
                + [0.0, padding, 0.0]
            ),
        }
    fields = (
        "window_s stride_s window_n stride_n n_fft n_filt preemph dither pad_front_n pad_back_n"
    )
    return {**arrays, "params_fields": np.array(fields.split())}


def _ewma(rng: Rng, alpha: float) -> dict[str, Any]:
    mean = rng.normal(-9.0, 2.0, BINS).astype(np.float32)
    variance = rng.uniform(2.0, 12.0, BINS).astype(np.float32)
    normaliser = Normaliser(mean, variance, alpha)
    frames = {name: rng.normal(-9.0, 3.0, (n, BINS)).astype(np.float32) for name, n in
              (("a", 61), ("b", 37))}  # fmt: skip
    frames["b"][11:19] = SILENCE
    arrays: dict[str, Any] = {"alpha": alpha, "means0": mean, "vars0": variance}
    arrays |= {f"logmel_{name}": value for name, value in frames.items()}

    def run(key: str, name: str, state: Any, dtype: type, suffix: str) -> Any:
        y, after = normaliser.step(frames[name].astype(dtype)[None], state)
        arrays[f"out_{key}{suffix}"] = y[0]
        arrays[f"means_after_{key}{suffix}"] = after[0][0]
        arrays[f"vars_after_{key}{suffix}"] = after[1][0]
        return after

    start = normaliser.initial_state(1)
    after = run("a", "a", start, np.float32, "")
    run("b_carry", "b", after, np.float32, "")
    run("b_reset", "b", start, np.float32, "")
    run("a", "a", map_state(lambda leaf: leaf.astype(np.float64), start), np.float64, "_f64")
    return arrays


def _bfp16(rng: Rng) -> dict[str, Any]:
    def wide(*shape: int) -> NDArray[np.float32]:
        """Return values whose exponents lie far apart."""
        values = rng.normal(0.0, 1.0, shape) * 2.0 ** rng.integers(-20, 20, shape)
        return values.astype(np.float32)

    x, columns, short = wide(5, 24), wide(19, 6), wide(3, 13)
    x[0, :8] = 0.0
    # Halfway between two bf16 numbers: away from zero.
    x[1, :8] = [1 + 2**-8, -1 - 2**-8, 1 + 3 * 2**-8, -1 - 3 * 2**-8, 0.0, 1.0, -0.0, 2.0]
    # Halfway between two multiples of the block's unit, 2^-6 beside a 1: towards +infinity.
    x[2, :8] = [1.0, 2**-7, -(2**-7), 3 * 2**-7, -3 * 2**-7, 5 * 2**-7, -5 * 2**-7, -1.0]
    # 127.5 units, cut to 127; and one that bf16 lifts to the next power of two.
    x[3, :8] = [255 / 128, -255 / 128, 1.0, -1.0, 2**-7, 0.0, 0.0, 0.0]
    x[3, 8:16] = [1.9999, -1.9999, 1.0, -1.0, 2**-6, -(2**-6), 0.0, 0.0]
    columns[8:16, 1] = x[2, :8]
    short[1, 8:] = -np.abs(short[1, 8:])  # a short block whose padding is its own minimum
    short[2] = 0.0
    return {
        "block": 8,
        "bf16_in": x,
        "bf16_out": bf16(x),
        "bfp_dim1_in": x,
        "bfp_dim1_out": bfp(x),
        "bfp_dim0_in": columns,
        "bfp_dim0_out": bfp(np.ascontiguousarray(columns.T)).T,
        "bfp_dim1_pad_in": short,
        "bfp_dim1_pad_out": bfp(short),
    }


def _lstm(
    rng: Rng,
    activation: Activation,
    number_format: NumberFormat = "float32",
    *,
    count: int = 1,
    gain: float = 1.0,
    forget_bias: float = 0.0,
    frames: int = 13,
) -> dict[str, Any]:
    batch, inputs, hidden = 2, 14, 9
    layers = []
    for n in range(count):
        width = inputs if n == 0 else hidden
        shapes = ((4 * hidden, width), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        layers.append(
            {
                # Large recurrent weights are chaos, in which float32 decides on nothing.
                k: rng.normal(0, 0.2 if k == "weight_hh" else gain / 3, s).astype(np.float32)
                for k, s in zip(names, shapes, strict=True)
            }
        )
        layers[-1]["bias_ih"][hidden : 2 * hidden] += np.float32(forget_bias)
    x = rng.normal(0.0, 1.0, (frames, batch, inputs)).astype(np.float32)
    h0, c0 = rng.normal(0.0, 0.5, (2, count, batch, hidden)).astype(np.float32)
    state = tuple(zip(h0, c0, strict=True))
    stack = lstm_stack(layers, activation, number_format)
    y, after = stack.step(x.transpose(1, 0, 2), state)
    arrays = {
        "x": x,
        "y": y.transpose(1, 0, 2),
        "h0": h0,
        "c0": c0,
        "hn": np.stack([h for h, _ in after]),
        "cn": np.stack([c for _, c in after]),
        "hard": int(activation == "hard"),
        "quantize": int(number_format == "bfp16"),
        "num_layers": count,
        **{f"{k}_l{n}": a for n, layer in enumerate(layers) for k, a in layer.items()},
    }
    if activation == "hard" and number_format == "float32":
        wide = map_state(lambda leaf: leaf.astype(np.float64), state)
        y_f64, _ = stack.step(x.transpose(1, 0, 2).astype(np.float64), wide)
        arrays["y_f64"] = y_f64.transpose(1, 0, 2)
    return arrays


STAGE_FILES: dict[str, Make] = {
    "melmat.npz": _mel,
    **{
        f"logmel_{generation}_{signal}.npz": partial(_log_mel, signal=signal, padded=padded)
        for generation, padded in (("v1.4", False), ("v1.14", True))
        for signal in (*SIGNALS, "float")
    },
    **{f"ewma_a{alpha:g}.npz": partial(_ewma, alpha=alpha) for alpha in (0.0, 0.001, 0.05, 0.5)},
    "bfp16_quant.npz": _bfp16,
    "lstm_hard_1layer.npz": partial(_lstm, activation="hard"),
    "lstm_hard_2layer.npz": partial(_lstm, activation="hard", count=2),
    "lstm_hard_saturated.npz": partial(_lstm, activation="hard", count=2, gain=3.0),
    "lstm_hard_forget_bias.npz": partial(_lstm, activation="hard", forget_bias=8.0, frames=20),
    "lstm_soft_1layer.npz": partial(_lstm, activation="soft"),
    "lstm_soft_2layer.npz": partial(_lstm, activation="soft", count=2),
    "lstm_soft_saturated.npz": partial(_lstm, activation="soft", count=2, gain=3.0),
    "lstm_quant_hard_2layer.npz": partial(_lstm, activation="hard", number_format="bfp16", count=2),
    "lstm_quant_soft.npz": partial(_lstm, activation="soft", number_format="bfp16"),
}
