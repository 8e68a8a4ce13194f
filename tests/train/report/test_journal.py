"""The journal: JSON lines that survive a kill, and the same for loggers, whose faults stop nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.report.journal import Journal


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Recorder:
    """A logger that remembers, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.error = error

    def _record(self, *call: Any) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(call)

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        self._record("scalars", update, dict(values))

    def text(self, update: int, name: str, text: str) -> None:
        self._record("text", update, name, text)

    def histogram(self, update: int, name: str, values: np.ndarray) -> None:
        self._record("histogram", update, name, values.tolist())

    def file(self, path: Path) -> None:
        self._record("file", path)

    def flush(self) -> None:
        self._record("flush")

    def close(self, *, finished: bool) -> None:
        self._record("close", finished)


def test_metrics_are_json_lines_and_flat_for_loggers(tmp_path: Path) -> None:
    logger = Recorder()
    journal = Journal(tmp_path, 0, [logger])
    journal.write(10, loss=2.5, epoch=None)
    journal.write(20, wer={"hard": {"all": 0.5}})
    journal.text(20, "validation", "said")
    journal.histogram(20, "weights/output", np.ones(2, np.float32))
    journal.file(tmp_path / "config.json")
    journal.close(finished=False)
    assert lines(tmp_path) == [
        {"schema": "rill.metrics/1", "update": 10, "loss": 2.5},
        {"schema": "rill.metrics/1", "update": 20, "wer": {"hard": {"all": 0.5}}},
    ]
    assert logger.calls == [
        ("scalars", 10, {"loss": 2.5}),
        ("scalars", 20, {"wer/hard/all": 0.5}),
        ("text", 20, "validation", "said"),
        ("histogram", 20, "weights/output", [1.0, 1.0]),
        ("file", tmp_path / "config.json"),
        ("close", False),
    ]


def test_a_logger_that_fails_is_reported_once_and_stops_nothing(tmp_path: Path) -> None:
    reported: list[str] = []
    broken, sound = Recorder(ConnectionError("no route to host")), Recorder()
    journal = Journal(tmp_path, 0, [broken, sound], reported.append)
    for update in (10, 20):
        journal.write(update, loss=1.0)
    journal.close()
    assert reported == ["not logged: Recorder: ConnectionError: no route to host"]
    assert len(lines(tmp_path)) == 2
    assert [call[0] for call in sound.calls] == ["scalars", "scalars", "close"]


def test_resuming_cuts_off_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    for update in (10, 20, 30):
        journal.write(update, loss=1.0)
    journal.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"update": 4')  # as a kill leaves it
    journal = Journal(tmp_path, 20)
    journal.write(30, loss=2.0)
    journal.close()
    assert [(line["update"], line["loss"]) for line in lines(tmp_path)] == [
        (10, 1.0),
        (20, 1.0),
        (30, 2.0),
    ]


def test_a_value_that_is_not_finite_is_null(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    journal.write(10, gradient_norm=float("nan"), rate=float("inf"))
    journal.close()
    assert lines(tmp_path)[0] == {
        "schema": "rill.metrics/1",
        "update": 10,
        "gradient_norm": None,
        "rate": None,
    }


@pytest.mark.parametrize("torn", [b"{", b"\0\0\0\0", b'{"schema":"rill"}', b"\xff\xfe", b"12"])
def test_lines_around_a_torn_one_are_kept(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    good = b'{"schema":"rill.metrics/1","update":10,"loss":1.0}\n'
    path.write_bytes(good + torn)
    Journal(tmp_path, 100).close()
    assert path.read_bytes() == good
    path.write_bytes(torn + b"\n" + good)
    Journal(tmp_path, 100).close()
    assert path.read_bytes() == good


def test_a_journal_that_is_opened_again_is_never_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"schema":"rill.metrics/1","update":10,"loss":1.0}\n')
    before = path.read_bytes()

    def killed(self: Path, target: Path) -> Path:
        assert path.read_bytes() == before
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        Journal(tmp_path, 5)
    assert path.read_bytes() == before


def test_a_synchronised_journal_has_its_loggers_write_what_waits(tmp_path: Path) -> None:
    logger = Recorder()
    with contextlib.closing(Journal(tmp_path, 0, [logger])) as journal:
        journal.sync()
    assert logger.calls[0] == ("flush",)


def test_a_line_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with contextlib.closing(Journal(tmp_path, 0)) as journal:
        journal.write(10, loss=1.0)
        assert lines(tmp_path)[0]["update"] == 10
