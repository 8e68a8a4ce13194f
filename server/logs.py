"""Logs: one line per event on stderr, as text or as JSON.

A JSON line has `time` (RFC 3339, UTC), `level`, `logger`, `message`, `error` with the traceback where
there is one, and the fields of the event (`extra={"fields": {...}}`). A line of text has the fields
after the message, as key=value; values with spaces or quotes are quoted as in JSON.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

OURS = ("server", "stream")
PLAIN = re.compile(r"[!#-<>-~]+")  # no space, quote, equals sign or control character


class JsonFormatter(logging.Formatter):
    """Writes a record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class TextFormatter(logging.Formatter):
    """Writes a record as a line of text, followed by its traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = getattr(record, "fields", {}).items()
        said = (f" {key}={_plain(value)}" for key, value in fields if value is not None)
        return super().formatMessage(record) + "".join(said)


def _plain(value: object) -> str:
    text = str(value)
    return text if PLAIN.fullmatch(text) else msgspec.json.encode(text).decode()


FORMATS: dict[str, Callable[[], logging.Formatter]] = {
    "text": TextFormatter,
    "json": JsonFormatter,
}
LEVELS = ("debug", "info", "warning", "error")


def start_logging(format_name: str, level: str = "info") -> None:
    """Send the logs of the process to stderr.

    Args:
        format_name: one of `FORMATS`.
        level: one of `LEVELS`, for this project's loggers; that of libraries is at least info.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[format_name]())
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler])
    logging.captureWarnings(True)  # such as aiohttp's, about invalid forms
    for name in OURS:
        logging.getLogger(name).setLevel(number)
