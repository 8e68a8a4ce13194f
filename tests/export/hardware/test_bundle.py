from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from export.hardware.__main__ import main
from export.hardware.bundle import write_bundle
from hwckpt.hardware_bundle import Bundle, BundleError
from stream.errors import ArgumentError
from stream.integer.network import to_integers
from stream.model.directory import write
from stream.model.specification import ModelError
from stream.recogniser import Recogniser
from tests.export.hardware.models import MODELS, small_network, small_recordings
from tests.tiny import quiet_network


@pytest.fixture
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bundled-like")


def test_a_bundle_is_read_back_whole(bundle: Bundle) -> None:
    bundle.check()
    integers = to_integers(small_network("bundled-like"))
    assert np.array_equal(bundle.array("encoder.pre.0.weight_hh"), integers.pre[0].weight_hh)
    assert np.array_equal(bundle.array("joint.output.bias"), integers.joint_output.bias)
    assert bundle.layer("encoder.post.0").bits == 4
    assert np.abs(bundle.array("encoder.post.0.weight_ih")).max() <= 7
    assert len(bundle.manifest.tokens) == bundle.manifest.constants["classes"]


def test_hexadecimal_files_hold_the_same_numbers(bundle: Bundle) -> None:
    for name, bits in (("encoder.pre.0.weight_ih", 8), ("prediction.lstm.0.bias", 32)):
        text = (bundle.folder / "arrays" / f"{name}.hex").read_text()
        values = np.array([int(word, 16) for word in text.split()])
        signed = np.where(values >= 1 << (bits - 1), values - (1 << bits), values)
        assert np.array_equal(signed, bundle.array(name).reshape(-1))


def test_another_run_writes_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_bundle(small_network("bundled-like"), again, small_recordings(), {"babble": "a"})
    assert (again / "manifest.json").read_bytes() == (bundle.folder / "manifest.json").read_bytes()


def test_a_bundle_replaces_an_older_one_and_nothing_else(bundle: Bundle, tmp_path: Path) -> None:
    output, recordings = tmp_path / "out", small_recordings()
    shutil.copytree(bundle.folder, output)
    (output / "stale").write_bytes(b"")
    write_bundle(small_network("plain"), output, recordings)
    assert not (output / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(ArgumentError, match="mine: not empty, and no hardware bundle"):
        write_bundle(small_network("plain"), tmp_path / "mine", recordings)


def test_a_flipped_byte_is_named_by_its_file(bundle: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(bundle.folder, output)
    path = output / "arrays" / "joint.encoder.weight.bin"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"joint\.encoder\.weight\.bin: 256 bytes are not those"):
        Bundle(output).check()


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a hardware bundle: no manifest.json"):
        Bundle(tmp_path)


def test_a_model_without_integers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="quantisation"):
        write_bundle(quiet_network(), tmp_path / "out", small_recordings())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", MODELS)
def test_vectors_of_streams_are_what_the_engine_says(
    model: str, bundle_of: Callable[[str], Bundle]
) -> None:
    bundle = bundle_of(model)
    streams = {case.name: case for case in bundle.manifest.cases if case.kind == "stream"}
    values = bundle.vectors(streams["babble"])
    said = Recogniser(small_network(model), "integer", front_end="fixed").transcribe(values["pcm"])
    assert [token.id for token in said.tokens] == values["tokens"].tolist() != []
    assert [token.step for token in said.tokens] == values["steps"].tolist()
    assert len(values["x"]) == len(values["encoder.pre.0.h"])
    assert len(values["e"]) == len(values["encoder.post.0.c"]) == -(-len(values["x"]) // 2)
    assert len(values["g"]) == len(values["tokens"]) + 1
    assert values["best"][values["joints"][1:] - 1].tolist() == values["tokens"].tolist()


def test_the_command_writes_a_bundle_of_a_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(small_network("plain"), tmp_path / "model", {})
    soundfile.write(tmp_path / "babble.wav", small_recordings()["babble"], 16_000)
    line = {"audio_filepath": "babble.wav", "duration": 1.5, "text": "the cat"}
    (tmp_path / "dev.jsonl").write_text(json.dumps(line) + "\n")
    output = tmp_path / "board"
    arguments = ["--ckpt", str(tmp_path / "model"), "--output", str(output)]
    assert main([*arguments, "--manifest", str(tmp_path / "dev.jsonl")]) == 0
    assert "million multiply-accumulates a second" in capsys.readouterr().out
    manifest = Bundle(output).manifest
    assert next(case.text for case in manifest.cases if case.name == "babble") == "the cat"


def test_recordings_of_one_name_or_a_foreign_one_keep_their_vectors(tmp_path: Path) -> None:
    write(small_network("plain"), tmp_path / "model", {})
    lines = []
    for number, name in enumerate(("a/one.wav", "b/one.wav", "b/l’été 1.wav")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, small_recordings()["babble"], 16_000)
        lines.append({"audio_filepath": name, "duration": 1.5, "text": str(number)})
    (tmp_path / "dev.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["--ckpt", str(tmp_path / "model"), "--manifest", str(tmp_path / "dev.jsonl")]
    assert main([*command, "--output", str(tmp_path / "board")]) == 0
    texts = {case.name: case.text for case in Bundle(tmp_path / "board").manifest.cases}
    assert [texts[name] for name in ("one", "one-2", "l-t-1")] == ["0", "1", "2"]


def test_a_recording_with_the_name_of_a_directed_case_is_refused(tmp_path: Path) -> None:
    recordings = {"silence": small_recordings()["babble"]}
    with pytest.raises(ArgumentError, match="called silence, as a directed case is"):
        write_bundle(small_network("plain"), tmp_path / "out", recordings)
    assert list(tmp_path.iterdir()) == []
