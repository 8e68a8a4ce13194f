"""What rows begin behind: the closed form against the recursion, and what is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.front_end.log_mel import FrontEnd
from stream.front_end.normaliser import Normaliser
from train.config.batches import HistoryConfig
from train.data.history import histories

FRONT_END = FrontEnd(400, 2.0**-23, False)
MEAN, VARIANCE = np.full(80, -8.0, np.float32), np.full(80, 9.0, np.float32)
RNG = np.random.default_rng(0)
FRAMES = torch.from_numpy(RNG.normal(-12.0, 2.0, (3, 400, 80)).astype(np.float32))
NOISE = RNG.normal(0.0, 0.1, 40_000).astype(np.float32)
COUNTS = torch.tensor([400, 400, 250])
STATE = (torch.from_numpy(MEAN).repeat(3, 1), torch.from_numpy(VARIANCE).repeat(3, 1))


def drawn(alpha: float = 0.01, seed: int = 0, **config: object) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = histories(
        STATE,
        FRAMES,
        COUNTS,
        [NOISE],
        HistoryConfig(**config),
        FRONT_END,
        alpha,
        np.random.default_rng(seed),
    )
    return mean.numpy(), variance.numpy()


def test_the_closed_form_is_the_recursion_over_other_rows() -> None:
    seconds = 1.5
    mean, variance = drawn(rows=1.0, seconds=(seconds, seconds))
    normaliser = Normaliser(MEAN, VARIANCE, 0.01)
    frames = RNG.normal(-12.0, 2.0, (400, round(100 * seconds), 80)).astype(np.float32)
    _, (want_mean, want_variance) = normaliser.step(frames, normaliser.initial_state(400))
    np.testing.assert_allclose(mean.mean(), want_mean.mean(), atol=0.05)
    np.testing.assert_allclose(variance.mean(), want_variance.mean(), rtol=0.02)


def test_minutes_of_a_room_leave_the_room() -> None:
    mean, variance = drawn(noise=1.0, seconds=(300.0, 300.0), noise_dbfs=(-60.0, -60.0))
    assert ((mean > -16.0) & (mean < -6.0)).all() and (variance < 4.0).all()
    assert (variance > 0.0).all()
    assert np.abs(mean - MEAN).mean() > 2.0


def test_without_a_history_the_statistics_stay_and_chance_is_an_updates_own() -> None:
    np.testing.assert_array_equal(drawn()[0], np.tile(MEAN, (3, 1)))
    np.testing.assert_array_equal(drawn(alpha=0.0, rows=1.0)[0], np.tile(MEAN, (3, 1)))
    np.testing.assert_array_equal(drawn(noise=0.5, seed=3)[0], drawn(noise=0.5, seed=3)[0])


@pytest.mark.parametrize("heard", ["rows", "noise"])
def test_the_silence_after_an_utterance_is_not_heard(heard: str) -> None:
    config = HistoryConfig(**{heard: 1.0})  # type: ignore[arg-type]
    padded = torch.nn.functional.pad(FRAMES, (0, 0, 0, 40), value=-16.0)
    padded[2, 250:290] = -16.0
    rooms = [NOISE], config
    want = histories(STATE, FRAMES, COUNTS, *rooms, FRONT_END, 0.01, np.random.default_rng(0))
    ending = replace(FRONT_END, final_padding=6400)
    found = histories(STATE, padded, COUNTS + 40, *rooms, ending, 0.01, np.random.default_rng(0))
    for one, other in zip(found, want, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rows": 0.7, "noise": 0.5}, "rows 0.7 and noise 0.5"),
        ({"seconds": (0.0, 3.0)}, "history.seconds is"),
        ({"noise_dbfs": (-20.0, -30.0)}, "history.noise_dbfs is"),
    ],
)
def test_a_configuration_that_cannot_be_drawn_is_refused(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HistoryConfig(**config)
