"""Checks of the front end in fixed point: every integer equal, operator by operator and stage by stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hwckpt.conformance.comparison import Row, VectorError, load
from hwckpt.conformance.fixed_front_end import emphasised_whole
from stream.front_end.log_mel import streamed_log_mel
from stream.integer.front_end import FixedFrontEnd
from stream.integer.log_mel import FixedLogMel, block, log2, spectrum
from stream.integer.normaliser import FixedNormaliser, inverse_root, normalise, update

__all__ = ["ewma", "log_mel", "operators"]


def _equal(path: Path, stage: str, got: Any, want: Any) -> Row:
    """Compare integers, all 64 bits of them; the count that differs must be 0."""
    got, want = np.asarray(got), np.asarray(want)
    if want.dtype.kind not in "iu":
        raise VectorError(f"{path}: {stage} is {want.dtype}, wants integers")
    if got.shape != want.shape:
        return Row(stage, "numpy", np.inf, np.inf, 0.0, f"shape {got.shape}, not {want.shape}")
    different = np.argwhere(got != want)
    if not len(different):
        return Row(stage, "numpy", 0.0, 0.0, 0.0)
    at = tuple(different[0].tolist())
    note = f"at {at}: {got[at]}, not {want[at]}"
    return Row(stage, "numpy", float(len(different)), len(different) / want.size, 0.0, note)


def log_mel(path: Path) -> Iterator[Row]:
    """fixed_logmel: all values of the frames of one signal, and the stage that streams them."""
    z = load(path)
    front_end = FixedFrontEnd(
        z["window"], z["floor"], bool(z["initial_padding"]), z["final_padding"]
    )
    y = emphasised_whole(z["pcm"], front_end)
    yield _equal(path, "fixed pre-emphasis", y, z["emphasised"])
    values = FixedLogMel(z["window"], z["floor"]).values(z["emphasised"][None].astype(np.int64))
    for key, value in values._asdict().items():
        yield _equal(path, f"fixed log-mel {key}", value[0], z[key])
    yield _equal(
        path, "fixed front end", streamed_log_mel(z["pcm"][None], front_end)[0], z["frames"]
    )


def ewma(path: Path) -> Iterator[Row]:
    """fixed_ewma: two utterances, the statistics carried over."""
    z = load(path)
    stage = FixedNormaliser(z["mean"], z["variance"], z["alpha"], z["exponent"])
    yield _equal(path, "fixed alpha", stage.weight, z["weight"])
    state = stage.initial_state(1)
    for name in ("a", "b"):
        yield _equal(path, f"fixed mean before {name}", state[0][0], z[f"mean_{name}"])
        yield _equal(path, f"fixed variance before {name}", state[1][0], z[f"variance_{name}"])
        q, state = stage.quantised(z[f"frames_{name}"][None].astype(np.int64), state)
        yield _equal(path, f"fixed normaliser {name}", q[0], z[f"q_{name}"])
    yield _equal(path, "fixed mean after", state[0][0], z["mean_after"])
    yield _equal(path, "fixed variance after", state[1][0], z["variance_after"])


def operators(path: Path) -> Iterator[Row]:
    """fixed_operators: single rules, at the edges of their ranges."""
    z = load(path)
    mantissas, exponent = block(_wide(z["block_in"]))
    yield _equal(path, "fixed mantissas", mantissas, z["block_mantissas"])
    yield _equal(path, "fixed exponents", exponent, z["block_exponent"])
    re, im = spectrum(_wide(z["fft_in"]))
    yield _equal(path, "fixed spectrum, real", re, z["fft_re"])
    yield _equal(path, "fixed spectrum, imaginary", im, z["fft_im"])
    energy, n = _wide(z["log2_energy"]), _wide(z["log2_exponent"])
    yield _equal(path, "fixed log2", log2(energy, n, z["log2_floor"]), z["log2_out"])
    yield _equal(path, "fixed log2, low floor", log2(energy, n, -72 << 10), z["log2_out_low"])
    s, k = inverse_root(_wide(z["root_in"]))
    yield _equal(path, "fixed inverse root", s, z["root_s"])
    yield _equal(path, "fixed inverse root, exponent", k, z["root_k"])
    keys = ("frame", "mean", "variance", "weight")
    mean, variance = update(*(_wide(z[f"update_{key}"]) for key in keys))
    yield _equal(path, "fixed update, mean", mean, z["update_mean_after"])
    yield _equal(path, "fixed update, variance", variance, z["update_variance_after"])
    frame, mean, variance = (_wide(z[f"normalise_{key}"]) for key in keys[:3])
    for e in range(8):
        q = normalise(frame, mean, variance, e)
        yield _equal(path, f"fixed normalise, Q.{e}", q, z[f"normalise_out_{e}"])


def _wide(array: Any) -> Any:
    return np.asarray(array).astype(np.int64)
