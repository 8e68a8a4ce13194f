"""`python -m export.compare`: the table, the figures as JSON, and the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export.compare.__main__ import main
from server.demo import running_server
from stream.model.directory import write
from stream.model.network import Network
from tests.conftest import REPOSITORY
from tests.tiny import tiny_network

BUNDLED = str(REPOSITORY / "models" / "en-commands")


def sources(page: str) -> list[str]:
    """Return what a page refers to."""
    return [
        *re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page),
        *re.findall(r"""url\(\s*["']?([^"')]*)""", page),
    ]


@pytest.mark.parametrize("clips", [0, 1])
def test_the_page_fetches_nothing_and_plays_as_many_clips_as_asked(
    manifest: Path, tmp_path: Path, clips: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write(changed_until_it_talks(), tmp_path / "tiny", {})
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    arguments = [BUNDLED, f"{tmp_path}/tiny:numpy", "--manifest", str(manifest)]
    arguments += ["--output", str(page), "--json", str(figures), "--clips", str(clips)]
    assert main(arguments) == 0
    found: dict[str, Any] = json.loads(figures.read_text())
    assert found["schema"] == "rill.comparison/1"
    assert found["recordings"] == 2
    reference, other = found["artefacts"]
    assert reference["stages"].keys() == {
        "log-mel",
        "normalised",
        "encoder",
        "prediction",
        "logits",
    }
    assert reference["flips"] == reference["changed_words"] == reference["different"] == 0
    assert "logits" not in other["stages"]  # of another vocabulary
    assert other["different"] == len(found["disagreements"]) == 2
    assert len(other["partings"]) == 2
    assert {"layer", "output", "tanh", "cell"} == other["saturation"][0].keys()
    text = page.read_text("utf-8")
    assert all(source.startswith("data:audio/wav;base64,") for source in sources(text))
    assert len(sources(text)) == text.count("<audio") == clips
    assert all(each["id"] in text for each in found["disagreements"])
    out = capsys.readouterr().out
    assert "2 of 2 recordings are disputed" in out
    assert "tiny:numpy" in out


def changed_until_it_talks() -> Network:
    """Return a tiny model that emits a token, whatever it hears."""
    network = tiny_network()
    bias = network.arrays["joint.output.bias"].copy()
    bias[3] += 20.0
    return replace(network, arrays={**network.arrays, "joint.output.bias": bias})


def test_a_server_is_compared_by_its_words(manifest: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    with running_server("--slots", "2") as url:
        arguments = [BUNDLED, url, "--manifest", str(manifest), "--json", str(figures)]
        assert main(arguments) == 0
    reference, server = json.loads(figures.read_text())["artefacts"]
    assert server["description"] == "server"
    assert (server["changed_words"], server["different"]) == (0, 0)
    assert server["wer"] == reference["wer"]
    assert server["tokens"] is server["flips"] is None
    assert server["stages"] == {}


def test_what_cannot_be_read_is_named(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "none.jsonl"
    for arguments, code, message in (
        ([f"{tmp_path}/none", "--manifest", str(manifest)], 3, "none"),
        ([BUNDLED, "--manifest", str(other)], 3, "none.jsonl"),
        (["ws://127.0.0.1:9", "--manifest", str(manifest)], 3, "127.0.0.1:9"),
        ([f"{BUNDLED}:onxn", "--manifest", str(manifest)], 2, "no backend 'onxn'"),
    ):
        assert main(arguments) == code
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--clips", "-1"], "--clips is -1; want 0 or more"),
        (["--limit", "0"], "--limit is 0; want 1 or more"),
        (["--output", "/nowhere/at/all.html"], "there is no folder /nowhere/at"),
    ],
)
def test_a_wrong_command_line_is_named(
    manifest: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([BUNDLED, "--manifest", str(manifest), *flags])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
