"""The configuration of data sets: tables and paths, and values that contradict each other."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from train.config.data import KEYS, Data, Source
from train.data.formats.table import FORMATS

REST = {"dev": "dev.jsonl", "tokenizer": "t.model", "statistics": "s.npz"}


def data(**values: Any) -> Data:
    return msgspec.convert({"train": ["a.jsonl"], **REST, **values}, Data)


def test_a_data_set_is_a_path_or_a_table() -> None:
    both = data(train=["a.jsonl", {"shards": "b-{0..9}.tar", "weight": 2.0, "root": "/r"}])
    first, second = both.sources
    assert (first.location, first.format, first.weight) == ("a.jsonl", None, 1.0)
    assert (second.location, second.format, second.weight) == ("b-{0..9}.tar", "shards", 2.0)
    assert msgspec.convert(msgspec.to_builtins(both), Data) == both


def test_there_is_a_key_for_every_format() -> None:
    assert set(KEYS) == {"path", *FORMATS}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "a data set wants one of path, manifest, .*; has 0"),
        ({"cuts": "a", "folder": "b"}, "has 2"),
        ({"path": "a", "weight": 0.0}, "weight 0.0, wants more than 0"),
        ({"path": "a", "wieght": 1.0}, "unknown field `wieght`"),
    ],
)
def test_a_table_that_names_none_or_two_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(table, Source)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_seconds": -1.0}, "data.min_seconds is -1.0"),
        ({"min_seconds": 5.0, "max_seconds": 5.0}, "less than max_seconds"),
        ({"workers": -1}, "data.workers is -1, wants at least 0"),
        ({"skip_share": 2.0, "cache": "none"}, "data.skip_share is 2.0, wants 0 to 1"),
        ({"on_error": "skip"}, 'wants data.cache = "disk" or "none"'),
        ({"cache": "tape"}, "Invalid enum value 'tape'"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        data(**values)


def test_without_a_limit_utterances_are_as_long_as_they_are() -> None:
    assert data().longest == math.inf
    assert data(max_seconds=16.7).longest == 16.7
