"""docs/recipes.md: what it says can be set can be set, and each of its commands runs, on small files of the names that it says."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.places import REPOSITORY

pytest.importorskip("torch")

from server.rill.__main__ import main as rill
from stream.bundled import recordings
from stream.model.directory import write
from stream.model.network import NgramFile
from tests.deploy.container import read
from tests.tiny import TEXTS, tiny_network, tiny_tokenizer
from tests.train.data.corpora.layouts import recording
from tests.train.data.corpora.test_catalogue import COMMON_VOICE_COLUMNS, common_voice
from train.config.file import load_config
from train.data.storage import mounts
from train.recipe.knobs import VARIABLES, of_environment

PAGE = (REPOSITORY / "docs" / "recipes.md").read_text()
SETTINGS = sorted(set(re.findall(r"--set (\S+?)[`,]", PAGE)))
ASSIGNED = sorted(set(re.findall(r"`(RILL_\w+)=(\S+?)`", PAGE)))
ROWS = [row.split(" | ") for row in re.findall(r"(?m)^\| (.*) \|$", PAGE)]
COMMANDS = re.findall(r"`((?:rill|podman|torchrun|curl) [^`]+)`", " ".join(row[1] for row in ROWS))
OF_RILL = [shlex.split(command)[1:] for command in COMMANDS if command.startswith("rill ")]
SERVING = [words for words in OF_RILL if words[0] == "serve"]
STATUS = {"show models/en-commands runs/fr/model/fr": 1}  # they differ


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_key_can_be_set(setting: str) -> None:
    assert load_config(REPOSITORY / "configs" / "en-commands.toml", [setting])


@pytest.mark.parametrize(("variable", "value"), ASSIGNED)
def test_a_variable_is_that_of_a_key(variable: str, value: str) -> None:
    assert variable not in VARIABLES.values()
    (setting,) = of_environment({variable: value})
    assert load_config(REPOSITORY / "configs" / "en-commands.toml", [setting])


def test_every_row_says_where_it_is_here() -> None:
    assert len(SETTINGS) == 5 and len(ASSIGNED) == 5
    assert len(ROWS) > 40 and all(len(row) == 2 and "not yet" not in row[1] for row in ROWS)
    assert len(COMMANDS) > 25


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the commands name, each of a few recordings or texts."""
    place = tmp_path_factory.mktemp("desk")
    for folder in ("recipes", "configs"):
        (place / folder).symlink_to(REPOSITORY / folder)
    (place / "models").mkdir()
    (place / "models" / "en-commands").symlink_to(REPOSITORY / "models" / "en-commands")
    (place / "runs" / "fr" / "model").mkdir(parents=True)
    (place / "tokenizer.model").write_bytes(tiny_tokenizer())
    (place / "sources_lm.txt").write_text("\n".join(TEXTS))
    flags = ["--text", str(place / "sources_lm.txt"), "--tokenizer", str(place / "tokenizer.model")]
    assert rill(["lm", "build", *flags, "--output", str(place / "ngram.binary")]) == 0
    ngram = NgramFile((place / "ngram.binary").read_bytes(), 0.2)
    write(replace(tiny_network(), ngram=ngram), place / "best.pt", {})
    flags = ["--ckpt", str(place / "best.pt"), "--output", str(place / "runs/fr/model/fr")]
    assert rill(["export", "onnx", *flags, "--no-int8"]) == 0
    lines = []
    for number, text in enumerate(TEXTS * 3):
        name = recording(place / "corpora" / f"{number}.wav", seconds=2.0 + 0.1 * number).name
        line = {"text": text, "duration": 2.0 + 0.1 * number, "speaker": f"s{number}"}
        lines.append({"audio_filepath": name, **line, "license": "CC0-1.0", "corpus": "tones"})
    (place / "corpora" / "fr-train-synthetic.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    for line in lines:
        line["audio_filepath"] = f"corpora/{line['audio_filepath']}"
    manifest = "".join(json.dumps(line) + "\n" for line in lines)
    for name in ("train.jsonl", "dev.jsonl"):
        (place / name).write_text(manifest)
    common_voice(
        place / "cv-corpus-17.0-2024-03-15" / "fr",
        COMMON_VOICE_COLUMNS["17.0 (2024)"],
        {name: [(name, f"{name}.mp3", "Oui.")] for name in ("train", "dev", "test", "validated")},
    )
    (place / "cv-corpus-9.0-2022-04-27-fr.tar.gz").write_bytes(b"an archive")
    (place / "lm.arpa").write_text(ARPA)
    mount = place / "mnt" / "asr-audio-data"
    for number in range(8):
        recording(mount / f"{number}.wav")
    (place / "mountinfo").write_text(f"9 27 0:4 / {mount} ro - nfs4 h:/x ro\n")
    for name, folder in (("cuts.jsonl.gz", "/nfs/audio"), ("cuts_train.jsonl.gz", str(mount))):
        cuts = [cut(f"{folder}/{number}.wav", TEXTS[number % 4]) for number in range(8)]
        (place / name).write_bytes(gzip.compress("\n".join(map(json.dumps, cuts)).encode()))
    shutil.copy(recordings()[0].audio, place / "talk.flac")
    return place


ARPA = """
\\data\\
ngram 1=4

\\1-grams:
-1.0 <unk>
-99 <s>
-0.5 </s>
-0.4 one

\\end\\
"""


def cut(audio: str, text: str) -> dict[str, object]:
    """Return one of Lhotse's cuts, a whole recording of a quarter of a second."""
    name = Path(audio).stem
    span = {"start": 0.0, "duration": 0.25, "channel": 0}
    sources = [{"type": "file", "channels": [0], "source": audio}]
    of_recording = {"id": name, "sources": sources, "sampling_rate": 16000, "num_samples": 4000}
    return {
        "id": name,
        **span,
        "type": "MonoCut",
        "supervisions": [{"id": name, "recording_id": name, **span, "text": text}],
        "recording": {**of_recording, "duration": 0.25},
    }


@pytest.fixture
def at_the_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The desk as the working directory, its mount, and steps of a recipe in this process."""
    from train.recipe import __main__

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, rill(command[3:]))

    monkeypatch.chdir(desk)
    monkeypatch.setattr(mounts, "MOUNTS", desk / "mountinfo")
    monkeypatch.setattr(__main__.subprocess, "run", run)
    for variable in VARIABLES.values():  # the command sets some of them
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setenv("RILL_DATA", "corpora")
    return desk


def as_here(words: list[str], desk: Path) -> list[str]:
    """Return a command with what is not on this machine replaced: mounts, buckets, sums, and what takes hours."""
    line = shlex.join(words)
    line = line.replace("/mnt/asr-audio-data", str(desk / "mnt" / "asr-audio-data"))
    line = line.replace("s3=s3://asr-audio-data/", "copy=corpora")
    line = re.sub(r"\b[0-9a-f]{64}\b", hashlib.sha256(b"an archive").hexdigest(), line)
    line = line.replace("--pieces 2048", "--pieces 30")
    if words[0] == "recipe":  # its training is that of tests/train/recipe
        line = line.replace("--output runs/fr", f"--output runs/{len(words)}") + " --until lm-build"
    return shlex.split(line)


@pytest.mark.slow
def test_the_commands_of_the_tables_run(
    at_the_desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in OF_RILL:
        if words[0] == "serve":
            continue
        status = rill(as_here(words, at_the_desk))
        printed = capsys.readouterr()
        assert status == STATUS.get(" ".join(words), 0), (
            f"{words}: {printed.out[-2000:]}{printed.err[-2000:]}"
        )


@pytest.fixture(scope="module")
def servers(desk: Path) -> Iterator[list[tuple[list[str], str]]]:
    """The servers of the tables and their addresses."""
    processes = []
    environment = {**os.environ, "RILL_SLOTS": "2"}
    for words in SERVING:
        command = [sys.executable, "-m", "server.rill", *words, "--port", "0"]
        processes.append(
            subprocess.Popen(
                command,
                cwd=desk,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        found = []
        for words, process in zip(SERVING, processes, strict=True):
            assert process.stdout is not None and process.stderr is not None
            address = process.stdout.readline()
            assert address, f"{words}: {process.stderr.read()}"
            found.append((words, address))
        yield found
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate(timeout=30)


@pytest.mark.slow
def test_the_servers_of_the_tables_start_and_answer(
    servers: list[tuple[list[str], str]], desk: Path
) -> None:
    assert len(servers) == 3
    (command,) = (command for command in COMMANDS if command.startswith("curl "))
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    (address,) = (address for words, address in servers if "--model" not in words)
    port = re.search(r":(\d+)", address)
    assert port
    words = shlex.split(command.replace("3030", port[1]))
    run = subprocess.run([*words, "-sS", "--fail"], cwd=desk, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert set(json.loads(run.stdout)["text"].split())


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("podman build")])
def test_an_image_is_built_of_a_file_that_has_its_arguments(command: str) -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--file", "--tag"):
        parser.add_argument(flag)
    parser.add_argument("--build-arg", action="append")
    parser.add_argument("context")
    given = parser.parse_args(shlex.split(command)[2:])
    instructions = read(REPOSITORY / given.file)
    arguments = {each.rest.partition("=")[0] for each in instructions if each.name == "ARG"}
    assert {each.partition("=")[0] for each in given.build_arg} <= arguments


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("torchrun")])
def test_torchrun_is_given_a_command_of_training(command: str) -> None:
    from train.__main__ import build_parser

    words = shlex.split(command)
    start = words.index("-m")
    assert words[start + 1] == "train"
    arguments = build_parser().parse_args(words[start + 2 :])
    path = REPOSITORY / arguments.config
    assert load_config(path if path.exists() else arguments.config)
