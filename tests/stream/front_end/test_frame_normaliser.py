"""Normalisers without statistics."""

from __future__ import annotations

import numpy as np
import pytest

from stream.front_end.frame_normaliser import AboveFloor, LayerNormaliser
from stream.stage import Stage, whole

FLOOR = 2.0**-23


def test_layer_normalisation_gives_each_frame_mean_0_and_deviation_1() -> None:
    x = np.random.default_rng(0).normal(-9.0, 3.0, (2, 5, 80)).astype(np.float32)
    y = whole(LayerNormaliser(), x)
    np.testing.assert_allclose(y.mean(axis=2), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=2), 1.0, atol=1e-5)


def test_without_normalisation_frames_are_nats_above_the_floor() -> None:
    x = np.linspace(-15.0, 2.0, 160, dtype=np.float32).reshape(1, 2, 80)
    np.testing.assert_allclose(whole(AboveFloor(FLOOR), x), x - np.log(FLOOR), rtol=1e-6)


@pytest.mark.parametrize("stage", [LayerNormaliser(), AboveFloor(FLOOR)])
def test_digital_silence_becomes_what_masks_and_padding_hold(stage: Stage) -> None:
    x = np.full((1, 3, 80), np.log(np.float32(FLOOR)))
    np.testing.assert_allclose(whole(stage, x), 0.0, atol=1e-3)
