"""What a model makes of the references of dev: their loss, and how late their words come."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.bundled import model_path, recordings
from stream.manifest import Utterance
from stream.model.network import Network, open_model
from tests.tiny import TEXTS, tiny_network
from train.config.learning import Loss
from train.data.records.recordings import Recordings
from train.evaluation import training_tokens
from train.loss.objective import Objective
from train.model import Transducer
from train.run.material import Material
from train.validation import references
from train.validation.references import References

Audio = list[np.ndarray]


def references_of(network: Network, texts: list[str], audio: Audio) -> References:
    torch.manual_seed(0)  # of the auxiliary heads
    objective = Objective(Transducer.from_network(network), Loss(ctc=0.0, bag=0.0)).eval()
    dev = [Utterance(id="", audio=Path("none.wav"), text=text, duration=1.0) for text in texts]
    material = Material(cast(Any, None), dev, audio, Recordings({}))
    return References(objective, network.normaliser, network.vocabulary, material)


def noise(*samples: int) -> Audio:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in samples]


def test_the_loss_is_the_mean_over_utterances_however_they_are_batched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, audio = tiny_network(1), noise(16000, 5000, 30000, 9000)
    whole = references_of(network, list(TEXTS), audio).losses(0)
    each = [
        references_of(network, [text], [samples]).losses(0)
        for text, samples in zip(TEXTS, audio, strict=True)
    ]
    assert whole["loss"] == pytest.approx(np.mean([one["loss"] for one in each]), rel=1e-5)
    assert whole["loss"] == pytest.approx(whole["transducer"])
    tokens = sum(len(network.vocabulary.encode(text)) for text in TEXTS)
    assert whole["per_token"] == pytest.approx(4 * whole["loss"] / tokens)
    monkeypatch.setattr(references, "BATCH_SECONDS", 0.1)
    alone = references_of(network, list(TEXTS), audio).losses(0)
    assert alone == {name: pytest.approx(value, rel=1e-5) for name, value in whole.items()}


def test_what_is_shorter_than_a_frame_or_says_nothing_counts_for_nothing_or_little() -> None:
    network = tiny_network(1)
    whole = references_of(network, [TEXTS[0], "a cat"], noise(16000, 0))
    assert whole.losses(0) == references_of(network, TEXTS[:1], noise(16000)).losses(0)
    silent = references_of(network, [""], noise(16000))
    assert silent.losses(0)["loss"] > 0.0
    assert silent.latency([[]]) is None
    assert references_of(network, [], []).losses(0)["loss"] == 0.0
    assert references_of(network, [], []).latency([]) is None


@pytest.mark.parametrize("decoder", ["transducer", "ctc"])
def test_tokens_of_no_path_have_no_latency(decoder: str) -> None:
    network = tiny_network(1, decoder=decoder)
    crowded = references_of(network, [" ".join(TEXTS * 3)], noise(1000))
    assert crowded.latency([[(1, 0)]]) is None


def test_the_bundled_models_words_come_about_when_they_end() -> None:
    network = open_model(model_path())
    said = [recordings()[i] for i in (3, 5, 8)]
    audio = [utterance.read() for utterance in said]
    measured = references_of(network, [utterance.text for utterance in said], audio)
    heard = training_tokens(network, audio)
    latency = measured.latency(heard)
    assert latency is not None and latency.words >= 3
    assert -0.3 < latency.median < 0.3 and latency.median <= latency.p90 < 0.6
    late = measured.latency([[(token, step + 5) for token, step in row] for row in heard])
    assert late is not None
    assert late.median == pytest.approx(latency.median + 0.3)
