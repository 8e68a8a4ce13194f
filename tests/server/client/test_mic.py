from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from server.client.mic import main
from stream.bundled import recordings
from stream.extras import install_command


class FakeStream:
    """A microphone that hears a recording, after which the user presses Ctrl-C."""

    def __init__(self, callback: Callable[..., None], **settings: Any) -> None:
        self._callback = callback

    def __enter__(self) -> None:
        audio = recordings()[7].read()
        for chunk in np.split(audio[: len(audio) // 960 * 960], len(audio) // 960):
            self._callback(chunk[:, None], 960, None, None)
        os.kill(os.getpid(), signal.SIGINT)

    def __exit__(self, *error: object) -> None:
        pass


def test_what_is_said_until_ctrl_c_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = types.ModuleType("sounddevice")
    module.InputStream = FakeStream  # type: ignore[attr-defined]
    module.PortAudioError = OSError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    assert main([]) == 0
    assert tuple(capsys.readouterr()) == ("stop\n", "listening; Ctrl-C ends\n")


def test_a_microphone_without_sounddevice_exits_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["--url", "ws://127.0.0.1:1"]) == 4
    assert install_command("mic") in capsys.readouterr().err
