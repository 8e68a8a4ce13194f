"""What a model is and what made it: every fact in its place, and two models differ in what was changed."""

from __future__ import annotations

from dataclasses import replace

from stream.front_end.filterbank import Filterbank
from stream.model.description import described, differences, lines
from stream.model.network import Network, NgramFile
from tests.tiny import tiny_network

NOTES = {
    "language": "fr",
    "version": "1.0",
    "license": "Apache-2.0",
    "evaluations": [
        {"data_set": "dev", "backend": "int8", "options": {"reset_stats": True}, "wer": 0.125},
        {"data_set": "dev", "backend": "numpy", "options": {"final_padding": 0.4}, "wer": 0.5},
    ],
    "training": {
        "run": "int8",
        "updates": 700,
        "ctc_blank_penalty": 0.5,
        "settings": {"data.text": "fr+numbers", "optimiser.rate": 0.0004},
        "parent": "69e9becc36e26176a4c8d26c22d34db858ceff297da41cf3c07643d24b3dd55a",
        "before": [
            {
                "run": "soft",
                "init": {"model": "models/en-commands"},
                "seen": {"synthetic-fr": {"hours": 6.5, "licenses": ["MIT"], "synthetic": True}},
                "recordings": {
                    "synthetic-fr": {"recordings": 902, "hours": 0.45, "percentiles": {"50": 1.5}}
                },
            }
        ],
    },
}


def network() -> Network:
    return replace(tiny_network(), notes=NOTES, ngram=NgramFile(b"binary", 0.2))


def test_the_tuning_of_a_language_model_is_described() -> None:
    tuning = {
        "data_set": "dev",
        "recordings": 20,
        "head": "ctc",
        "values": {"weight": 0.25, "word_bonus": -0.5},
        "wer": {"greedy": 0.5, "beam": 0.375, "tuned": 0.25},
        "search": "seeded search, seed 0, 40 trials",
    }
    ngram = NgramFile(b"binary", 0.25, word_bonus=-0.5)
    found = described(replace(tiny_network(), notes={"tuning": tuning}, ngram=ngram))
    assert "weight 0.25, word bonus -0.5, SHA" in found["model"]["n-gram model"]
    assert found["language model tuning"] == {
        "values": "weight 0.25, word bonus -0.5",
        "WER": "greedy 50.00 %, beam 37.50 %, tuned 25.00 %; ctc, dev, 20 recordings",
        "search": "seeded search, seed 0, 40 trials",
    }


def test_a_model_is_described_with_its_figures_and_runs_the_last_one_first() -> None:
    found = described(network())
    assert list(found) == ["model", "network", "error rates", "last run", "run 1 before it"]
    assert list(found["model"])[:3] == ["language", "version", "license"]
    assert found["model"]["language"] == "fr"
    assert found["model"]["n-gram model"].startswith("6 bytes, weight 0.2, SHA-256 ")
    assert found["error rates"] == {
        "dev int8 reset_stats": "12.50 %",
        "dev numpy final_padding=0.4": "50.00 %",
    }
    assert found["last run"] == {
        "run": "int8",
        "updates": "700",
        "ctc_blank_penalty": "0.5",
        "starts from": "SHA-256 69e9becc36e2",
        "data.text": "fr+numbers",
        "optimiser.rate": "0.0004",
    }
    assert found["run 1 before it"] == {
        "run": "soft",
        "starts from": "models/en-commands",
        "heard of synthetic-fr": "6.50 h, synthetic, MIT",
        "recordings of synthetic-fr": "902, 0.45 h; seconds: 50 % 1.5",
    }
    assert list(lines({"model": {"a": "1", "bcd": "2"}})) == ["model:", "  a    1", "  bcd  2"]


def test_models_of_which_nothing_is_known_have_a_network_and_weights() -> None:
    found = described(replace(tiny_network(), notes={}))
    assert list(found) == ["model", "network"]
    assert list(found["model"]) == ["weights", "tokenizer", "a stream"]
    # (h, c) of 16 units for each of two layers.
    assert found["model"]["a stream"] == "256 bytes of encoder state in float32"


def test_learned_filters_say_how_far_they_are_from_the_fixed_ones() -> None:
    found = described(tiny_network(filterbank=Filterbank(mel="learned"), normaliser="layer"))
    assert found["model"]["learned mel"].endswith(" % away from the fixed filters")
    assert found["network"]["front_end"] == '{"mel": "learned", "spectrum": "power"}'
    assert found["network"]["normaliser"] == "layer"


def test_two_models_differ_in_what_was_changed() -> None:
    training = {**NOTES["training"], "updates": 800}  # type: ignore[dict-item]
    del training["before"]
    one, other = network(), replace(network(), notes={**NOTES, "training": training}, ngram=None)
    assert differences(described(one), described(one)) == {}
    found = differences(described(one), described(other))
    assert list(found) == ["model", "last run", "run 1 before it"]
    assert found["last run"] == {"updates": "700 -> 800"}
    assert found["model"]["n-gram model"].endswith(" -> none")
    assert found["run 1 before it"]["run"] == "soft -> none"
