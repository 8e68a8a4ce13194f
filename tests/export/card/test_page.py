"""The card of a model whose notes say all there is to say, and of one whose notes say little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export.card import __main__
from export.card.page import card
from stream.front_end.filterbank import Filterbank
from stream.model import directory
from stream.model.specification import ModelError
from stream.prediction.stateless import Stateless
from tests.tiny import tiny_network

SOFT = {
    "run": "soft", "updates": 4000, "seed": 1, "hours": 2.4, "rill": "0.1.0", "torch": "2.13.0+cpu",
    "seen": {"an4": {"hours": 30.25, "licenses": ["BSD-style"]}},
    "settings": {"model.hidden": 16, "updates": 4000, "loss.bag": 0.7, "data.author": "us"},
    "settings_sha256": "5e771465" * 8,
}  # fmt: skip
HARD = {
    "run": "hard", "updates": 1500, "seed": 2, "hours": 4.5, "rill": "0.2.0", "torch": "2.13.0+cpu",
    "seen": {
        "an4": {"hours": 8.0, "licenses": ["BSD-style"]},
        "synthetic-en": {"hours": 12.5, "licenses": ["Apache-2.0"], "synthetic": True},
    },
    "settings": {"model.hidden": 16, "updates": 1500, "seed": 2},
    "settings_sha256": "4a8d" * 16, "parent": "cafe" * 16,
    "recordings": {
        "an4": {"recordings": 848, "hours": 0.6283, "percentiles": {"5": 0.9, "50": 2.5, "95": 5.0}},
        "synthetic-en": {"recordings": 3370, "hours": 2.08, "percentiles": {"5": 0.7, "50": 1.925, "95": 4.0}},
    },
}  # fmt: skip


def evaluation(data_set: str, backend: str, wer: float, **more: Any) -> dict[str, Any]:
    corpora = {
        "an4": {"recordings": 100, "words": 600, "wer": wer + 0.1},
        "digits": {"recordings": 928, "words": 931, "wer": wer - 0.1},
    }
    return {
        "data_set": data_set, "recordings": 1028, "words": 1531, "wer": wer, "corpora": corpora,
        "artefact": "model directory", "backend": backend, "options": {"reset_stats": True},
        "date": "2026-11-29", **more,
    }  # fmt: skip


ROW = {
    "scenario": "levels", "name": "-30 dB", "wer": 0.255, "substitutions": 4, "deletions": 3, "insertions": 1,
    "words": 490, "plain_wer": 0.21, "invented": None, "minutes": 0.0,
}  # fmt: skip
NOTES: dict[str, Any] = {
    "license": "Apache-2.0",
    "language": "en",
    "author": "us",
    "contact": "us@example.org",
    "version": "1.0",
    "about": "Hears digits.\n\n## What it cannot do\n\nHear prose.",
    "training": {**HARD, "before": [SOFT]},
    "evaluations": [
        evaluation("test", "onnx", 0.28),
        evaluation("dev", "onnx", 0.2332),
        evaluation("dev", "int8", 0.2319, date="2026-11-30"),
        evaluation("dev", "bfp16", 0.25, artefact="hardware checkpoint"),
        evaluation("dev", "onnx", 0.27, options={"decoder": "beam", "beam_width": 8}),
    ],
    "scenarios": [
        {"data_set": "dev", "recordings": 343, "backend": "int8", "artefact": "model directory",
         "date": "2026-11-29", "rows": [ROW]},
    ],
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory.write(replace(tiny_network(), notes=NOTES), tmp_path / "digits", {})
    return tmp_path / "digits"


def line(page: str, begin: str) -> str:
    (found,) = [line for line in page.splitlines() if line.startswith(begin)]
    return found


def test_the_text_by_hand_opens_and_ends_the_card_with_facts_between(model: Path) -> None:
    page = card(model)
    assert page.startswith("# digits\n\nHears digits.\n\n<!-- Written by `rill export card`")
    assert page.endswith("\n## What it cannot do\n\nHear prose.\n")
    assert "| version | 1.0 |" in page and "| contact | us@example.org |" in page


def test_error_rates_stand_by_data_set_corpus_and_arithmetic(model: Path) -> None:
    page = card(model)
    head = line(page, "| data set |")
    assert head == (
        "| data set | recordings | words | float32 (`onnx`) | int8 | hardware checkpoint, bfp16 |"
    )
    assert line(page, "| dev |") == "| dev | 1,028 | 1,531 | 23.32 | 23.19 | 25.00 |"
    assert line(page, "| test |") == "| test | 1,028 | 1,531 | 28.00 |  |  |"
    assert "| – an4 | 100 | 600 | 33.32 | 33.19 | 35.00 |" in page
    beam = line(page, "| dev, statistics carried on, decoder beam, beam width 8 |")
    assert beam.endswith("| 27.00 |  |  |")
    assert "Measured 2026-11-29 to 2026-11-30." in page


def test_every_row_of_the_scenarios_is_there(model: Path) -> None:
    page = card(model)
    assert "343 recordings of dev, int8, 2026-11-29" in page
    assert line(page, "| levels |") == "| levels | -30 dB | 25.5 | +4.5 | 4, 3, 1 |  |"


def test_hours_are_shown_by_corpus_and_run_and_synthetic_speech_is_named(model: Path) -> None:
    page = card(model)
    assert "| an4 | recordings | 30.2 | 8.00 | 38.2 |" in page
    assert "| synthetic-en | synthetic speech | 0.00 | 12.5 | 12.5 |" in page
    assert "| all |  | 30.2 | 20.5 | 50.8 |" in page
    assert "| synthetic-en | Apache-2.0 |" in page
    assert "| corpus | recordings | hours | 5 % | 50 % | 95 % |" in page
    assert "| synthetic-en | 3,370 | 2.08 | 0.70 | 1.93 | 4.00 |" in page


def test_runs_have_seeds_versions_hashes_and_what_they_set(model: Path) -> None:
    page = card(model)
    soft, hard = line(page, "| `soft` |"), line(page, "| `hard` |")
    assert soft == "| `soft` | 4,000 | 1 | 0.1.0 | 2.13.0+cpu | `5e7714655e77` | random weights |"
    assert hard == "| `hard` | 1,500 | 2 | 0.2.0 | 2.13.0+cpu | `4a8d4a8d4a8d` | `cafecafecafe` |"
    defaults = "`soft` differs from the defaults in:\n\n```toml\nmodel.hidden = 16\nupdates = 4000\nloss.bag = 0.7\n```"
    before = "`hard` differs from the run before in:\n\n```toml\nupdates = 1500\nseed = 2\n# loss.bag: the default again\n```"
    assert defaults in page and before in page
    assert "data.author" not in page


def test_an_older_model_says_what_it_knows(tmp_path: Path) -> None:
    notes = {
        "training": {
            "run": "stream",
            "updates": 2000,
            "hours": 2.38,
            "init": {"model": "en-commands"},
        },
        "wer": {"dev": {"all": 0.25}},
        "export": {"recordings": 9, "wer": {"int8": 0.5}},
    }
    directory.write(replace(tiny_network(), notes=notes), tmp_path / "old", {})
    page = card(tmp_path / "old")
    assert (
        "The hours that the run `stream` learned from were not counted; its training set has 2.38 hours."
        in page
    )
    assert "| dev, all | float32 | 25.00 |" in page
    assert "| 9 recordings of the export | int8 | 50.00 |" in page
    assert "| `stream` | 2,000 | – | – | – | – | `en-commands` |" in page
    assert "Rooms" not in page


def test_a_model_without_notes_has_a_card(tmp_path: Path) -> None:
    directory.write(replace(tiny_network(), notes={}), tmp_path / "bare", {})
    page = card(tmp_path / "bare")
    assert page.startswith("# bare\n\n<!--") and "Nothing was recorded." in page


def test_the_card_names_learned_filters_and_a_normaliser_without_statistics(
    tmp_path: Path,
) -> None:
    filters = Filterbank(mel="learned", spectrum="magnitude")
    network = tiny_network(filterbank=filters, normaliser="layer")
    directory.write(network, tmp_path / "learned", {})
    assert "learned mel, magnitudes, normaliser layer, log floor" in card(tmp_path / "learned")


def test_the_card_names_the_heads_and_how_each_was_validated(tmp_path: Path) -> None:
    found = [
        evaluation("dev", "onnx", 0.25),
        evaluation("dev", "onnx", 0.27, options={"head": "ctc"}),
    ]
    both = replace(tiny_network(decoder="both"), notes={"evaluations": found})
    directory.write(both, tmp_path / "both", {})
    page = card(tmp_path / "both")
    assert "| LSTM transducer with a CTC head, hard activations" in page
    assert "| dev, statistics carried on, head ctc |" in page
    stateless = tiny_network(other_prediction=Stateless(8))
    directory.write(stateless, tmp_path / "stateless", {})
    assert "prediction network stateless of 8, joint" in card(tmp_path / "stateless")
    directory.write(tiny_network(decoder="ctc"), tmp_path / "ctc", {})
    page = card(tmp_path / "ctc")
    assert "| LSTM CTC model, hard activations" in page and "prediction network" not in page


def test_the_command_writes_keeps_the_text_and_checks(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "about.md"
    text.write_text("Another opening.\n")
    assert __main__.main([str(model), "--check"]) == 1
    assert "README.md is not the card of" in capsys.readouterr().err
    assert __main__.main([str(model), "--text", str(text)]) == 0
    assert __main__.main([str(model), "--check"]) == 0
    assert "Another opening.\n" in (model / "README.md").read_text()
    text.write_bytes(b"\xff\xfe")
    assert __main__.main([str(model), "--text", str(text)]) == 3
    assert str(text) in capsys.readouterr().err
    with pytest.raises(ModelError, match="is not a model directory"):
        card(text)
