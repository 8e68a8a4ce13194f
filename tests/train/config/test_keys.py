"""Keys: how they are written, what a wrong one may have meant, and what type they have."""

from __future__ import annotations

from typing import Any

import pytest

from train.config.keys import alternatives, annotation_of, dotted, flat, unknown


@pytest.mark.parametrize(
    ("path", "text"),
    [((), ""), (("updates",), "updates"), (("data", "train", 0, "weight"), "data.train[0].weight")],
)
def test_a_path_is_written_with_dots(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text


@pytest.mark.parametrize(
    ("tree", "meant"),
    [
        ({"update": 3}, "updates"),
        ({"warmup": 3}, "optimiser.warmup"),
        ({"optimiser": {"secnds": 3.0}}, "batches.seconds"),
        ({"model": {"gate": {"db": 1}}}, None),
        ({"data": {"train": ["a", {"manifes": "b"}]}}, "data.train[1].manifest"),
        ({"nonsense": 1}, None),
    ],
)
def test_an_unknown_key_is_taken_out_and_said_what_it_may_have_meant(
    tree: dict[str, Any], meant: str | None
) -> None:
    ((key, said),) = unknown(tree)
    assert said.startswith(f"unknown key {key}")
    assert said.endswith(f" (did you mean {meant}?)") == (meant is not None)
    assert list(unknown(tree)) == []


def test_known_keys_stay() -> None:
    tree = {"model": {"hidden": 3, "encoder": {"family": "x"}}, "batches": {"weights": {"a": 2.0}}}
    assert list(unknown(tree)) == []
    assert tree["batches"] == {"weights": {"a": 2.0}}


def test_a_key_has_the_type_of_its_struct() -> None:
    tree = {
        "optimiser": {"rate": 1},
        "data": {"max_seconds": 1, "train": [{"weight": 1}]},
        "model": {"hidden": 1, "encoder": {"family": "conformer", "kernel": 1}},
        "loss": {"ctc": {"schedule": "wer", "below": 1}},
        "no": {"such": 1},
    }
    assert annotation_of(("optimiser", "rate"), tree) is float
    assert set(alternatives(annotation_of(("data", "max_seconds"), tree))) == {float, type(None)}
    assert annotation_of(("data", "train", 0, "weight"), tree) is float
    assert annotation_of(("model", "hidden"), tree) is int
    assert annotation_of(("model", "encoder", "kernel"), tree) is int
    assert annotation_of(("loss", "ctc", "below"), tree) is float
    assert annotation_of(("no", "such"), tree) is None


def test_tables_are_flat_by_their_paths_and_tuples_are_lists() -> None:
    tree = {"seed": 1, "log": {"to": ("mlflow",), "more": {"every": 10}}, "empty": {}}
    assert dict(flat(tree)) == {"seed": 1, "log.to": ["mlflow"], "log.more.every": 10}
    assert dict(flat({"wer": {"all": 0.5}}, "/")) == {"wer/all": 0.5}
