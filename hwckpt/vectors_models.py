"""The models of vector files: small hardware checkpoints of random weights, and decisions that hold.

`hwckpt.vectors_transducer` and `hwckpt.vectors_tokens` run them. Their files want tokens exactly, so where a
draw leaves two classes so close that another order of sums could swap them, they draw again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwckpt.check_models import decode_steps
from hwckpt.layout import FINAL_PADDING, Format
from hwckpt.writer import from_network, write_checkpoint
from stream.backends import Backend
from stream.decoding.greedy import GreedyConfig, Token
from stream.features import CARD_FLOOR
from stream.network import Network, Specification
from stream.vocabulary import Vocabulary

__all__ = ["EOS", "MARGIN", "Decoded", "decode", "network_file", "write_network"]

VERSIONS: dict[Format, str] = {"1.4": "v1.4.0", "1.14": "v1.14.0"}
EOS = 1  # a piece like any other here
MARGIN = 1e-3  # between the best logit and the next: a hundred times what backends differ by


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
    arrays = {
        name: rng.normal(0.0, 0.35 if len(shape) == 2 else 0.2, shape).astype(np.float32)
        for name, shape in specification.shapes().items()
    }
    arrays["normaliser.mean"] = rng.normal(-9.0, 1.0, 80).astype(np.float32)
    arrays["normaliser.variance"] = rng.uniform(4.0, 12.0, 80).astype(np.float32)
    arrays["joint.output.bias"][-1] += 4.0  # blank, else nearly every frame emits to the cap
    network = Network(specification, arrays, tokenizer)
    write_checkpoint(from_network(network, format, epoch=0, step=0, best_wer=1e6), path)


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
    """A backend that notes by how much each decision is made."""

    def __init__(self, backend: Backend, config: GreedyConfig) -> None:
        self._backend, self._config = backend, config
        self.specification = backend.specification
        self.initial_state, self.encode = backend.initial_state, backend.encode
        self.predict = backend.predict
        self.margin = np.inf

    def join(self, f: NDArray[np.float32], g: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = self._backend.join(f, g)
        scores, blank, eos = logits.copy(), self.specification.blank, self._config.eos
        if self._config.eos_mode == "blank":
            scores[:, blank] = np.logaddexp(scores[:, blank], scores[:, eos])
            scores[:, eos] = -np.inf
        second, best = np.partition(scores, -2, axis=1)[:, -2:].T
        self.margin = min(self.margin, float((best - second).min()))
        return logits
