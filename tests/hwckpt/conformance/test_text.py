"""Vectors of texts: every wanted value counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hwckpt.conformance.vector_files import passes
from tests.places import VECTORS

pytest.importorskip("inflect")


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value that a text file wants, inputs aside."""
    if isinstance(content, dict):
        for key in content.keys() - {"input", "pairs_hyp_ref", "gt", "pred", "subwords", "frames"}:
            yield from leaves(content[key], (*path, key))
    elif isinstance(content, list):
        for index, item in enumerate(content):
            yield from leaves(item, (*path, index))
    else:
        yield path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text_v1.4.0.json", "text_v1.14.0.json"])
def test_every_part_of_a_text_file_counts(name: str, tmp_path: Path) -> None:
    text = (VECTORS / name).read_text("utf-8")
    parts: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for path in leaves(json.loads(text)):
        parts[tuple(key for key in path if isinstance(key, str))] = path
    assert len(parts) > 4
    for path in parts.values():
        content = json.loads(text)
        place = content
        for key in path[:-1]:
            place = place[key]
        value = place[path[-1]]
        # Letters of a charset stay what they are; without the last one, outputs change.
        place[path[-1]] = value[:-1] + "!" if isinstance(value, str) else value + 1
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
        assert not passes(tmp_path), path
