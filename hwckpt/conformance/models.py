"""The models of vector files: small hardware checkpoints of random weights, and decisions that hold.

`hwckpt.conformance.transducer` and `hwckpt.conformance.tokens` run them. Their files want tokens exactly, so where a
draw leaves two classes so close that another order of sums could swap them, they draw again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance.check_models import decode_steps, encode_batch, stacked_frames
from hwckpt.layout import FINAL_PADDING, Format
from hwckpt.writer import from_network, write_checkpoint
from stream.backends import Backend, Logits, load_backend
from stream.decoding.greedy import GreedyConfig, Token
from stream.front_end.log_mel import BINS, CARD_FLOOR, streamed_log_mel
from stream.model.network import Network
from stream.model.specification import Specification
from stream.vocabulary import Vocabulary

__all__ = [
    "EOS",
    "MARGIN",
    "TRIES",
    "Decoded",
    "decode",
    "features",
    "network_file",
    "utterance",
    "write_network",
]

VERSIONS: dict[Format, str] = {"1.4": "v1.4.0", "1.14": "v1.14.0"}
EOS = 1  # a piece like any other here
MARGIN = 1e-3  # between the best logit and the next: a hundred times what backends differ by
TRIES = 50  # draws that may say nothing, before one is taken for want of another


def network_file(format: Format) -> str:
    """Return the name of the checkpoint that the other files of a generation refer to."""
    return f"hwckpt_{VERSIONS[format]}.pt"


def write_network(rng: np.random.Generator, format: Format, tokenizer: bytes, path: Path) -> None:
    """Write a hardware checkpoint of random weights."""
    hard = format == "1.4"
    specification = Specification(
        floor=CARD_FLOOR,
        initial_padding=not hard,
        final_padding=0 if hard else FINAL_PADDING,
        alpha=0.001 if hard else 0.0,
        post_layers=3,
        hidden=40,
        prediction_layers=2,
        prediction_hidden=36,
        joint=44,
        vocabulary=len(Vocabulary(tokenizer)),
        activation="hard" if hard else "soft",
    )
    network = None
    while network is None:
        network = _talkative(rng, specification, tokenizer)
    write_checkpoint(from_network(network, format, epoch=0, step=0, best_wer=1e6), path)


def _talkative(
    rng: np.random.Generator, specification: Specification, tokenizer: bytes
) -> Network | None:
    """Draw a network that says about a token for every encoder frame, and not always the same.

    What blank wants for that is found by trying: without it random weights say nothing at all, or as
    much as the cap allows. Returns None where nothing does.
    """
    arrays = {name: _weights(rng, name, shape) for name, shape in specification.shapes().items()}
    front_end = replace(specification.front_end, final_padding=0)
    frames = streamed_log_mel((utterance(rng, 16_000) / 32768)[None], front_end)
    mean, variance = frames.mean(axis=(0, 1)), frames.var(axis=(0, 1))
    arrays["normaliser.mean"] = (mean + rng.normal(0.0, 0.3, BINS)).astype(np.float32)
    arrays["normaliser.variance"] = (variance * rng.uniform(0.7, 1.4, BINS)).astype(np.float32)
    network = Network(specification, arrays, tokenizer)
    backend = load_backend("numpy", network)
    f = encode_batch(backend, features(network, rng, 16_000))[0]
    for bias in np.arange(16.0, -16.0, -0.5).tolist():
        config = GreedyConfig()
        said = [token.id for token in decode_steps(_Watched(backend, config, bias), f, config)]
        if len(said) > 2 * len(f):
            return None
        if len(said) > 0.7 * len(f) and len(set(said)) > 3:
            arrays["joint.output.bias"][-1] += bias
            return network
    return None


def features(network: Network, rng: np.random.Generator, samples: int) -> NDArray[np.float32]:
    """Draw an utterance; returns its stacked frames, (1, S, 240), without final padding."""
    audio = (utterance(rng, samples) / 32768).astype(np.float32)
    front_end = replace(network.specification.front_end, final_padding=0)
    frames = streamed_log_mel(audio[None], front_end)
    z, _ = network.normaliser.step(frames, network.normaliser.initial_state(1))
    return stacked_frames(z)


def utterance(rng: np.random.Generator, samples: int) -> NDArray[np.int16]:
    """Draw noise that swells, in which a network of random weights hears this and that."""
    envelope = 5000.0 * np.abs(np.sin(np.arange(samples) / rng.uniform(500, 1500)))
    pcm = np.clip(np.rint(rng.normal(0.0, 1.0, samples) * envelope), -32768, 32767)
    return pcm.astype(np.int16)


def _weights(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw an array: inputs tell, and recurrence is no chaos, in which float32 decides on nothing."""
    if len(shape) == 1:
        deviation = 0.2
    elif name == "prediction.embedding":
        deviation = 1.0
    else:
        deviation = (0.8 if name.endswith("weight_hh") else 2.0) / shape[1] ** 0.5
    return rng.normal(0.0, deviation, shape).astype(np.float32)


@dataclass(frozen=True)
class Decoded:
    """What greedy decoding gave, and the smallest gap between the best logit and the next."""

    tokens: list[Token]
    margin: float

    @property
    def ids(self) -> NDArray[np.int64]:
        """The tokens' ids."""
        return np.array([token.id for token in self.tokens], np.int64)

    @property
    def steps(self) -> NDArray[np.int64]:
        """The encoder frame of each token."""
        return np.array([token.step for token in self.tokens], np.int64)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """The probability of each token when it was chosen."""
        return np.exp([token.log_probability for token in self.tokens]).astype(np.float32)


def decode(backend: Backend, f: NDArray[np.float32], config: GreedyConfig) -> Decoded:
    """Decode the encoder frames f, (E, J), of one utterance."""
    watched = _Watched(backend, config)
    return Decoded(decode_steps(watched, f, config), watched.margin)


class _Watched:
    """A backend that notes by how much each decision is made; `bias` is added to blank's logit."""

    def __init__(self, backend: Backend, config: GreedyConfig, bias: float = 0.0) -> None:
        self._backend, self._config, self._bias = backend, config, bias
        self.specification = backend.specification
        self.initial_state, self.encode = backend.initial_state, backend.encode
        self.predict, self.ctc = backend.predict, backend.ctc
        self.margin = np.inf

    def join(self, f: NDArray[np.float32], g: NDArray[np.float32]) -> Logits:
        logits, blank, eos = self._backend.join(f, g), self.specification.blank, self._config.eos
        logits[:, blank] += self._bias
        scores = logits.copy()
        if self._config.eos_mode == "blank":
            scores[:, blank] = np.logaddexp(scores[:, blank], scores[:, eos])
            scores[:, eos] = -np.inf
        second, best = np.partition(scores, -2, axis=1)[:, -2:].T
        self.margin = min(self.margin, float((best - second).min()))
        return logits
