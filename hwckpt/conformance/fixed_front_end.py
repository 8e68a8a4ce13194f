"""Vectors of the front end in fixed point, integers only: operator by operator and stage by stage.

Files of signals hold every intermediate value of their frames. The file of operators holds inputs that
signals seldom reach: every segment of the tables, ties of every rounding, saturation, both ends of every
range. The rules are those of docs/integer-front-end.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance.comparison import Arrays, Rng, computed
from stream.front_end.log_mel import (
    BINS,
    CARD_FLOOR,
    HOP,
    SAMPLE_RATE,
    FrontEnd,
    frame_count,
    streamed_log_mel,
)
from stream.integer.fixed import Ints
from stream.integer.front_end import FixedFrontEnd
from stream.integer.log_mel import FixedLogMel, block, emphasise, log2, spectrum
from stream.integer.normaliser import FixedNormaliser, alpha_weight, inverse_root, normalise, update

FLOOR = 2.0**-23
SAMPLES = 720  # three windows of 25 ms
LOUD, QUIET = 16 * 1024 - 1, -72 * 1024  # the range of frames, Q.10
ALPHAS = (0.0, 0.001, 0.05, 0.9)
WIDE = ("power", "energy", "update_mean_after", "update_variance_after")  # int64 in files
WEIGHTS = tuple(alpha_weight(alpha) for alpha in ALPHAS)


def _emphasised(pcm: NDArray[np.int16], front_end: FrontEnd) -> Ints:
    """Return the emphasised samples that the windows of an utterance are cut from.

    Args:
        pcm: (samples,), at least one.
        front_end: whose padding is added.
    Returns:
        (160 frames + window - 160,), Q.30.
    """
    padding = front_end.window - HOP if front_end.initial_padding else 0
    padded = np.pad(pcm, (padding, front_end.final_padding))
    first = padded[:1]  # its own predecessor; 0 where there is padding
    y = emphasise(padded, np.concatenate([first, padded[:-1]]))
    wanted = HOP * frame_count(len(pcm), front_end) + front_end.window - HOP
    return np.pad(y, (0, max(wanted - len(y), 0)))[:wanted]


def _tone(rng: Rng) -> NDArray[np.float64]:
    time = np.arange(SAMPLES) / SAMPLE_RATE
    tone: NDArray[np.float64] = sum(
        (np.sin(2 * np.pi * rng.uniform(100.0, 7000.0) * time) for _ in range(5)), np.zeros(SAMPLES)
    )
    return 3000.0 * tone + rng.normal(0.0, 20.0, SAMPLES)


def _square(rng: Rng, half: int) -> NDArray[np.float64]:
    phase = int(rng.integers(2 * half))
    up = (np.arange(SAMPLES) + phase) // half % 2 == 1
    return np.where(up, 32767.0, -32768.0)


def _impulse(rng: Rng) -> NDArray[np.float64]:
    signal = np.zeros(SAMPLES)
    signal[rng.integers(200, 500)] = 32767.0
    return signal


# name: signal, window, floor, initial padding, final padding
SIGNALS: dict[str, tuple[Callable[[Rng], NDArray[np.float64]], int, float, bool, int]] = {
    "tone": (_tone, 400, FLOOR, False, 0),
    "tone20": (_tone, 320, CARD_FLOOR, True, 320),
    "tone32": (_tone, 512, FLOOR, True, 0),
    "nyquist": (partial(_square, half=1), 400, FLOOR, False, 0),
    "square": (partial(_square, half=16), 400, CARD_FLOOR, False, 0),
    "noise": (lambda rng: rng.uniform(-32768.0, 32767.0, SAMPLES), 400, FLOOR, True, 0),
    "quiet": (lambda rng: rng.integers(-2, 3, SAMPLES).astype(float), 400, CARD_FLOOR, True, 0),
    "impulse": (_impulse, 400, CARD_FLOOR, False, 0),
    "silence": (lambda rng: np.zeros(SAMPLES), 400, CARD_FLOOR, True, 160),
    "dc": (lambda rng: np.full(SAMPLES, -32768.0), 400, FLOOR, False, 0),
    "short": (lambda rng: rng.normal(0.0, 3000.0, 250), 400, FLOOR, False, 0),
    "short_padded": (lambda rng: rng.normal(0.0, 3000.0, 7), 400, FLOOR, True, 0),
}


def _signal(rng: Rng, signal: str) -> dict[str, Any]:
    make, window, floor, initial_padding, final_padding = SIGNALS[signal]
    return {
        "pcm": np.clip(np.rint(make(rng)), -32768, 32767).astype(np.int16),
        "window": window,
        "floor": floor,
        "initial_padding": int(initial_padding),
        "final_padding": final_padding,
    }


def _front_end(z: Arrays) -> FixedFrontEnd:
    return FixedFrontEnd(z["window"], z["floor"], bool(z["initial_padding"]), z["final_padding"])


def _log_mel(z: Arrays) -> dict[str, Ints]:
    """Return all values of the frames of a signal."""
    y = _emphasised(z["pcm"], _front_end(z))
    values = FixedLogMel(z["window"], z["floor"]).values(y[None].astype(np.int64))
    return {"emphasised": y} | {name: value[0] for name, value in values._asdict().items()}


def _streamed(z: Arrays) -> dict[str, Ints]:
    """Return the frames of a signal from the stage that streams them."""
    return {"frames": streamed_log_mel(z["pcm"][None], _front_end(z))[0]}


def _blocks(rng: Rng) -> Ints:
    """Windowed samples: of every exponent, ties, and around the headroom of 2^-14."""
    p = rng.integers(-(2**45), 2**45, (47, 8)) >> np.arange(46, -1, -1)[:, None]
    ties = (2 * rng.integers(-(2**22), 2**22, (2, 8)) + 1) << 20
    ties[:, 0] = 2**44 - 2**40
    full = 2**45 - 2**31  # the largest number of 45 bits that keeps them: one more takes a 46th bit
    edges = np.zeros((6, 8), np.int64)
    edges[:, 0] = [full - 2**18, full, full + 2**18, -full, 1, 0]
    edges[:3, 1:] = rng.integers(-full, full, (3, 7))
    return np.concatenate([p, ties, edges])


def _energies(rng: Rng) -> tuple[Ints, Ints]:
    """Mel sums and exponents: every segment of the table at several sizes, ties, ends, nothing."""
    segments = (64 + np.arange(64))[:, None] << np.array([0, 10, 30, 55])
    energy = segments + rng.integers(0, segments >> 6)
    # In segment i the line is a multiple of 2^10 plus a rise times a whole number; where that is a
    # tie in 2^16, both neighbours come too.
    table = np.rint(np.ldexp(np.log2(1.0 + np.arange(65) / 64), 16)).astype(np.int64)
    line = (table[:-1, None] << 10) + np.diff(table)[:, None] * np.arange(1024)
    entry, rest = np.nonzero(line % 2**16 == 2**15)
    mantissa = (1 << 16) + (entry << 10) + rest
    ties = np.concatenate([mantissa - 1, mantissa, mantissa + 1])
    rows = np.concatenate([energy.ravel(), ties, [0, 1, 2, 3, 2**62 - 1, 2**61, 2**50 + 1]])
    rows = np.pad(rows, (0, -len(rows) % BINS)).reshape(-1, BINS)
    n = rng.integers(36, 47, len(rows))
    n[-1] = 0  # under any floor
    return np.concatenate([rows, rows[-1:]]), np.append(n, 46)


def _roots(rng: Rng) -> Ints:
    """Variances: every segment of the table at several sizes, powers of two, both ends."""
    normal = (np.arange(32, 128)[:, None] << 25) + rng.integers(0, 1 << 25, (96, 6))
    found = normal >> (2 * rng.integers(0, 12, normal.shape) * (np.arange(6) > 2))
    powers = 1 << np.arange(32)
    return np.concatenate([found.ravel(), powers, powers[1:] - 1, [2**32 - 1]])


def _updates(rng: Rng) -> tuple[Ints, Ints, Ints, Ints]:
    """Frames, means, variances and weights: the whole range, ties of every rounding, both ends."""
    count = 400
    frame = rng.integers(QUIET, LOUD + 1, count)
    mean = rng.integers(QUIET << 14, LOUD << 14, count)
    variance = rng.integers(1, 1 << 31, count)
    weight = rng.choice(WEIGHTS, count)
    near = slice(0, 200)  # a difference of some units, where ties are frequent
    mean[near] = (frame[near] << 14) - (2 * rng.integers(-200, 200, 200) + 1) * 512
    weight[:150] = 1 << rng.integers(9, 15, 150)
    variance[:100] = (2 * rng.integers(1, 2**12, 100) + 1) << 9
    variance[100:110], weight[100:110], mean[100:110] = 1, WEIGHTS[-1], frame[100:110] << 14
    variance[110:120] = (1 << 32) - (1 << 28)
    mean[120:130], frame[120:130], variance[120:130] = QUIET << 14, LOUD, 2**20
    # A d^2 ends in a half of 2^28 where A has an odd number of factors 2: 2^11 (2^8)^2 = 2^27.
    halves = 2 * rng.integers(-500, 500, 50) + 1
    mean[200:250], weight[200:225] = (frame[200:250] << 14) - (halves << 18), 1 << 11
    weight[225:250] = 3 << 11  # the square of an odd number is 1 more than a multiple of 8
    return frame, mean, variance, weight


def _outputs(rng: Rng) -> tuple[Ints, Ints, Ints]:
    """Frames, means and variances for rule 10.16: deviations of -9 to 9, ties, saturation, extremes."""
    count = 400
    variance = rng.integers(1 << 18, 1 << 26, count)
    deviation = np.sqrt(np.ldexp(variance.astype(float), -20))
    frame = rng.integers(-20 * 1024, 0, count)
    mean = (frame << 14) - np.rint(rng.uniform(-9.0, 9.0, count) * deviation * 2**24).astype(int)
    variance[:100] = 4 ** rng.integers(9, 13, 100)  # exact roots: ties of z in units of 1/32
    units = 2 * rng.integers(-255, 256, 100) + 1
    mean[:100] = (frame[:100] << 14) - units * (np.sqrt(variance[:100]).astype(int) << 9)
    mean[100:110], frame[100:110], variance[100:110] = QUIET << 14, LOUD, 1
    mean[110:120], frame[110:120], variance[110:120] = LOUD << 14, QUIET, 1
    variance[105:110] = variance[115:120] = (1 << 32) - 1
    # Ties of the difference, where a deviation is so small that its last bit counts.
    mean[120:200] = (frame[120:200] << 14) + 512 * (2 * rng.integers(-20, 20, 80) + 1)
    variance[120:200] = rng.integers(1, 16, 80)
    return frame, mean, variance


def _operators(z: Arrays) -> dict[str, Any]:
    def wide(name: str) -> Ints:
        return np.asarray(z[name]).astype(np.int64)

    mantissas, exponent = block(wide("block_in"))
    re, im = spectrum(wide("fft_in"))
    energy, n = wide("log2_energy"), wide("log2_exponent")
    s, k = inverse_root(wide("root_in"))
    keys = ("frame", "mean", "variance", "weight")
    mean, variance = update(*(wide(f"update_{key}") for key in keys))
    frame, mean_before, spread = (wide(f"normalise_{key}") for key in keys[:3])
    return {
        "block_mantissas": mantissas,
        "block_exponent": exponent,
        "fft_re": re,
        "fft_im": im,
        "log2_out": log2(energy, n, z["log2_floor"]),
        "log2_out_low": log2(energy, n, QUIET),
        "root_s": s,
        "root_k": k,
        "update_mean_after": mean,
        "update_variance_after": variance,
        **{f"normalise_out_{e}": normalise(frame, mean_before, spread, e) for e in range(8)},
    }


def _edges(rng: Rng) -> dict[str, Any]:
    """Draw the inputs of single rules, at the edges of their ranges."""
    p = _blocks(rng)
    a = rng.integers(-(2**23) + 256, 2**23 - 255, (4, 512))
    a[1], a[2] = 2**23 - 256, np.where(np.arange(512) % 2, 1, -1)
    a[3] = np.where(a[3] < 0, -(2**23) + 256, 2**23 - 256)
    energy, n = _energies(rng)
    variance = _roots(rng)
    inputs: dict[str, Any] = {"block_in": p, "fft_in": a.astype(np.int32), "log2_energy": energy}
    inputs |= {"log2_exponent": n.astype(np.int32), "log2_floor": -23 << 10, "root_in": variance}
    keys = ("frame", "mean", "variance", "weight")
    inputs |= {f"update_{key}": of for key, of in zip(keys, _updates(rng), strict=True)}
    inputs |= {f"normalise_{key}": of for key, of in zip(keys[:3], _outputs(rng), strict=True)}
    for key in ("update_frame", "update_weight", "normalise_frame"):
        inputs[key] = inputs[key].astype(np.int32)
    return inputs


def _ewma(z: Arrays) -> dict[str, Any]:
    """Normalise two utterances, the statistics carried over."""
    stage = FixedNormaliser(z["mean"], z["variance"], z["alpha"], z["exponent"])
    values: dict[str, Any] = {"weight": stage.weight}
    state = stage.initial_state(1)
    for name in "ab":
        values[f"mean_{name}"], values[f"variance_{name}"] = (leaf[0] for leaf in state)
        q, state = stage.quantised(z[f"frames_{name}"][None].astype(np.int64), state)
        values[f"q_{name}"] = q[0]
    values["mean_after"], values["variance_after"] = (leaf[0] for leaf in state)
    return values


def _utterances(rng: Rng, alpha: float) -> dict[str, Any]:
    """Draw two utterances, a part of the second at the floor."""
    arrays: dict[str, Any] = {
        "alpha": alpha,
        "exponent": 4,
        "mean": rng.normal(-9.0, 2.0, BINS).astype(np.float32),
        "variance": rng.uniform(2.0, 12.0, BINS).astype(np.float32),
    }
    for name, count in (("a", 23), ("b", 14)):
        frames = np.rint(rng.normal(-13.0, 4.5, (count, BINS)) * 1024)
        arrays[f"frames_{name}"] = frames.astype(np.int32)
    arrays["frames_b"][4:9] = -23 << 10  # the floor: digital silence
    return arrays


def _stored(values: Arrays) -> dict[str, Any]:
    """Return integers in the types of a file."""

    def kind(name: str) -> type:
        return np.int8 if "normalise_out" in name else np.int64 if name in WIDE else np.int32

    return {name: value.astype(kind(name)) for name, value in values.items()}


KINDS = (
    computed(
        "fixed_operators*.npz",
        "numpy",
        _operators,
        0.0,
        {"fixed_operators.npz": _edges},
        stored=_stored,
    ),
    computed(
        "fixed_logmel_*.npz",
        "numpy",
        _log_mel,
        0.0,
        {f"fixed_logmel_{name}.npz": partial(_signal, signal=name) for name in SIGNALS},
        stored=_stored,
    ),
    computed("fixed_logmel_*.npz", "numpy", _streamed, 0.0, {}),
    computed(
        "fixed_ewma_*.npz",
        "numpy",
        _ewma,
        0.0,
        {f"fixed_ewma_a{alpha:g}.npz": partial(_utterances, alpha=alpha) for alpha in ALPHAS},
    ),
)
