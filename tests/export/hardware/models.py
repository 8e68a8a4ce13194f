"""Small models for hardware bundles: each has other parts than the one before."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.hardware.bundle import write_bundle
from hwckpt.hardware_bundle import Bundle
from stream.front_end.gain_control import GainControl
from stream.front_end.gate import Gate
from stream.model.network import Network
from tests.tiny import quantised, tiny_network

__all__ = ["MODELS", "small_bundle", "small_network", "small_recordings"]

MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bundled-like": {
        "gain_control": GainControl(),
        "gate": Gate(),
        "mute_chunks": 3,
        "sound_chunks": 2,
        "final_padding": 3200,
    },
    "card-like": {
        "window": 320,
        "initial_padding": True,
        "floor": 1e-20,
        "alpha": 0.0,
        "mute_chunks": 2,
        "sound_chunks": 1,
        "symbol_counter": "running",
        "symbols_per_step": 7,
        "pre_layers": 2,
        "post_layers": 3,
        "prediction_layers": 2,
        "prediction_hidden": 24,
    },
    "extreme": {
        "window": 401,
        "mute_chunks": 1,
        "final_padding": 1119,  # a sample less than whole frames
        "alpha": 0.75,  # variances fall to their least
        # Whatever is not flat is a tone, and the background does not rise.
        "gain_control": GainControl(tone=0.001, rise=0.0001),
    },
}
BLANK = {"card-like": 5.5}  # added to the bias of blank, so that some frames say nothing; else 2.0
TWINS = (5, 19)  # classes with equal logits: of these the first one is said


def small_network(name: str) -> Network:
    """Return one of `MODELS`, random and talkative, with 4 bits in a layer."""
    network = tiny_network(2, **MODELS[name])
    gains = {"encoder.p": 3.0, "prediction.lstm": 1.5, "joint.output": 4.0, "joint": 2.2}
    arrays = {}
    for key, values in network.arrays.items():
        gain = next((each for part, each in gains.items() if key.startswith(part)), 1.0)
        arrays[key] = values * np.float32(gain) if "weight" in key else values.copy()
    said, twin = TWINS
    for part in ("weight", "bias"):
        arrays[f"joint.output.{part}"][twin] = arrays[f"joint.output.{part}"][said]
    arrays["joint.output.bias"][-1] += np.float32(BLANK.get(name, 2.0))
    if name == "extreme":
        arrays["joint.output.bias"] -= np.float32(2.5)  # no logit is above 0 by its bias alone
    arrays["normaliser.variance"] /= np.float32(16.0)  # so that inputs saturate
    return quantised(replace(network, arrays=arrays), joint=6, weight_bits={"encoder.post.0": 4})


@functools.cache
def small_bundle(name: str, folder: Path) -> Bundle:
    """Return the bundle of one of `MODELS`, written into a folder; nobody may change it."""
    write_bundle(small_network(name), folder / name, small_recordings(), {"babble": "a"})
    return Bundle(folder / name)


def small_recordings() -> dict[str, NDArray[np.int16]]:
    """Return a second and a half of babbling noise."""
    rng = np.random.default_rng(5)
    loudness = 6000 * np.abs(np.sin(np.arange(24_000) / 1700))
    noise = np.rint(rng.normal(0.0, 1.0, 24_000) * loudness)
    return {"babble": noise.clip(-32768, 32767).astype(np.int16)}
