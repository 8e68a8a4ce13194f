"""Vectors of the front end, the normaliser, block floating point and the LSTM.

The wanted values come from the references in `stream`, in float64 where a stage has no rounding of its
own; NumPy and torch are checked, the LSTM also as an ONNX graph. Signals and weights are random, with
the edges that a second implementation gets wrong: windows that just fit, saturation, ties, exponents far
apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance.comparison import (
    Arrays,
    Kind,
    Rng,
    Row,
    VectorError,
    Vectors,
    compare,
    computed,
    on_each,
)
from stream.backends.session import open_session
from stream.encoders.bfp16 import bf16, bfp
from stream.encoders.lstm_layer import KEYS, Activation, NumberFormat, layer_shapes, lstm_stack
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
from stream.front_end.normaliser import Normaliser, utterance_normalise
from stream.stage import Floats, Stage, map_state
from train.schedules.penalties import stream_share

LOG_MEL = 5e-3  # of DALI, whose float32 is itself off by 2e-3 on speech
LOG_MEL_DC = 0.1  # a constant signal leaves nothing but rounding in its valleys
NORMALISED, EXACT = 1e-4, 1e-9  # float32, float64
LSTM = 2e-6
BF16 = 2.0**-8  # one step of a value that is rounded to bf16

WINDOWS = {"w20": 320, "w25": 400}
# Around the first window and the second frame of both generations and window lengths.
LENGTHS = (1, 2, 159, 160, 161, 240, 241, 319, 320, 321, 399, 400, 401, 559, 560, 561)
RAMP, FIRST_RATIO = (100, 200), 0.25  # the blend of normalisations, in updates
BLENDED = (0, 150, 200)
ALPHAS = (0.0, 0.001, 0.05, 0.5)

To = Callable[[Any], Any]  # array -> array of a backend


def _on_both(stage: str, rows: Callable[[str, To], Iterator[Row]]) -> Iterator[Row]:
    """Check NumPy and torch; `rows` takes the backend's name and its converter."""

    def of(backend: str) -> Iterator[Row]:
        if backend == "numpy":
            return rows(backend, np.asarray)
        import torch

        return rows(backend, torch.from_numpy)

    return on_each(stage, ("numpy", "torch"), of)


def _mel_filters(rng: Rng) -> dict[str, Any]:
    table = {"sample_rate": SAMPLE_RATE, "n_fft": FFT, "n_mels": BINS}
    return table | {"fmin": 0.0, "fmax": SAMPLE_RATE / 2}


def _filters(z: Arrays) -> dict[str, Any]:
    """Return the filterbank and the Hann windows of a file."""
    filters = {"melmat_exact": mel_matrix(), "melmat_dali": mel_matrix()}
    return filters | {f"hann{window}": hann(window) for window in WINDOWS.values()}


def _stored(values: Arrays) -> dict[str, Any]:
    return {**values, "melmat_dali": values["melmat_dali"].astype(np.float32)}


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
    "float": lambda rng: 2.3 * _tone(rng),  # partly beyond [-1, 1], which is not clipped
}


def _front_ends(padded: bool) -> dict[str, FrontEnd]:
    return {tag: FrontEnd(window, CARD_FLOOR, padded) for tag, window in WINDOWS.items()}


def _make_log_mel(rng: Rng, folder: Path, signal: str, padded: bool) -> dict[str, Any]:
    """Draw a signal; returns its frames by both windows."""
    pcm: NDArray[Any] = SIGNALS[signal](rng)
    if signal == "float":
        pcm = pcm.astype(np.float32)
        samples = pcm.astype(np.float64)
    else:
        pcm = np.clip(np.rint(pcm), -32768, 32767).astype(np.int16)
        samples = pcm / 32768
    arrays: dict[str, Any] = {
        "pcm": pcm,
        "sample_rate": SAMPLE_RATE,
        "generation": "v1.14" if padded else "v1.4",
    }
    for tag, front_end in _front_ends(padded).items():
        frames = streamed_log_mel(samples[None], front_end)[0].T.astype(np.float32)
        padding = front_end.window - HOP if padded else 0
        count = frame_count(len(pcm), front_end)
        if count and len(pcm) + padding < front_end.window:
            arrays[f"short_frame_{tag}"] = 1
        lengths = [front_end.window, HOP]
        arrays |= {
            f"logmel_{tag}": frames,
            f"exact_{tag}": frames,
            f"accepted_{tag}": int(count > 0),
            f"params_{tag}": np.array(
                [n / SAMPLE_RATE for n in lengths]
                + [*lengths, FFT, BINS, PRE_EMPHASIS, 0.0, padding, 0.0]
            ),
        }
    fields = (
        "window_s stride_s window_n stride_n n_fft n_filt preemph dither pad_front_n pad_back_n"
    )
    return {**arrays, "params_fields": np.array(fields.split())}


