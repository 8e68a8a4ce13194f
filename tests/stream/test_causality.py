"""A model that looks ahead is refused, with the frame that does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream import causality
from stream.backends import load_backend
from stream.causality import CausalityError, check_causal, check_features_causal
from stream.encoders.lstm import LSTM
from stream.front_end.normaliser import Normaliser
from stream.model.network import Network
from tests.tiny import tiny_network

Floats = NDArray[np.float32]


def pairs(x: Floats) -> Floats:
    """Return a causal encoder's outputs: of each pair its sum, (1, S, 240) -> (1, S / 2, 1)."""
    return x.reshape(1, -1, 480).sum(axis=2, keepdims=True)


def check_features(network: Network) -> None:
    check_features_causal(network.specification.front_end, network.normaliser)


@pytest.mark.parametrize("activation", ["hard", "soft"])
def test_the_encoder_of_a_network_looks_only_back(activation: str) -> None:
    backend = load_backend("numpy", tiny_network(activation=activation))
    check_causal(lambda x: backend.encode(x, backend.initial_state(1)[0])[0], LSTM(), "model")


@pytest.mark.parametrize(
    "specification",
    [
        {},
        {"window": 320, "final_padding": 3840},
        {"initial_padding": True, "alpha": 0.0, "activation": "soft"},
    ],
    ids=str,
)
def test_every_front_end_and_normaliser_look_only_back(specification: dict[str, Any]) -> None:
    check_features(tiny_network(**specification))


def test_one_pair_of_look_ahead_is_refused_and_its_frame_is_named() -> None:
    def ahead(x: Floats) -> Floats:
        f = pairs(x)
        return f + np.concatenate([f[:, 1:], np.zeros_like(f[:, :1])], axis=1)

    expected = r"model: encoder frame 0 \(0.00 s\) changes when the input from 0.06 s on .* to nan"
    with pytest.raises(CausalityError, match=expected):
        check_causal(ahead, LSTM(), "model")


def test_a_stacked_frame_of_look_ahead_is_refused() -> None:
    with pytest.raises(CausalityError, match="encoder frame 0"):
        check_causal(lambda x: pairs(np.concatenate([x[:, 1:], x[:, :1]], axis=1)), LSTM(), "model")


def test_look_ahead_that_begins_late_is_refused_at_its_frame() -> None:
    def ahead(x: Floats) -> Floats:
        f = pairs(x).copy()
        f[:, 3] += f[:, 4]
        return f

    with pytest.raises(CausalityError, match=r"encoder frame 3 \(0.18 s\) .* from 0.24 s on"):
        check_causal(ahead, LSTM(), "model")


def test_look_ahead_that_hides_nan_is_refused_by_large_values() -> None:
    def ahead(x: Floats) -> Floats:
        f = pairs(x)
        return f + np.nan_to_num(x, nan=float(x[0, 0, 0])).clip(10.0).max()

    with pytest.raises(CausalityError, match=r"from 0.06 s on is set to 100.0"):
        check_causal(ahead, LSTM(), "model")


def test_a_mean_over_the_whole_utterance_is_refused() -> None:
    with pytest.raises(CausalityError, match="utterance norm: encoder frame 0"):
        check_causal(lambda x: pairs(x - x.mean(axis=1, keepdims=True)), LSTM(), "utterance norm")


def test_normalising_by_the_utterance_is_refused() -> None:
    class ByUtterance(Normaliser):
        def step(self, x: Any, state: Any) -> tuple[Any, Any]:
            return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True), state

    network = tiny_network()
    arrays = network.arrays
    network.__dict__["normaliser"] = ByUtterance(  # where cached_property keeps it
        arrays["normaliser.mean"], arrays["normaliser.variance"], 0.0
    )
    with pytest.raises(CausalityError, match=r"normaliser: frame 0 \(0.00 s\)"):
        check_features(network)


def test_a_front_end_with_centred_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = causality.streamed_log_mel

    def centred(x: Any, front_end: Any) -> Any:
        return plain(np.pad(x, ((0, 0), (0, 200)))[:, 200:], front_end)

    monkeypatch.setattr(causality, "streamed_log_mel", centred)
    with pytest.raises(CausalityError, match="front end: log-mel frame 0"):
        check_features(tiny_network())
