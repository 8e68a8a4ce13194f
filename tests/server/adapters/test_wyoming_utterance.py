from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from tests.server.adapters.driving import (
    Audio,
    DrivenWyoming,
    Open,
    Opening,
    event,
)


@pytest.mark.parametrize(
    "shape, values",
    [
        ({"rate": 16000, "width": 1, "channels": 1}, np.full(960, 192, "u1")),
        ({"rate": 16000, "width": 2, "channels": 2}, np.tile([32767, 1], 960).astype("<i2")),
        ({"rate": 16000, "width": 4, "channels": 1}, np.full(960, 1 << 30, "<i4")),
    ],
)
def test_pcm_of_any_width_and_channels_is_the_same_sound(
    shape: dict[str, int], values: np.ndarray[Any, Any]
) -> None:
    odd = bytes(shape["width"] * shape["channels"] - 1)  # of a frame
    protocol = DrivenWyoming()
    protocol.receive(event("audio-chunk", shape, values.tobytes() + odd))
    opened, audio = protocol.events()
    assert opened == Open()
    assert isinstance(audio, Audio)
    np.testing.assert_array_equal(audio.samples, np.full(960, 0.5, np.float32))


def test_channels_that_cancel_each_other_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    one = np.arange(-960, 960, dtype="<i2") * 10
    shape = {"rate": 16000, "width": 2, "channels": 2}
    protocol = DrivenWyoming()
    with caplog.at_level(logging.WARNING):
        for channels in (np.stack([one, -one], axis=1), np.stack([one, -one, one], axis=1)):
            shape["channels"] = channels.shape[1]  # a format may change
            protocol.receive(event("audio-chunk", shape, channels.tobytes()))
    inverted, others = (event for event in protocol.events() if isinstance(event, Audio))
    np.testing.assert_array_equal(inverted.samples, one / np.float32(32768))
    np.testing.assert_allclose(others.samples, one / np.float32(3 * 32768), rtol=1e-6)
    assert caplog.messages == [
        "the channels of a stream cancel each other; channel 0 (from 0) is heard alone"
    ]


@pytest.mark.parametrize("rate", [48000, 48000.0, "48000"])
def test_another_rate_is_resampled(rate: float | str) -> None:
    protocol, engine = DrivenWyoming(), Opening()
    shape = {"rate": rate, "width": 2, "channels": 1}
    protocol.receive(event("audio-start", shape))
    protocol.receive(event("audio-chunk", {}, bytes(96000)) + event("audio-stop"))
    engine.run(protocol)
    assert engine.samples == 16000
