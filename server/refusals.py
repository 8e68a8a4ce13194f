"""Refusals: why a request is not served, mostly raised; `server.http.app` answers with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Refusal(Exception):
    """A request that is not granted.

    Attributes:
        status: of HTTP.
        text: one sentence for the client.
        reason: the label under which metrics and the log count it, one of a few words.
        headers: that the status requires.
        param: the field or key at fault, where there is one.
        code: OpenAI's error code, for programs.
        logged: the log's text where `text` holds words of the client.
    """

    status: int
    text: str
    reason: str = "request"
    headers: Mapping[str, str] = field(default_factory=dict)
    param: str | None = None
    code: str | None = None
    logged: str | None = None

    __hash__ = Exception.__hash__  # asyncio keeps exceptions in sets

    def __str__(self) -> str:
        return self.text


def quoted(value: str) -> str:
    """Return a peer's value for a message: short, and without control characters."""
    return repr(value[:100])
