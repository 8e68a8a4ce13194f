"""The checks of the decoders notice a changed token, step, probability, response and merge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwckpt.conformance.comparison import VectorError
from hwckpt.conformance.decoding import BeamRun, perceived
from stream.decoding.greedy import Token
from tests.hwckpt.conformance.vector_files import check
from tests.places import VECTORS

BEAM = "beam_v1.14.0.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Beam vectors with two cases, and what they stand on."""
    for name in ("hwckpt_v1.14.0.pt", "pcm_to_tokens_v1.14.0_greedy.npz", "keywords_v1.14.0.json"):
        shutil.copy(VECTORS / name, tmp_path)
    content = json.loads((VECTORS / BEAM).read_text())
    content["cases"] = [c for c in content["cases"] if c["case"] in ("w4", "w4_kw")][:2]
    (tmp_path / BEAM).write_text(json.dumps(content))
    return tmp_path


def failed(folder: Path, change: Callable[[dict[str, Any]], None]) -> set[str]:
    """Return the stages that fail on NumPy after a change of the first case."""
    content = json.loads((folder / BEAM).read_text())
    change(content["cases"][0])
    (folder / BEAM).write_text(json.dumps(content))
    rows = list(check(folder / BEAM))
    return {row.stage for row in rows if row.verdict == "FAIL" and row.backend == "numpy"}


def test_what_was_written_passes(folder: Path) -> None:
    assert failed(folder, lambda case: None) == set()


@pytest.mark.parametrize(
    ("key", "value", "stage"),
    [
        ("tokens", 3, "w4 0 tokens"),
        ("timesteps", 99, "w4 0 timesteps"),
        ("probs", 0.5, "w4 0 probs"),
        ("user_perceived_timesteps", 99, "w4 0 user_perceived_timesteps"),
    ],
)
def test_one_changed_value_fails_its_stage(
    folder: Path, key: str, value: float, stage: str
) -> None:
    def change(case: dict[str, Any]) -> None:
        case[key][0] = value

    assert failed(folder, change) == {stage}


@pytest.mark.parametrize("kind", ["final", "partials"])
def test_a_changed_response_fails(folder: Path, kind: str) -> None:
    def change(case: dict[str, Any]) -> None:
        responses = [r[kind] for r in case["responses"].values() if r[kind]]
        next(r for r in responses if r["alternatives"])["alternatives"][0]["y_seq"].append(7)

    assert failed(folder, change) == {f"w4 0 {kind}"}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"beam_width": 4, "colour": 1}, "beam parameters colour are unknown"),
        ({"beam_width": 4, "eos_strategy": "EOSMaybe(eos_idx=1)"}, "EOSMaybe"),
        ({"beam_width": 4, "ngram_info": "none"}, "ngram_info is 'none'"),
    ],
)
def test_parameters_that_are_not_understood_are_named(
    folder: Path, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(VectorError, match=said):
        failed(folder, lambda case: case.update(params=parameters))


def test_a_beam_file_without_its_greedy_file_is_not_understood(folder: Path) -> None:
    (folder / "pcm_to_tokens_v1.14.0_greedy.npz").unlink()
    with pytest.raises(VectorError, match="wants pcm_to_tokens_v1.14.0_greedy.npz beside it"):
        list(check(folder / BEAM))


def test_a_token_is_shown_since_all_of_its_characters_stand() -> None:
    run = BeamRun(
        finals=[[], [], [Token(0, 0, 0.0)], [Token(1, 1, 0.0)]],
        partials=[[[0], [2]], [[0, 2], [2]], [[1]], []],
    )
    # "ab" stands from response 0 on; "cd" is shown as "ce" at 1 and stands from 2 on.
    assert perceived(run, ["ab", "cd", "ce"]) == [0, 2]


def test_the_beam_file_holds_cases_that_differ() -> None:
    cases = json.loads((VECTORS / "beam_v1.14.0.json").read_text("utf-8"))["cases"]
    of: dict[int, dict[str, list[int]]] = {}
    for case in cases:
        of.setdefault(case["utterance"], {})[case["case"]] = case["tokens"]
    assert len({case["case"] for case in cases}) == 10
    for name in {case["case"] for case in cases} - {"w4", "w4_maxsym1", "w4_finalthresh"}:
        assert any(
            found[name] != found["w4"] for found in of.values() if {name, "w4"} <= set(found)
        )
