from __future__ import annotations

import asyncio
import re
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from server.client.microphone import MicrophoneError, microphone_chunks
from stream.extras import MissingExtraError, install_command


class FakeStream:
    """A microphone that gives three chunks when it is started."""

    def __init__(self, callback: Callable[..., None], **settings: Any) -> None:
        self._callback = callback
        self.settings = settings

    def __enter__(self) -> None:
        for value in (0.1, 0.2, 0.3):
            self._callback(np.full((960, 1), value, np.float32), 960, None, None)

    def __exit__(self, *error: object) -> None:
        pass


class PortAudioError(Exception):
    pass


def fake_sounddevice(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    module = types.ModuleType("sounddevice")
    module.InputStream = stream  # type: ignore[attr-defined]
    module.PortAudioError = PortAudioError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sounddevice", module)


async def record(device: int | None = None) -> list[float]:
    stop = asyncio.Event()
    heard = []
    async for chunk in microphone_chunks(device, stop):
        assert chunk.shape == (960,)
        heard.append(round(float(chunk[0]), 1))
        if len(heard) == 2:
            stop.set()
    return heard


async def test_what_was_heard_until_the_stop_is_yielded(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sounddevice(monkeypatch, FakeStream)
    assert await record() == [0.1, 0.2, 0.3]


async def test_a_missing_package_gives_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match=re.escape(install_command("mic"))):
        await record()


async def test_a_missing_library_gives_the_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def find_spec(self, name: str, *rest: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match="apt install libportaudio2"):
        await record()


async def test_a_missing_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_stream(**settings: Any) -> None:
        raise PortAudioError("Error querying device 7")

    fake_sounddevice(monkeypatch, no_stream)
    with pytest.raises(MicrophoneError, match="no microphone 7 .*--device N"):
        await record(7)