def _check_log_mel(z: Vectors) -> Iterator[Row]:
    """Check both windows of one signal, against DALI and against the float64 definition."""
    pcm = z["pcm"]
    samples = _scaled(pcm) if pcm.dtype == np.int16 else pcm.astype(np.float32)
    front_ends = _front_ends(str(z["generation"]).removeprefix("v") == "1.14")
    allowed = LOG_MEL_DC if "dc" in z.path.stem.split("_") else LOG_MEL
    tags = [tag for tag in WINDOWS if f"logmel_{tag}" in z]
    if not tags:
        raise VectorError(f"{z.path}: has neither logmel_w20 nor logmel_w25")

    def rows(backend: str, to: To) -> Iterator[Row]:
        for tag in tags:
            frames = np.asarray(streamed_log_mel(to(samples[None]), front_ends[tag])[0]).T
            got = {f"logmel_{tag}": frames, f"exact_{tag}": frames}
            yield from z.close(backend, got, allowed)

    accepted = {f"accepted_{t}": frame_count(len(samples), front_ends[t]) > 0 for t in tags}
    yield from z.close("numpy", accepted, optional=("accepted",))
    yield from _on_both("log-mel", rows)


def _scaled(pcm: Any) -> Any:
    return pcm.astype(np.float32) / 32768


def _statistics(rng: Rng) -> tuple[Floats, Floats]:
    """Draw a mean and a variance, (80,) each."""
    drawn = rng.normal(-9.0, 2.0, BINS), rng.uniform(2.0, 12.0, BINS)
    return drawn[0].astype(np.float32), drawn[1].astype(np.float32)


def _ewma(z: Arrays, to: To, dtype: type, suffix: str) -> dict[str, Any]:
    """Normalise utterance a; in float32 also b, with the statistics after a and with the initial ones."""
    normaliser = Normaliser(z["means0"], z["vars0"], z["alpha"])
    start = map_state(lambda leaf: to(leaf.astype(dtype)), normaliser.initial_state(1))
    values: dict[str, Any] = {}

    def run(key: str, frames: str, state: Any) -> Any:
        y, after = normaliser.step(to(z[frames].astype(dtype)[None]), state)
        results = zip(("out", "means_after", "vars_after"), (y, *after), strict=True)
        values.update({f"{name}_{key}{suffix}": of[0] for name, of in results})
        return after

    after = run("a", "logmel_a", start)
    if dtype is np.float32:
        run("b_carry", "logmel_b", after)
        run("b_reset", "logmel_b", start)
    return values


def _make_ewma(rng: Rng, folder: Path, alpha: float) -> dict[str, Any]:
    """Draw two utterances, a part of one digital silence."""
    mean, variance = _statistics(rng)
    inputs: dict[str, Any] = {"alpha": alpha, "means0": mean, "vars0": variance}
    for name, frames in (("a", 61), ("b", 37)):
        inputs[f"logmel_{name}"] = rng.normal(-9.0, 3.0, (frames, BINS)).astype(np.float32)
    inputs["logmel_b"][11:19] = np.log(CARD_FLOOR)
    wide = _ewma(inputs, np.asarray, np.float64, "_f64")
    return inputs | _ewma(inputs, np.asarray, np.float32, "") | wide


def _check_ewma(z: Vectors) -> Iterator[Row]:

    def rows(backend: str, to: To) -> Iterator[Row]:
        yield from z.close(backend, _ewma(z, to, np.float32, ""), NORMALISED)
        yield from z.close(backend, _ewma(z, to, np.float64, "_f64"), EXACT)

    return _on_both("EWMA", rows)


def _norm(z: Arrays, frames: Any, to: To, updates: Iterable[int]) -> dict[str, Any]:
    """Normalise frames, (1, S, 80), by global statistics, by their own, and by blends of both."""
    normaliser = Normaliser(z["means"], z["vars"], 0.0)
    state = map_state(lambda leaf: to(leaf.astype(frames.dtype)), normaliser.initial_state(1))
    x = to(frames)
    fixed, own = normaliser.step(x, state)[0], utterance_normalise(x)
    values = {"dataset": fixed, "utterance": own}
    start, end = (int(update) for update in z["ramp"])
    for update in updates:
        ratio = stream_share(update, start=start, end=end, first=z["starting_ratio"])
        values[f"blend_step{update}"] = ratio * fixed + (1.0 - ratio) * own
    return {name: np.asarray(value)[0].T for name, value in values.items()}


