"""`python -m server.load`: against the server as a process, and against servers that go wrong."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile

from stream.extras import install_command

pytest.importorskip("picows", reason="the load client needs picows: pip install 'rill-asr[load]'")

from server.demo import running_server
from server.load import run
from server.load.__main__ import main
from stream.model.directory import write
from tests.server.load.scripted import ScriptedServer, serving
from tests.server.scripted import pcm, samples_of, talking_network

DOCUMENTED = ("rts", "cl50_ms", "cl99_ms", "server_cpu", "client_cpu", "curve")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a tiny model, with room for 3 streams."""
    model = tmp_path_factory.mktemp("models") / "talking"
    write(talking_network(), model, {})
    flags = ["--model", str(model), "--backend", "numpy", "--slots", "3"]
    with running_server(*flags) as streams:
        yield streams.split("/asr")[0]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, samples_of(pcm(1.2)), 16000)
    return path


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(run, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(run, "PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(run, "LOOK_SECONDS", 0.05)


@contextmanager
def in_a_thread(server: ScriptedServer) -> Iterator[str]:
    """Serve on another thread, since the client has an event loop of its own; yields the URL."""
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with serving(server):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(5)
    try:
        yield server.url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.mark.parametrize("protocol, path", [("myrtle", ""), ("sherpa", "/sherpa")])
def test_three_streams_say_what_one_alone_says_and_the_json_has_the_documented_keys(
    url: str,
    protocol: str,
    path: str,
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    short_pauses: None,
) -> None:
    out = tmp_path / "load.json"
    argv = [str(recording), "--protocol", protocol, "--url", url + path, "--concurrent", "3"]
    assert main([*argv, "--cl99-ms", "1e6", "--json", str(out)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("    3 streams  CL50/90/99 ")
    assert "lost 0 changed 0" in line
    report = json.loads(out.read_text())
    assert set(DOCUMENTED) <= report.keys()
    assert (report["schema"], report["protocol"], report["rts"]) == ("rill.load/1", protocol, None)
    (point,) = report["curve"]
    assert {key: report[key] for key in point if key != "holds"} == {
        key: value for key, value in point.items() if key != "holds"
    }
    assert point["holds"] is True
    assert point["streams"] == 3
    assert point["chunks"] >= 3 * 18
    assert point["words"] > 0
    assert point["refused"] is point["failure"] is None
    if sys.platform == "linux":
        assert report["server_cpu"] >= 0
        assert report["server_memory_mb"] > 10


def test_the_search_finds_the_room_of_the_server_and_draws_its_curve(
    url: str,
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    short_pauses: None,
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'rill-asr[load]'")
    out, plot = tmp_path / "rts.json", tmp_path / "rts.svg"
    argv = [str(recording), "--url", url, "--find-rts", "--cl99-ms", "1e6", "--concurrent", "3"]
    assert main([*argv, "--duration", "0.3", "--json", str(out), "--plot", str(plot)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "6 streams  refused with HTTP 503" in lines[1]
    assert lines[-1] == "RTS 3: the most streams with CL99 of at most 1e+06 ms"
    report = json.loads(out.read_text())
    assert (report["rts"], report["streams"], report["cl99_limit_ms"]) == (3, 3, 1e6)
    curve = [(point["streams"], point["holds"]) for point in report["curve"]]
    assert curve == [(3, True), (4, False), (6, False)]
    assert plot.read_text().startswith("<?xml")


def test_words_that_differ_exit_with_1(
    recording: Path, capsys: pytest.CaptureFixture[str], short_pauses: None
) -> None:
    said = [("the", "cat"), ("the", "dog")]
    soundfile.write(recording, samples_of(pcm(0.2)), 16000)
    with in_a_thread(ScriptedServer(said.__getitem__)) as url:
        assert main([str(recording), "--url", url, "--concurrent", "1"]) == 1
    assert "words 2 lost 0 changed 1" in capsys.readouterr().out


def test_a_server_without_room_for_one_stream_exits_with_3(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with in_a_thread(ScriptedServer(room=0)) as url:
        assert main([str(recording), "--url", url]) == 3
    assert "not even one stream was taken (HTTP 503): all 0 are taken" in capsys.readouterr().err


def test_no_server_exits_with_3(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(recording), "--url", "ws://127.0.0.1:1"]) == 3
    assert "error: ws://127.0.0.1:1: no server answers" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["notes.wav", "notes.jsonl", "missing.flac"])
def test_a_bad_recording_exits_with_3_and_is_named(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if not name.startswith("missing"):
        path.write_text("no audio")
    assert main([str(path)]) == 3
    assert f"error: {path}:" in capsys.readouterr().err


def test_a_bad_ctm_exits_with_3_and_is_named(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ctm = tmp_path / "times.ctm"
    ctm.write_text("noise 1 0.5\n")
    assert main([str(recording), "--ctm", str(ctm)]) == 3
    assert f"error: {ctm}: line 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "package, module", [("picows", "server.load.player"), ("matplotlib", "server.load.plot")]
)
def test_a_missing_extra_exits_with_4_and_the_pip_command(
    package: str,
    module: str,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    for name in {package, *(name for name in sys.modules if name.startswith(f"{package}."))}:
        monkeypatch.setitem(sys.modules, name, None)
    assert main([str(recording), "--concurrent", "1,2", "--plot", "a.svg"]) == 4
    said = f"error: {package} is not installed: {install_command('load')}\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "argv, text",
    [
        ([], "FILE"),
        (["a.wav", "--plot", "a.pdf", "--find-rts"], "--plot is a.pdf"),
        (["a.wav", "--plot", "a.svg"], "--plot needs a curve"),
        (["a.wav", "--find-rts", "--concurrent", "1,2"], "begins with one number"),
        (["a.wav", "--json", "no/such/a.json"], "there is no folder no/such"),
        (["a.wav", "--concurrent", "0"], "'0' is not N or N,N"),
        (["a.wav", "--concurrent", "8,"], "'8,' is not N or N,N"),
        (["a.wav", "--duration", "nan"], "'nan' is not a number of more than 0"),
        (["a.wav", "--cl99-ms", "fast"], "'fast' is not a number of more than 0"),
        (["a.wav", "--protocol", "vosk"], "invalid choice: 'vosk'"),
        (["a.wav", "--concur", "1"], "unrecognized arguments: --concur"),
    ],
)
def test_a_wrong_command_line_exits_with_2(
    argv: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    assert text in capsys.readouterr().err
