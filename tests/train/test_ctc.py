"""A model with a CTC head from its first update to the server: what streams is what was trained."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.onnx.__main__ import main as export
from server.client.stream import stream_audio
from server.demo import running_server
from stream import validate
from stream.manifest import read_manifest
from stream.model import directory
from stream.model.network import open_model
from stream.recogniser import Recogniser
from tests.server.scripted import QUERY
from tests.tiny import talking_ctc
from tests.train.tones import command
from train import __main__ as train


@pytest.mark.slow
@pytest.mark.parametrize(("decoder", "head"), [("ctc", []), ("both", ["--head", "ctc"])])
def test_what_is_trained_streams_is_exported_and_served_with_the_same_tokens(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    decoder: str,
    head: list[str],
) -> None:
    settings = "updates=3", "validate_every=3", f"model.decoder={decoder}"
    assert train.main(command(folder, tmp_path / "run", *settings)) == 0
    trained = open_model(tmp_path / "run" / "best.pt")
    assert ("prediction.embedding" in trained.arrays) == (decoder == "both")
    directory.write(talking_ctc(trained), tmp_path / "given", {})  # after 3 updates all is blank
    exported = tmp_path / "exported"
    argv = ["--ckpt", str(tmp_path / "given"), "--output", str(exported), "--no-int8"]
    assert export(argv) == 0

    manifest = folder / "dev.jsonl"
    for model in ("run/best.pt", "exported"):
        argv = ["--model", str(tmp_path / model), "--manifest", str(manifest), *head]
        capsys.readouterr()
        assert validate.main([*argv, "--reset-stats", "--compare-full"]) == 0
        assert "0 of 4 utterances differ" in capsys.readouterr().out

    network, (first, *_) = open_model(exported), read_manifest(manifest)
    want, _, tokens = Recogniser(network, "onnx", head="ctc").transcribe(first.read())
    assert tokens
    with running_server("--model", str(exported), *head, "--slots", "1") as url:
        served = asyncio.run(stream_audio(f"{url}?{QUERY}", [first.read()], realtime=False))
    assert served.transcript == want
