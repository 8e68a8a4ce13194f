"""Vector files from samples to tokens, with every greedy variant and normalisation, from NumPy.

`hwckpt.conformance.check_models.pcm_to_tokens` reads them. Each names a checkpoint, which lies in the same folder.
Kinds: generation 1.4 with statistics reset for every utterance, carried on in their order, or of each
utterance itself; generation 1.14 with global statistics, with and without final padding, and with the
end-of-sequence token's probability given to blank.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance.check_models import encode_batch, stacked_frames
from hwckpt.conformance.models import EOS, MARGIN, TRIES, decode, network_file, utterance
from hwckpt.layout import Format
from hwckpt.reader import network_of, read_checkpoint
from stream.backends import Backend, load_backend
from stream.decoding.greedy import GreedyConfig
from stream.front_end.log_mel import HOP, streamed_log_mel
from stream.front_end.normaliser import utterance_normalise
from stream.model.network import Network
from stream.stage import State

__all__ = ["TOKEN_FILES"]

Rng = np.random.Generator
SAMPLES = (11_200, 6_119, 3_001, 320)  # of the utterances; the last gives one frame
STEPS, SAMPLE_CAP = 30, 300


def _pcm_to_tokens(rng: Rng, folder: Path, kind: str) -> dict[str, Any]:
    format: Format = "1.4" if kind in ("reset", "carry", "uttnorm") else "1.14"
    network = network_of(read_checkpoint(folder / network_file(format)))
    if kind == "greedy_nofinalpad":
        specification = msgspec.structs.replace(network.specification, final_padding=0)
        network = replace(network, specification=specification)
    samples = SAMPLES[:-1] if kind == "uttnorm" else SAMPLES  # one frame has no deviation
    arrays = {"num": len(samples), "checkpoint": network_file(format)}
    statistics = network.normaliser.initial_state(1)
    utterances = _Utterances(network, kind)
    for i, count in enumerate(samples):
        found, after = utterances.draw(rng, count, statistics)
        arrays |= {f"{key}_{i}": value for key, value in found.items()}
        statistics = after if kind == "carry" else statistics
    return arrays | utterances.parameters


class _Utterances:
    """The utterances of one file, and its parameters."""

    def __init__(self, network: Network, kind: str) -> None:
        self._network, self._kind = network, kind
        self._backend = load_backend("numpy", network)
        spec = network.specification
        self.parameters: dict[str, Any] = {"max_symbols_per_step": STEPS}
        if kind in ("reset", "carry", "uttnorm"):
            self._configs = {"": GreedyConfig(STEPS, sample_cap=SAMPLE_CAP)}
            self.parameters |= {
                "normalisation": "per_utterance" if kind == "uttnorm" else "ewma",
                "reset": int(kind == "reset"),
                "alpha": spec.alpha,
                "max_symbol_per_sample": SAMPLE_CAP,
            }
        else:
            mode = "blank" if kind == "greedy_eosblank" else "predict"
            config = GreedyConfig(STEPS, "running", eos=EOS, eos_mode=mode)  # type: ignore[arg-type]
            self._configs = {"": config, "framecap_": replace(config, counter="frame")}
            self.parameters |= {
                "normalisation": "dataset_stats",
                "initial_padding_samples": spec.window - HOP,
                "final_padding_samples": spec.final_padding,
                "eos_index": EOS,
                "eos_decoding": mode,
            }

    def draw(self, rng: Rng, samples: int, statistics: State) -> tuple[dict[str, Any], State]:
        """Draw an utterance whose every token is clear; returns its arrays and the statistics.

        One that says nothing is taken only after many, for there may be no other.
        """
        tries = 0
        while True:
            tries += 1
            arrays, after = self._run(utterance(rng, samples), statistics)
            if arrays["min_margin"] > MARGIN and (len(arrays["tokens"]) or tries > TRIES):
                return arrays, after

    def _run(self, pcm: NDArray[np.int16], statistics: State) -> tuple[dict[str, Any], State]:
        network, backend = self._network, self._backend
        audio = pcm.astype(np.float32) / 32768
        frames = streamed_log_mel(audio[None], network.specification.front_end)
        if self._kind == "uttnorm":
            z, after = utterance_normalise(frames), statistics
        else:
            z, after = network.normaliser.step(frames, statistics)
        x = stacked_frames(z)
        f = encode_batch(backend, x)[0]
        decoded = {key: decode(backend, f, config) for key, config in self._configs.items()}
        found = decoded[""]
        arrays: dict[str, Any] = {
            "pcm": pcm,
            "features": x[0],
            "tokens": found.ids,
            "text": network.vocabulary.decode(found.ids.tolist()),
            "min_margin": min(each.margin for each in decoded.values()),
        }
        if "framecap_" in decoded:
            arrays |= {"encoder": f, "frames": found.steps, "probs": found.probabilities}
            arrays |= {
                "tokens_framecap": decoded["framecap_"].ids,
                "frames_framecap": decoded["framecap_"].steps,
            }
        else:
            arrays["encoder"] = encode_batch(_unprojected(network), x)[0]
        return arrays, after


def _unprojected(network: Network) -> Backend:
    """Return a backend without the encoder's projection: generation 1.4's files are before it."""
    identity = msgspec.structs.replace(network.specification, joint=network.specification.hidden)
    size = identity.hidden
    arrays = {name: np.zeros(shape, np.float32) for name, shape in identity.shapes().items()}
    arrays |= {k: v for k, v in network.arrays.items() if v.shape == arrays[k].shape}
    arrays["joint.encoder.weight"] = np.eye(size, dtype=np.float32)
    arrays["joint.encoder.bias"] = np.zeros(size, np.float32)
    return load_backend("numpy", Network(identity, arrays, network.tokenizer))


TOKEN_FILES: dict[str, Callable[[Rng, Path], dict[str, Any]]] = {
    **{
        f"pcm_to_tokens_v1.4.0_{kind}.npz": partial(_pcm_to_tokens, kind=kind)
        for kind in ("reset", "carry", "uttnorm")
    },
    **{
        f"pcm_to_tokens_v1.14.0_{kind}.npz": partial(_pcm_to_tokens, kind=kind)
        for kind in ("greedy", "greedy_nofinalpad", "greedy_eosblank")
    },
}
