from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from server.rill import doctor, trial
from server.rill.doctor import main
from server.rill.trial import FAULTY, Trial, processor_features, try_backend
from stream.extras import install_command

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "BACKENDS", ["int8"])


@pytest.mark.usefixtures("quick")
def test_the_report_says_what_runs_and_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "pyarrow" else object())
    assert main([]) == 0
    text = capsys.readouterr().out
    assert "rill 0." in text
    assert "times real time\n" in text
    assert " MB; rill show says it of any model\n" in text
    assert f"  data          lacks pyarrow: {install_command('data')}\n" in text
    assert "  train         installed\n" in text
    assert f"microphone: none; sounddevice is not installed: {install_command('mic')}\n" in text


@pytest.mark.usefixtures("quick")
def test_a_port_that_is_taken_is_said(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(doctor, "PORT", taken.getsockname()[1])
        assert main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["port"]) == ("rill.doctor/1", False)
    assert [each["backend"] for each in found["backends"]] == ["int8"]
    assert list(found["channel_bytes"]) == ["60"]


def test_a_backend_is_tried_on_a_recording() -> None:
    tried = try_backend("onnx")
    assert tried.fault == ""
    assert tried.speed > 0


def test_a_backend_that_is_not_installed_is_no_fault_and_a_wrong_text_is(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(doctor, "BACKENDS", ["torch"])
    missing = Trial("torch", 0.0, "torch is not installed: pip ...")
    monkeypatch.setattr(doctor, "try_backend", lambda name: missing)
    assert main([]) == 0
    assert "  torch         torch is not installed: pip ..." in capsys.readouterr().out
    monkeypatch.setattr(doctor, "try_backend", lambda name: Trial(name, 0.0, FAULTY))
    assert main([]) == 1


def test_a_wrong_text_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def __init__(self, backend: str) -> None:
            pass

        def transcribe(self, samples: object) -> object:
            return type("Said", (), {"text": "stock"})

    monkeypatch.setattr(trial, "Recogniser", Deaf)
    assert try_backend("onnx") == Trial("onnx", 0.0, FAULTY)


def test_features_are_those_that_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: x\nflags\t\t: fpu avx2 amx_int8 avx512_vnni\n")
    monkeypatch.setattr(trial, "CPUINFO", path)
    assert processor_features() == ("avx2", "avx512_vnni", "amx_int8")
    path.write_text("Features\t: fp asimd asimddp\n")
    assert processor_features() == ("asimd", "asimddp")
    path.unlink()
    assert processor_features() == ()
