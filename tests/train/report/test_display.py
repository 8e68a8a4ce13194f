"""What a run shows and writes down."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from train.report import display as progress
from train.report.display import BARS, Display, Journal, sparkline


def test_a_sparkline_goes_from_lowest_to_highest_and_keeps_its_width() -> None:
    assert sparkline([]) == ""
    assert sparkline([3.0, 3.0]) == BARS[0] * 2
    assert sparkline([0.0, 1.0]) == BARS[0] + BARS[-1]
    line = sparkline([float(n) for n in range(1000)], width=40)
    assert len(line) <= 40
    assert list(line) == sorted(line)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_are_json_lines_and_tensorboard_events(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    journal.write(10, loss=2.5)
    journal.write(20, wer={"hard": {"all": 0.5}})
    journal.close()
    assert lines(tmp_path) == [
        {"schema": "rill.metrics/1", "update": 10, "loss": 2.5},
        {"schema": "rill.metrics/1", "update": 20, "wer": {"hard": {"all": 0.5}}},
    ]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [e.value for e in events.Scalars("loss")] == [2.5]
    assert [(e.step, e.value) for e in events.Scalars("wer/hard/all")] == [(20, 0.5)]


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


def test_without_a_terminal_validations_are_plain_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Display("run", 100, 0) as display:
        display.update(1, 5.0, 1e-3, 100.0)
        display.say("update 1   hard WER %: all 50.0")
    assert capsys.readouterr().err == "update 1   hard WER %: all 50.0\n"


def test_without_a_terminal_updates_are_lines_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    with Display("run", 100, 0) as display:
        for n in range(25):
            clock += 1.0
            display.update(n, 5.0, 1e-3, 100.0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["10", "21"]
    assert "loss   5.000   rate 1.00e-03     100 x real time" in lines[0]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm-256color"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_progress_loss_rate_and_scores(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Display("bundled", 100, 40) as display:
        for n in range(20):
            display.update(41 + n, 9.0 - 0.1 * n, 1e-3, 123.0)
        display.say("update 60   hard WER %: all 50.0   best")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    for text in ("bundled", "60/100", "loss   7.100", "1.00e-03", "123 x real time", "best"):
        assert text in shown
    assert BARS[-1] in shown and BARS[0] in shown


@pytest.mark.usefixtures("terminal")
def test_a_terminal_has_its_cursor_back_after_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(FloatingPointError), Display("run", 10, 0) as display:
        display.update(1, 5.0, 1e-3, 1.0)
        raise FloatingPointError
    shown = capsys.readouterr().err
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


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


def test_a_synchronised_journal_has_its_events_in_their_file(tmp_path: Path) -> None:
    with contextlib.closing(Journal(tmp_path, 0)) as journal:
        journal.write(10, loss=1.0)
        (events,) = (tmp_path / "events").iterdir()
        before = events.stat().st_size
        journal.sync()
        assert events.stat().st_size > before


def test_a_line_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with contextlib.closing(Journal(tmp_path, 0)) as journal:
        journal.write(10, loss=1.0)
        assert lines(tmp_path)[0]["update"] == 10
