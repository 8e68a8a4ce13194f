"""Faults of a configuration: all in one message, each with file, key, value and what is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from train.config.data import Data
from train.config.faults import REQUIRED, checked
from train.config.file import load_config
from train.config.run import Config, ConfigError

WRONG = """
extends = "base"
[model]
hiden = 4
activation = "warm"
[data]
trian = ["train.jsonl"]
dev = "dev.jsonl"
train = [{ manifest = "a.jsonl", wieght = 2.0 }, { manifest = "b.jsonl", weight = -1.0 }]
[batches]
seconds = -2.0
warmup = 100
[augmentation]
codecs = ["mp4"]
[optimiser]
rate = "fast"
min_rate = 0.1
"""


def message_of(tree: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        checked(tree, lambda key: "run.toml")
    return str(caught.value)


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(WRONG)
    with pytest.raises(ConfigError) as caught:
        load_config(path, ["dropout.joint=2"])
    head, *lines = str(caught.value).splitlines()
    assert head == f"{path}: 11 keys are wrong:"
    assert sorted(line.strip() for line in lines) == sorted(
        [
            f"{path}: unknown key model.hiden (did you mean model.hidden?)",
            f"{path}: unknown key data.trian (did you mean data.train?)",
            f"{path}: unknown key data.train[0].wieght (did you mean data.train[0].weight?)",
            f"{path}: unknown key batches.warmup (did you mean optimiser.warmup?)",
            f"{path}: a data set has weight -1.0, wants more than 0",
            f"{path}: batches.seconds is -2.0, wants more than 0",
            f"{path}: augmentation.codecs is ['mp4'], wants mu-law, a-law, gsm, mp3, opus, vorbis",
            f"{path}: optimiser.rate is 'fast', wants a number",
            f"{path}: optimiser: min_rate 0.1 wants 0 < min_rate <= rate",
            "--set dropout.joint=2: dropout.joint is 2.0, wants 0 <= p < 1",
            f"{path}: model.activation is 'warm', wants hard, soft",
        ]
    )


def test_a_value_that_is_wrong_beside_another_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "below.toml").write_text(
        '[model]\ndecoder = "both"\n[data]\ntrain = ["a"]\ndev = "b"\n[optimiser]\nrate = 0.001\n'
    )
    path = tmp_path / "run.toml"
    path.write_text('extends = "below.toml"\n[loss]\nctc = 0.0\n[optimiser]\nmin_rate = 0.002\n')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).splitlines()[1:] == [
        f"    {path}: optimiser: min_rate 0.002 wants 0 < min_rate <= rate",
        f"    {path}: loss.ctc is 0.0, model.decoder = both wants more than 0",
    ]


def test_missing_keys_are_named_beside_wrong_ones() -> None:
    message = message_of({"updates": 0, "data": {"workers": -1}})
    assert message.startswith("run.toml: 5 keys are wrong:\n")
    for expected in (
        "model is missing: a table [model] with the sizes, or extends",
        'data.train is missing: data sets to learn from, as in train = ["train.jsonl"]',
        'data.dev is missing: the data set that is validated on, as in dev = "dev.jsonl"',
        "updates is 0, wants at least 1",
        "data.workers is -1, wants at least 0",
    ):
        assert f"    run.toml: {expected}" in message


def test_one_fault_is_one_line() -> None:
    tree = {"model": {}, "data": {"train": ["a"], "dev": 3}}
    assert message_of(tree) == "run.toml: data.dev is 3, wants a string or a table"
    assert tree["data"]["dev"] == 3  # type: ignore[index]


FILES = {"train": ["a"], "dev": "b"}


def test_keys_of_an_encoder_are_checked_as_all_others() -> None:
    encoder = {"family": "conformer", "sise": 3, "norm": "batch", "subsampling": 6, "chunk_ms": 100}
    tree = {"model": {"encoder": encoder, "prediction": {"family": "stateless"}}, "data": FILES}
    _, *lines = message_of(tree).splitlines()
    assert [line.strip() for line in lines] == [
        "run.toml: unknown key model.encoder.sise (did you mean model.encoder.size?)",
        "run.toml: model.encoder.norm is 'batch', wants rms, layer",
        "run.toml: encoder: chunk_ms is 100, wants a multiple of an encoder frame, 60 ms",
    ]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            {"model": {"encoder": {"family": "rnn"}}},
            "encoder is of the family 'rnn', wants lstm or ",
        ),
        ({"loss": {"ctc": {"schedule": "liner"}}}, "loss.ctc.schedule is 'liner': Invalid value"),
    ],
)
def test_a_wrong_tag_is_one_fault(table: dict[str, Any], said: str) -> None:
    (line,) = message_of({"model": {}, "data": FILES, **table}).splitlines()
    assert line.startswith(f"run.toml: {said}")


def _needed(kind: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for field in msgspec.structs.fields(kind):
        if field.required:
            yield (*path, field.name)


def test_what_is_said_of_missing_keys_covers_all_that_are_required() -> None:
    assert set(REQUIRED) == {*_needed(Config, ()), *_needed(Data, ("data",))}


def test_a_list_of_tables_keeps_the_good_ones() -> None:
    tree = {"model": {}, "data": {"dev": "d", "train": [{"manifest": "a"}, {"manifst": "b"}]}}
    message = message_of(tree)
    assert "unknown key data.train[1].manifst (did you mean data.train[1].manifest?)" in message


def test_a_dev_set_may_be_a_table() -> None:
    tree = {"model": {}, "data": {"train": ["a"], "dev": {"myrtle": "d.json", "root": "/data"}}}
    source = checked(tree, lambda key: "run.toml").data.dev_source
    assert (source.format, source.location, source.root) == ("myrtle", "d.json", "/data")
    tree["data"]["dev"]["rot"] = "/"  # type: ignore[index]
    assert "unknown key data.dev.rot (did you mean data.dev.root?)" in message_of(tree)
