"""The runs that made a model, as its notes have them."""

from __future__ import annotations

from stream.model.stages import stages_of, text_rules_of, without_places


def test_runs_come_first_one_first() -> None:
    soft, hard = {"run": "soft", "updates": 2}, {"run": "hard"}
    assert stages_of({"training": {"run": "end", "before": [soft, hard]}}) == [
        soft, hard, {"run": "end"},
    ]  # fmt: skip
    assert stages_of({"training": soft}) == [soft]
    assert stages_of({"license": "MIT"}) == []


def test_the_rules_of_transcripts_are_those_of_the_last_run_that_says_them() -> None:
    before = [{"settings": {"data.text": "fr+numbers"}}, {"settings": {"updates": 3}}]
    assert text_rules_of({"training": {"run": "int8", "before": before}}) == "fr+numbers"
    assert text_rules_of({"training": {"run": "soft"}}) is None
    assert text_rules_of({}) is None


def test_absolute_paths_become_names_and_all_else_stays() -> None:
    training = {
        "settings": {
            "data.tokenizer": "/home/me/runs/tokenizer.model",
            "data.train": ["/data/train.jsonl", "$RILL_DATA/train.jsonl", {"manifest": "/data/b.jsonl"}],
            "updates": 3,
        },
        "before": [{"init": {"model": "/home/me/best.pt", "encoder": {"share": 0.5, "new": []}}}],
    }  # fmt: skip
    assert without_places(training) == {
        "settings": {
            "data.tokenizer": "tokenizer.model",
            "data.train": ["train.jsonl", "$RILL_DATA/train.jsonl", {"manifest": "b.jsonl"}],
            "updates": 3,
        },
        "before": [{"init": {"model": "best.pt", "encoder": {"share": 0.5, "new": []}}}],
    }
