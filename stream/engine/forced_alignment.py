"""Forced alignment: the encoder frame at which a model emits each token of a text that is given.

The text's most probable path through the model's own lattice, found by Viterbi's algorithm: for a transducer
over its nodes (t, u), where a blank leads to (t + 1, u) and the next token to (t, u + 1) (NUMERICS 5.1); for CTC
over tokens with blanks between them. It says when the model emits, not when a word sounds: for that see
`stream.engine.alignment`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.stacking import stack
from stream.model.network import Network
from stream.model.specification import Head
from stream.stage import Floats, whole

NODES_VALUES = 1 << 20  # logits computed at once: 4 MB in float32


def forced_steps_of(
    network: Network,
    backend: Backend,
    samples: Floats,
    tokens: Sequence[int],
    head: Head | None = None,
) -> tuple[list[int], Floats]:
    """Return the encoder frame of each token of a recording's text, and the recording's levels.

    Args:
        backend: computes the network.
        samples: (n,) float32 at 16 kHz; it starts from the data set's statistics.
        tokens, head: as `forced_steps` takes them.
    Returns:
        the frames; and (N,) float32, the largest bin of each log-mel frame, nats.
    Raises:
        ValueError: as `forced_steps`.
    """
    encoder = network.specification.encoder
    log_mel = streamed_log_mel(samples[None], network.front_end)
    if not log_mel.shape[1]:
        raise ValueError("forced alignment: there are no encoder frames")
    inputs = encoder.stack * encoder.chunk_inputs
    z = whole(network.normaliser, log_mel)
    x = stack(np.pad(z, ((0, 0), (0, -z.shape[1] % inputs), (0, 0))), encoder.stack)
    f, _ = backend.encode(x, backend.initial_state(1)[0])
    return forced_steps(backend, f[0], tokens, head), log_mel[0].max(-1)


def forced_steps(
    backend: Backend, f: Floats, tokens: Sequence[int], head: Head | None = None
) -> list[int]:
    """Return the encoder frame of each token on the most probable path that emits them all.

    Args:
        f: (T, J) float32, a whole utterance from `Backend.encode`.
        tokens: of the text.
        head: of the model; None: its first.
    Raises:
        ValueError: no path of T frames has as many tokens.
    """
    if not len(f):
        raise ValueError("forced alignment: there are no encoder frames")
    if backend.specification.head(head) == "ctc":
        return ctc_path(backend.ctc(f[None])[0], tokens, backend.specification.blank)
    return transducer_path(*_lattice(backend, f, tokens))


def transducer_path(blank: NDArray[np.float64], label: NDArray[np.float64]) -> list[int]:
    """Return the step at which each of U tokens is emitted on the best path of a transducer.

    Args:
        blank: (T, U + 1) log-probability of a blank at each node; label: (T, U) of the next token.
    """
    steps, count = label.shape
    best = np.empty((steps, count + 1))
    arrived = np.full(count + 1, -np.inf)  # by a blank
    arrived[0] = 0.0
    for t in range(steps):
        # Along a row, best[u] = max over v <= u of arrived[v] + label[v] + ... + label[u - 1].
        run = np.concatenate([[0.0], np.cumsum(label[t])])
        best[t] = np.maximum.accumulate(arrived - run) + run
        arrived = best[t] + blank[t]
    path, t = [0] * count, steps - 1
    for u in range(count, 0, -1):
        while t and best[t - 1, u] + blank[t - 1, u] > best[t, u - 1] + label[t, u - 1]:
            t -= 1
        path[u - 1] = t
    return path


def ctc_path(
    log_probabilities: NDArray[np.floating], tokens: Sequence[int], blank: int
) -> list[int]:
    """Return the first step of each token on the best path of CTC.

    Args:
        log_probabilities: (T, C).
        tokens: ids below C.
        blank: id of the blank.
    Raises:
        ValueError: the tokens do not fit into T steps.
    """
    ids = np.full(2 * len(tokens) + 1, blank)
    ids[1::2] = tokens
    scores = log_probabilities[:, ids].astype(np.float64)
    may_skip = np.zeros(len(ids), bool)  # the blank before a token that differs from the one before
    may_skip[3::2] = ids[3::2] != ids[1:-2:2]
    best = np.full(len(ids), -np.inf)
    best[:2] = scores[0, :2]
    moves = np.zeros(scores.shape, np.int64)  # states that a step moved on by
    for t in range(1, len(scores)):
        one, two = (np.concatenate([np.full(n, -np.inf), best])[: len(ids)] for n in (1, 2))
        options = np.stack([best, one, np.where(may_skip, two, -np.inf)])
        moves[t] = options.argmax(0)
        best = options.max(0) + scores[t]
    state = len(ids) - 1
    if len(ids) > 1 and best[-2] > best[-1]:
        state -= 1
    if best[state] == -np.inf:
        raise ValueError(f"forced alignment: {len(tokens)} tokens, only {len(scores)} steps of CTC")
    path = [0] * len(tokens)
    for t in range(len(scores) - 1, -1, -1):
        if state % 2:
            path[state // 2] = t
        state -= int(moves[t, state])
    return path


def _lattice(
    backend: Backend, f: Floats, tokens: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the log-probabilities of blank, (T, U + 1), and of the next token, (T, U)."""
    spec, count = backend.specification, len(tokens)
    _, state = backend.initial_state(1)
    prefixes = []
    for token in (spec.blank, *tokens):
        g, state = backend.predict(np.array([token], np.int64), state)
        prefixes.append(g[0])
    g = np.stack(prefixes)  # (U + 1, J)
    blank, label = np.empty((len(f), count + 1)), np.empty((len(f), count))
    block = max(1, NODES_VALUES // (len(g) * (spec.vocabulary + 1)))
    for begin in range(0, len(f), block):
        some = f[begin : begin + block]
        nodes = (
            backend.join(np.repeat(some, len(g), axis=0), np.tile(g, (len(some), 1)))
            .astype(np.float64)
            .reshape(len(some), len(g), -1)
        )
        nodes -= nodes.max(-1, keepdims=True)
        nodes -= np.log(np.exp(nodes).sum(-1, keepdims=True))
        blank[begin : begin + block] = nodes[:, :, spec.blank]
        label[begin : begin + block] = nodes[:, np.arange(count), list(tokens)]
    return blank, label
