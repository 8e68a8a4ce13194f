"""A network on recordings: batches for the encoder, nodes of a path, segments where a channel is muted."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from export.checks.tracer import STAGES, Watch, batches, nodes, trace
from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.model.network import Network, open_model
from stream.recogniser import Recogniser
from stream.stage import State
from tests.tiny import tiny_network

CHUNK = 960


def network(mute_chunks: int = 0) -> Network:
    made = tiny_network(3)
    specification = msgspec.structs.replace(made.specification, mute_chunks=mute_chunks)
    return Network(specification, made.arrays, made.tokenizer)


def noise(chunks: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.1, chunks * CHUNK).astype(np.float32)


def test_nodes_stand_before_each_token_and_each_move_in_time() -> None:
    steps, places = nodes([0, 0, 2], 4)
    assert steps.tolist() == [0, 0, 0, 1, 2, 2, 3]
    assert places.tolist() == [0, 1, 2, 2, 2, 3, 3]


def test_recordings_side_by_side_end_where_they_end() -> None:
    utterances = recordings()[:3]
    (batch,) = batches(network(), utterances)
    assert batch.x.shape[:2] == batch.present.shape and batch.x.shape[1] % 2 == 0
    assert not batch.x[~batch.present].any()
    assert batch.present.sum(1).tolist() == sorted(batch.present.sum(1).tolist())
    assert batch.seconds == pytest.approx(sum(u.duration for u in utterances), abs=0.01)
    with pytest.raises(ValueError, match="no recordings"):
        next(batches(network(), []))


def test_the_path_of_a_stream_gives_the_tokens_of_the_stream() -> None:
    """At each node of what was decoded the best class is the token, or blank before a move in time."""
    made, audio = open_model(model_path()), recordings()[0].read()
    tokens = Recogniser(made, "numpy").transcribe(audio).tokens
    assert tokens
    path = [(token.id, token.step) for token in tokens]
    (row,) = trace(made, load_backend("numpy", made), [audio], [path])
    assert list(row.stages) == list(STAGES)
    best = row.stages["logits"].argmax(axis=1).tolist()
    blank = made.specification.blank
    assert [token for token in best if token != blank] == [token for token, _ in path]
    assert best.count(blank) == len(row.stages["encoder"])


def test_a_muted_channel_begins_a_new_segment() -> None:
    silence = np.zeros(8 * CHUNK, np.float32)
    audio = np.concatenate([noise(5), silence, noise(5, seed=1)])
    made = network(mute_chunks=3)
    first, second = trace(made, load_backend("numpy", made), [audio], [[(1, 2), (2, 14)]])
    assert (first.recording, first.offset, second.recording, second.offset) == (0, 0, 0, 12)
    assert len(first.stages["prediction"]) == len(second.stages["prediction"]) == 2
    (whole,) = trace(network(), load_backend("numpy", made), [audio], None)
    assert len(whole.stages["encoder"]) == 18


def test_states_are_shown_after_each_chunk_and_each_token() -> None:
    seen: list[tuple[str, list[bool]]] = []

    def show(what: str, _: State, rows: np.ndarray) -> None:
        seen.append((what, rows.tolist()))

    made = network()
    watch = Watch(*(lambda *given, what=what: show(what, *given) for what in ("chunk", "token")))
    trace(made, load_backend("numpy", made), [noise(1), noise(2)], [[], [(3, 1)]], watch)
    assert seen == [
        ("chunk", [True, True]),
        ("chunk", [False, True]),
        ("token", [True, True]),
        ("token", [False, True]),
    ]
