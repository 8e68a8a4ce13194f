"""What a run shows, on a terminal and elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest

from train.report import display as progress
from train.report.display import BARS, Display, Progressed, Validated, percent, sparkline


def test_a_sparkline_goes_from_lowest_to_highest_and_keeps_its_width() -> None:
    assert sparkline([]) == ""
    assert sparkline([3.0, 3.0]) == BARS[0] * 2
    assert sparkline([0.0, 1.0]) == BARS[0] + BARS[-1]
    line = sparkline([float(n) for n in range(1000)], width=40)
    assert len(line) <= 40
    assert list(line) == sorted(line)


def shown(update: int, **figures: float) -> Progressed:
    """An update with the given figures."""
    known = {
        "loss": 5.0,
        "per_token": 1.25,
        "rate": 1e-3,
        "norm": 0.8,
        "speed": 100.0,
        "waited": 0.02,
        "hours": 1.5,
    }
    return Progressed(update, **{**known, **figures})


def scored(update: int, wer: float, **more: Any) -> Validated:
    """A validation of hard activations."""
    errors = {"substitutions": wer - 0.1, "deletions": 0.1, "insertions": 0.0}
    known = {"best": False, "loss": 2.5, "late": (-20.0, 80.0)}
    return Validated(update, "hard", {"all": wer, "an4": 2.0}, errors, **{**known, **more})


def test_values_that_are_not_finite_are_left_out_of_a_sparkline() -> None:
    assert sparkline([1.0, float("nan"), 2.0, float("inf")]) == BARS[0] + BARS[-1]


def test_an_error_rate_above_all_words_is_only_said_to_be_so() -> None:
    assert [percent(share) for share in (0.0, 0.316, 1.0, 1.001, 41.9, float("inf"))] == [
        "0.0", "31.6", "100.0", ">100", ">100", ">100",
    ]  # fmt: skip


def test_without_a_terminal_validations_are_plain_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Display("run", 100, 0) as display:
        display.update(shown(1))
        display.doing("validating")
        display.validated([scored(1, 0.5)], ("yes", "no"))
        display.say("update 1   ends")
    assert capsys.readouterr().err == (
        "update 1   hard WER %: all 50.0, an4 >100 (S 40.0, D 10.0, I 0.0)   loss 2.500   "
        "words -20 ms late, p90 80\nupdate 1   ends\n"
    )


def test_without_a_terminal_updates_are_lines_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    with Display("run", 100, 0) as display:
        for n in range(25):
            clock += 1.0
            display.update(shown(n, epoch=0.25, skipped_updates=n // 20))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["10/100", "21/100"]
    assert "loss 5.000, 1.250 a token   rate 1.00e-03   gradient 0.8" in lines[0]
    assert "100 s of audio a second   waiting for data 2 %   1.5 h heard   epoch 0.25" in lines[0]
    assert "skipped" not in lines[0] and "skipped: 1 update   " in lines[1]


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
            display.update(shown(41 + n, per_token=9.0 - 0.1 * n, speed=123.0, memory=2.5))
        display.validated([scored(50, 0.6, late=None)])
        display.validated([scored(60, 0.5, best=True), scored(60, 0.7)], ("stop", "[bold]top"))
        display.say("update 60   ends")
        display.doing("validating on 3 recordings")
    seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    for text in (
        "bundled", "60/100", "loss 5.000, 7.100 a token", "1.00e-03", "123 s of audio a second", "2.5 GB",
        "WER 50.0 %, best 50.0 %", "update 60   ends", "said   stop", "heard  [bold]top", "validating on 3 recordings",
    ):  # fmt: skip
        assert text in seen
    rows = [line.split() for line in seen.splitlines() if "hard" in line][-3:]
    assert rows == [
        ["50", "hard", "60.0", ">100", "50.0", "10.0", "0.0", "2.500"],
        ["60", "hard", "50.0", ">100", "40.0", "10.0", "0.0", "2.500", "-20", "80", "best"],
        ["60", "hard", "70.0", ">100", "60.0", "10.0", "0.0", "2.500", "-20", "80"],
    ]
    assert BARS[-1] in seen and BARS[0] in seen


@pytest.mark.usefixtures("terminal")
def test_a_resumed_run_shows_the_curves_of_before(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("run", 100, 40) as display:
        display.begin([8.0, 4.0, -1.0, float("nan"), 2.0], [2.0, 0.5])
        display.update(shown(41, per_token=1.0))
    seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert f"gradient 0.8   {sparkline([3.0, 2.0, 1.0, 0.0])}" in seen  # of logarithms
    assert f"WER 50.0 %, best 50.0 %   {sparkline([1.0, 0.5])}" in seen


@pytest.mark.usefixtures("terminal")
def test_a_terminal_has_its_cursor_back_after_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(FloatingPointError), Display("run", 10, 0) as display:
        display.update(shown(1))
        raise FloatingPointError
    seen = capsys.readouterr().err
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