def _make_norm(rng: Rng, folder: Path) -> dict[str, Any]:
    swell = np.abs(np.sin(np.arange(8000) / rng.uniform(500, 1500)))
    pcm = np.clip(np.rint(rng.normal(0.0, 6000.0, 8000) * swell), -32768, 32767).astype(np.int16)
    front_end = _front_ends(padded=True)["w25"]
    logmel = streamed_log_mel(pcm[None] / 32768, front_end)[0].astype(np.float32)
    mean, variance = _statistics(rng)
    inputs = {
        "pcm": pcm,
        "logmel": np.ascontiguousarray(logmel.T),
        "means": mean,
        "vars": variance,
        "ramp": np.array(RAMP),
        "starting_ratio": FIRST_RATIO,
    }
    wanted = _norm(inputs, logmel[None].astype(np.float64), np.asarray, BLENDED)
    return inputs | {name: value.astype(np.float32) for name, value in wanted.items()}


def _check_norm(z: Vectors) -> Iterator[Row]:
    frames = np.ascontiguousarray(z["logmel"].T)[None]
    if "pcm" in z:  # of generation 1.14
        front_end = _front_ends(padded=True)["w25"]
        got = streamed_log_mel(_scaled(z["pcm"])[None], front_end)
        yield compare("logmel", "numpy", got, frames, LOG_MEL)
    blended = [int(key.removeprefix("blend_step")) for key in z if key.startswith("blend_step")]
    yield from _on_both(
        "normalisation",
        lambda backend, to: z.close(backend, _norm(z, frames, to, blended), NORMALISED),
    )


def _quantised(z: Arrays, to: To) -> dict[str, Any]:
    columns = to(np.ascontiguousarray(z["bfp_dim0_in"].T))
    values = {"bf16_out": bf16(to(z["bf16_in"])), "bfp_dim0_out": np.asarray(bfp(columns)).T}
    keys = ("bfp_dim1", "bfp_dim1_pad")
    return values | {f"{key}_out": bfp(to(z[f"{key}_in"])) for key in keys}


def _make_bfp16(rng: Rng, folder: Path) -> dict[str, Any]:
    """Draw blocks along either axis, with ties, saturation and padding."""

    def wide(*shape: int) -> Floats:
        """Draw values whose exponents lie far apart."""
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
    inputs = {"block": 8, "bf16_in": x, "bfp_dim1_in": x}
    inputs |= {"bfp_dim0_in": columns, "bfp_dim1_pad_in": short}
    return inputs | _quantised(inputs, np.asarray)


def _check_bfp16(z: Vectors) -> Iterator[Row]:
    return _on_both("bfp16", lambda backend, to: z.close(backend, _quantised(z, to)))


def layer_arrays(z: Arrays) -> list[Arrays]:
    """Return the arrays of each layer of an lstm vector file."""
    return [{key: z[f"{key}_l{n}"] for key in KEYS} for n in range(z["num_layers"])]


def _formats(z: Arrays) -> tuple[Activation, NumberFormat]:
    return "hard" if z["hard"] else "soft", "bfp16" if z["quantize"] else "float32"


def _lstm(z: Arrays, to: To) -> dict[str, Any]:
    """Run a stack of layers from the given state; hard float ones in float64 too."""
    stack: Stage = lstm_stack(layer_arrays(z), *_formats(z))

    def run(dtype: type) -> tuple[Any, Any, Any]:
        x: Any = np.ascontiguousarray(z["x"].transpose(1, 0, 2)).astype(dtype)
        layers = zip(z["h0"].astype(dtype), z["c0"].astype(dtype), strict=True)
        y, after = stack.step(to(x), tuple((to(h), to(c)) for h, c in layers))
        h, c = (np.stack([np.asarray(layer[leaf]) for layer in after]) for leaf in (0, 1))
        return np.asarray(y).transpose(1, 0, 2), h, c

    values = dict(zip(("y", "hn", "cn"), run(np.float32), strict=True))
    return values | ({"y_f64": run(np.float64)[0]} if z["hard"] and not z["quantize"] else {})


