"""`python -m export.compare`: where transcripts part, at which stage networks do, and the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.compare.__main__ import main
from export.compare.artefacts import Emitted, Heard, Model, Said, open_artefact
from export.compare.clips import CLIP_SECONDS, clip
from export.compare.divergence import edits, part
from export.compare.findings import Result, compare
from export.compare.stages import Apart, Tracer
from server.demo import running_server
from stream.audio import read_audio
from stream.backends import Backend, load_backend
from stream.bundled import recordings
from stream.model.directory import write
from stream.model.network import Network
from stream.model.specification import ModelError
from stream.stage import State
from tests.conftest import REPOSITORY
from tests.tiny import tiny_network

BUNDLED = str(REPOSITORY / "models" / "en-commands")


def said(*tokens: tuple[str, int]) -> Said:
    emitted = tuple(Emitted(*token) for token in tokens)
    return Said("".join(token.text for token in emitted).strip(), emitted)


def changed(network: Network, name: str) -> Network:
    """Return the network with one array changed."""
    array = network.arrays[name].copy()
    array[...] += 1.0
    return replace(network, arrays={**network.arrays, name: array})


def stages_of(other: Network, reference: Network) -> dict[str, float]:
    """Return the largest difference at each stage, along a path of three tokens."""
    utterances = recordings()[:2]
    emitted = (Emitted("a", 2), Emitted("b", 2), Emitted("c", 5))
    heard = Heard((Said("abc", emitted, (1, 2, 3)),) * 2, 1.0)
    results = [
        Result(label, label, "", heard, Model(network, "numpy"))
        for label, network in (("reference", reference), ("other", other))
    ]
    found = compare(results, utterances, date="", machine="", manifest="")
    return {name: stage.largest for name, stage in found.artefacts[1].stages.items()}


def test_transcripts_part_at_their_first_diverging_token_and_the_earlier_frame() -> None:
    reference = said((" a", 1), (" b", 4), (" c", 9))
    assert part(reference, reference) is None
    parting = part(reference, said((" a", 2), (" x", 6), (" c", 9)))
    assert parting is not None
    assert (parting.index, parting.step, parting.edits, parting.moved) == (1, 4, 1, False)
    parting = part(reference, said((" a", 1), (" b", 4)))
    assert parting is not None
    assert (parting.index, parting.step, parting.edits) == (2, 9, 1)


def test_the_same_tokens_at_other_frames_only_moved() -> None:
    parting = part(said((" a", 1), (" b", 4)), said((" a", 1), (" b", 3)))
    assert parting is not None
    assert (parting.index, parting.step, parting.edits, parting.moved) == (1, 3, 0, True)


def test_a_transcript_without_tokens_parts_by_words_at_the_others_frame() -> None:
    reference = said((" on", 1), ("e", 2), (" t", 5), ("wo", 6))
    assert part(reference, Said("one two")) is None
    parting = part(reference, Said("one ten"))
    assert parting is not None
    assert (parting.index, parting.step, parting.edits) == (1, 5, 1)
    parting = part(reference, Said("one two three"))
    assert parting is not None
    assert (parting.index, parting.step) == (2, None)
    assert edits(["a b", "c"], ["a", "b", "c"]) == 2  # units, whatever stands in them


def test_a_model_of_ctc_alone_is_refused(tmp_path: Path) -> None:
    write(tiny_network(decoder="ctc"), tmp_path / "model", {})
    with pytest.raises(ModelError, match="decodes with ctc alone; transducers are compared here"):
        open_artefact(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("array", "differing"),
    [
        ("normaliser.mean", {"normalised", "encoder", "logits"}),
        ("encoder.post.0.weight_hh", {"encoder", "logits"}),
        ("prediction.embedding", {"prediction", "logits"}),
        ("joint.output.weight", {"logits"}),
    ],
)
def test_a_changed_array_shows_first_at_its_stage(array: str, differing: set[str]) -> None:
    network = tiny_network()
    stages = stages_of(changed(network, array), network)
    assert list(stages) == ["log-mel", "normalised", "encoder", "prediction", "logits"]
    assert {name for name, largest in stages.items() if largest} == differing


class Jolted:
    """A backend whose encoder is off by one in every element of one encoder frame of one row."""

    def __init__(self, backend: Backend, frame: int, row: int) -> None:
        self._backend, self._frame, self._row = backend, frame, row
        self.initial_state, self.predict = backend.initial_state, backend.predict
        self.join, self.specification = backend.join, backend.specification

    def encode(
        self, x: NDArray[np.float32], state: State, present: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], State]:
        f, state = self._backend.encode(x, state, present)
        if self._frame == 0:
            f[self._row] += 1.0
        self._frame -= 1
        return f, state


def test_a_planted_difference_is_found_at_its_stage_recording_and_frame() -> None:
    network = tiny_network()
    audio = [read_audio(u.audio) for u in recordings()[:2]]
    paths = [[(1, 2), (2, 2)], [(3, 5)]]
    backend = load_backend("numpy", network)
    reference = Tracer(network, backend).trace(audio, paths)
    other = Tracer(network, Jolted(backend, frame=7, row=1)).trace(audio, paths)
    apart = Apart()
    apart.add(reference, other, ["first", "second"])
    found = apart.differences()
    assert {name for name, stage in found.items() if stage.largest} == {"encoder", "logits"}
    for stage in (found["encoder"], found["logits"]):
        assert (stage.recording, stage.seconds) == ("second", pytest.approx(7 * 0.06))
    assert found["encoder"].largest == pytest.approx(1.0)


def test_an_artefact_is_a_path_with_or_without_a_backend(tmp_path: Path) -> None:
    write(tiny_network(), tmp_path / "tiny", {})
    assert open_artefact(f"{tmp_path}/tiny:numpy").backend == "numpy"
    with pytest.raises(ValueError, match="tiny:nmupy: no backend 'nmupy'; there are numpy"):
        open_artefact(f"{tmp_path}/tiny:nmupy")


def test_a_clip_of_a_long_recording_is_cut_around_the_time_that_matters() -> None:
    samples = np.zeros(30 * 16000, np.float32)
    samples[20 * 16000] = 0.5
    found = clip(samples, 20.0)
    assert (found.begin, found.seconds) == (16.0, CLIP_SECONDS)
    assert int(found.outline.argmax()) == int(240 * 4 / CLIP_SECONDS)
    assert len(found.wav) < 0.5e6
    assert clip(samples, 29.0).begin == 18.0


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
