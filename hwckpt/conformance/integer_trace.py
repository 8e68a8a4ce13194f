"""A transducer in integers by `stream.integer.fixed` alone, with every value on the way.

What `hwckpt.conformance.integer` writes and `hwckpt.conformance.check_integer` holds others against; nothing here is
fast. Rules by number: docs/integer.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream.encoders.lstm import PAIR
from stream.integer import fixed
from stream.integer.network import IntegerLayer, IntegerNetwork

__all__ = ["Ints", "greedy", "trace"]

Ints: TypeAlias = NDArray[Any]  # of integers

SYMBOLS_PER_STEP = 30  # of NUMERICS 4.1


def trace(
    network: IntegerNetwork,
    z: NDArray[np.float32],
    present: NDArray[np.bool_],
    tokens: NDArray[np.int64],
) -> dict[str, Ints]:
    """Compute all values of a batch, int64.

    Args:
        z: (B, S, 240) normalised and stacked, S even.
        present: (B, S), False where a frame lies past the end of its stream.
        tokens: (B, U) given to the prediction network after the start of sequence.
    Returns:
        "x" (B, S, 240); "stacked" (B, E, 2H) with E = S / 2; "e" (B, E, J); "embedded" (B, U + 1, P);
        "g" (B, U + 1, J); "a" and "logits" (B, E, U + 1, J or C) and "best" (B, E, U + 1), every frame
        with every token; "pre.N.h", "pre.N.c", "post.…", "prediction.…" (B, frames, H) after each
        frame.
    """
    values: dict[str, Ints] = {"x": fixed.quantise_input(z, network.quantisation.input)}
    h = _run("pre", network.pre, values["x"], values)
    values["stacked"] = np.stack(
        [fixed.pair(h[:, t], h[:, t + 1], present[:, t + 1]) for t in range(0, h.shape[1], PAIR)],
        axis=1,
    )
    h = _run("post", network.post, values["stacked"], values)
    values["e"] = fixed.project(network.joint_encoder, h)
    start = np.full((len(z), 1), network.specification.blank)
    values["embedded"] = network.embedding[np.concatenate([start, tokens], axis=1)]
    h = _run("prediction", network.prediction, values["embedded"], values)
    values["g"] = fixed.project(network.joint_prediction, h)
    values["a"] = fixed.hidden(values["e"][:, :, None], values["g"][:, None])
    values["logits"] = fixed.logits(network.joint_output, values["a"])
    values["best"] = fixed.best_class(values["logits"])
    return values


def greedy(network: IntegerNetwork, e: Ints) -> tuple[list[int], list[int]]:
    """Decode the encoder frames of one utterance, e (E, J); returns tokens and their frames."""
    blank = network.specification.blank
    tokens: list[int] = []
    steps: list[int] = []
    g, state = _predict(network, blank, [_zeros(layer, 1) for layer in network.prediction])
    for step, frame in enumerate(e):
        for _ in range(SYMBOLS_PER_STEP):
            logits = fixed.logits(network.joint_output, fixed.hidden(frame[None], g))
            best = int(fixed.best_class(logits)[0])
            if best == blank:
                break
            tokens.append(best)
            steps.append(step)
            g, state = _predict(network, best, state)
    return tokens, steps


def _predict(
    network: IntegerNetwork, token: int, state: list[tuple[Ints, Ints]]
) -> tuple[Ints, list[tuple[Ints, Ints]]]:
    x: Ints = network.embedding[[token]]
    after = []
    for layer, (h, c) in zip(network.prediction, state, strict=True):
        x, c = fixed.lstm_step(layer, x, h, c)
        after.append((x, c))
    return fixed.project(network.joint_prediction, x), after


def _run(stack: str, layers: Sequence[IntegerLayer], x: Ints, values: dict[str, Ints]) -> Ints:
    """Run a stack of layers over the frames of x, (B, S, I), and note its states."""
    for n, layer in enumerate(layers):
        h, c = _zeros(layer, len(x))
        states = []
        for frame in range(x.shape[1]):
            h, c = fixed.lstm_step(layer, x[:, frame], h, c)
            states.append((h, c))
        x, cells = (np.stack(leaf, axis=1) for leaf in zip(*states, strict=True))
        values[f"{stack}.{n}.h"], values[f"{stack}.{n}.c"] = x, cells
    return x


def _zeros(layer: IntegerLayer, batch: int) -> tuple[Ints, Ints]:
    shape = batch, layer.weight_hh.shape[1]
    return np.zeros(shape, np.int64), np.zeros(shape, np.int64)
