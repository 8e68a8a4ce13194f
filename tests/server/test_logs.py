from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from server.logs import FORMATS, JsonFormatter


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("server.http.app", logging.INFO, "app.py", 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


def test_a_json_line_has_message_and_fields() -> None:
    line = JsonFormatter().format(
        record("stream of %s ended\n", "peer", fields={"close": 1000, "audio_seconds": 1.2})
    )
    assert "\n" not in line
    got = json.loads(line)
    assert got.pop("time").endswith("+00:00")
    assert got == {
        "level": "info",
        "logger": "server.http.app",
        "message": "stream of peer ended\n",
        "close": 1000,
        "audio_seconds": 1.2,
    }


def test_an_exception_is_one_line_too() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        failed = record("a request failed", exc_info=sys.exc_info())
    line = JsonFormatter().format(failed)
    assert "\n" not in line
    assert "ValueError: broken" in json.loads(line)["error"]


def test_text_is_for_people() -> None:
    assert FORMATS["text"]().format(record("port %d", 3030)).endswith("INFO port 3030")


def test_a_line_of_text_has_the_fields_too_and_stays_one_line() -> None:
    fields = {"status": 421, "reason": 'a "b"\n=c', "path": "/x", "close": None}
    line = FORMATS["text"]().format(record("request", fields=fields))
    assert line.endswith(r"""INFO request status=421 reason="a \"b\"\n=c" path=/x""")


@pytest.mark.parametrize("level, shown", [("debug", True), ("info", False)])
def test_debug_is_of_ours_only(level: str, shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    program = (
        "import logging; from server.logs import start_logging; "
        f"start_logging('text', {level!r}); "
        "logging.getLogger('server.http.app').debug('ours'); "
        "logging.getLogger('asyncio').debug('theirs')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=True
    )
    assert ("ours" in run.stderr) == shown
    assert "theirs" not in run.stderr