def _make_lstm(
    rng: Rng,
    folder: Path,
    activation: Activation,
    *,
    quantize: bool = False,
    count: int = 1,
    gain: float = 1.0,
    forget_bias: float = 0.0,
    frames: int = 13,
) -> dict[str, Any]:
    """Draw a stack of `count` layers."""
    batch, inputs, hidden = 2, 14, 9
    weights: dict[str, Any] = {}
    for name, shape in layer_shapes("", count, inputs, hidden).items():
        _, n, key = name.split(".")
        # Large recurrent weights are chaos, in which float32 decides on nothing.
        deviation = 0.2 if key == "weight_hh" else gain / 3
        weight = weights[f"{key}_l{n}"] = rng.normal(0, deviation, shape).astype(np.float32)
        if key == "bias_ih":
            weight[hidden : 2 * hidden] += np.float32(forget_bias)
    x = rng.normal(0.0, 1.0, (frames, batch, inputs)).astype(np.float32)
    h0, c0 = rng.normal(0.0, 0.5, (2, count, batch, hidden)).astype(np.float32)
    given: dict[str, Any] = {"x": x, "h0": h0, "c0": c0, "hard": int(activation == "hard")}
    given |= {"quantize": int(quantize), "num_layers": count, **weights}
    return given | _lstm(given, np.asarray)


def _check_lstm(z: Vectors) -> Iterator[Row]:
    activation, number_format = _formats(z)
    allowed = LSTM if number_format == "float32" else BF16

    def rows(backend: str, got: dict[str, Any]) -> Iterator[Row]:
        wide = {"y_f64": got.pop("y_f64")} if "y_f64" in got else {}
        yield from z.close(backend, got, allowed, relative_above=1.0)
        yield from z.close(backend, wide, EXACT, optional=("y_f64",))

    yield from _on_both("LSTM", lambda backend, to: rows(backend, _lstm(z, to)))
    if number_format == "float32":  # ONNX has no block floating point
        yield from on_each("LSTM", ("onnx",), lambda name: rows(name, _lstm_graph(z, activation)))


def _lstm_graph(z: Arrays, activation: Activation) -> dict[str, Any]:
    from export.onnx.lstm import lstm_graph

    session = open_session(lstm_graph(layer_arrays(z), activation))
    h, c = (np.ascontiguousarray(z[key].transpose(1, 0, 2)) for key in ("h0", "c0"))
    outputs = []
    for x in z["x"]:
        y, h, c = session.run(["y", "h.after", "c.after"], {"x": x, "h": h, "c": c})
        outputs.append(y)
    return {"y": np.stack(outputs), "hn": h.transpose(1, 0, 2), "cn": c.transpose(1, 0, 2)}


KINDS = (
    computed("melmat*.npz", "numpy", _filters, 1e-6, {"melmat.npz": _mel_filters}, stored=_stored),
    Kind(
        "logmel_*.npz",
        _check_log_mel,
        {
            f"logmel_{generation}_{signal}.npz": partial(
                _make_log_mel, signal=signal, padded=padded
            )
            for generation, padded in (("v1.4", False), ("v1.14", True))
            for signal in SIGNALS
        },
    ),
    Kind(
        "ewma_*.npz",
        _check_ewma,
        {f"ewma_a{alpha:g}.npz": partial(_make_ewma, alpha=alpha) for alpha in ALPHAS},
    ),
    Kind("norm_*.npz", _check_norm, {"norm_v1.14.0.npz": _make_norm}),
    Kind("bfp16*.npz", _check_bfp16, {"bfp16_quant.npz": _make_bfp16}),
    Kind(
        "lstm_*.npz",
        _check_lstm,
        {
            "lstm_hard_1layer.npz": partial(_make_lstm, activation="hard"),
            "lstm_hard_2layer.npz": partial(_make_lstm, activation="hard", count=2),
            "lstm_hard_saturated.npz": partial(_make_lstm, activation="hard", count=2, gain=3.0),
            "lstm_hard_forget_bias.npz": partial(
                _make_lstm, activation="hard", forget_bias=8.0, frames=20
            ),
            "lstm_soft_1layer.npz": partial(_make_lstm, activation="soft"),
            "lstm_soft_2layer.npz": partial(_make_lstm, activation="soft", count=2),
            "lstm_soft_saturated.npz": partial(_make_lstm, activation="soft", count=2, gain=3.0),
            "lstm_quant_hard_2layer.npz": partial(
                _make_lstm, activation="hard", quantize=True, count=2
            ),
            "lstm_quant_soft.npz": partial(_make_lstm, activation="soft", quantize=True),
        },
    ),
)
