"""Logs: one line per event on stderr, for people as text or for machines as JSON.

A JSON line has `time` (RFC 3339, UTC), `level`, `logger`, `message`, `error` with the traceback where
there is one, and whatever fields the event was logged with (`extra={"fields": {...}}`).
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ["FORMATS", "JsonFormatter", "start_logging"]


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


FORMATS = {
    "text": lambda: logging.Formatter("%(asctime)s %(levelname)s %(message)s"),
    "json": JsonFormatter,
}


def start_logging(format_name: str) -> None:
    """Send the logs of the process to stderr, in one of `FORMATS`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[format_name]())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)  # such as aiohttp's, about forms that are none
