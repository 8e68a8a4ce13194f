"""What Deepgram's answers have in common, live and for recordings: words, alternatives, metadata, errors."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from server.adapters.deepgram.options import Options
from server.refusals import Refusal
from stream.transcripts.transcript import TimedWord

PATH = "/v1/listen"
ARCH = "rill"
REQUEST_ID, ERROR = "dg-request-id", "dg-error"  # headers of every answer, and of a refusal
CODES: Mapping[int, str] = MappingProxyType(
    {
        400: "Bad Request",
        401: "INVALID_AUTH",
        403: "FORBIDDEN",
        429: "TOO_MANY_REQUESTS",
        503: "Service Unavailable",
    }
)


@dataclass(frozen=True)
class Request:
    """What answers say about a request.

    Attributes:
        id: of the request, also in the log.
        time: of its arrival, with its zone.
        model: that is served.
        options: that the client asked for.
    """

    id: str
    time: datetime
    model: str
    options: Options

    @property
    def model_id(self) -> str:
        """A UUID of the model's name, for clients that group results by it."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{ARCH}:{self.model}"))

    @property
    def model_info(self) -> dict[str, str]:
        """The model, as Deepgram describes one."""
        return {"name": self.model, "version": "latest", "arch": ARCH}

    def metadata(self, sha256: str, duration: float, channels: int) -> dict[str, Any]:
        """Return the summary of all audio: its digest, seconds and channels."""
        summary: dict[str, Any] = {
            "transaction_key": "deprecated",
            "request_id": self.id,
            "sha256": sha256,
            "created": self.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "duration": round(duration, 4),
            "channels": channels,
            "models": [self.model_id],
            "model_info": {self.model_id: self.model_info},
        }
        if self.options.without_effect:
            summary["warnings"] = self.options.warnings
        return summary


def alternative(text: str, words: Sequence[TimedWord]) -> dict[str, Any]:
    """Return the one alternative of a result; its confidence is the mean of the words'."""
    confidences = [word.confidence for word in words]
    return {
        "transcript": text,
        "confidence": round(math.fsum(confidences) / len(words), 4) if words else 0.0,
        "words": [describe(word) for word in words],
    }


def describe(word: TimedWord) -> dict[str, Any]:
    """Return a word; it has no punctuation, so `punctuated_word` is the same."""
    return {**word.describe(), "punctuated_word": word.text}


def error(refusal: Refusal, request_id: str) -> bytes:
    """Return the body of an error."""
    code = CODES.get(refusal.status, refusal.reason)
    body = {"err_code": code, "err_msg": refusal.text, "request_id": request_id}
    return msgspec.json.encode(body)
