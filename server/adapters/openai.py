r"""OpenAI's POST /v1/audio/transcriptions and GET /v1/models: bodies and events.

The caller uploads, decodes and sends. The text comes as a `stream.transcripts.transcript.Transcript`.

What a form may ask for is in `server.adapters.openai_fields`. With `stream` the body is
text/event-stream: deltas that append up to the text, exactly one transcript.text.done, then [DONE].
Deltas carry final text only, since they cannot be revised.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from server.adapters.openai_fields import Transcription, check_model
from server.refusals import Refusal
from stream.engine.engine import Result
from stream.transcripts.captions import srt, vtt
from stream.transcripts.transcript import Piece, Segment, Transcript, pieces_of

FRAMES_PER_SECOND = 100  # the unit of `seek`


@dataclass(frozen=True)
class Answer:
    """A body and its content type."""

    content_type: str
    body: bytes


def answer(
    request: Transcription, transcript: Transcript, language: str = "en", notes: Sequence[str] = ()
) -> Answer:
    """Return the body for a complete transcript; notes on the recording are "warnings" in JSON."""
    match request.response_format:
        case "text":
            return Answer("text/plain; charset=utf-8", f"{transcript.text}\n".encode())
        case "srt":
            body = srt(segment.words for segment in transcript.segments)
            return Answer("application/x-subrip; charset=utf-8", body.encode())
        case "vtt":
            body = vtt(segment.words for segment in transcript.segments)
            return Answer("text/vtt; charset=utf-8", body.encode())
    usage = {"type": "duration", "seconds": round(transcript.duration, 2)}
    fields: dict[str, object] = {"text": transcript.text}
    if request.response_format == "verbose_json":
        fields = {
            "task": "transcribe",
            "language": language,
            "duration": transcript.duration,
        } | fields
        if "segment" in request.granularities:
            fields["segments"] = [_segment(segment) for segment in transcript.segments]
        if "word" in request.granularities:
            fields["words"] = [
                {"word": word.text, "start": word.start, "end": word.end}
                for word in transcript.words
            ]
    if request.log_probabilities:
        fields["logprobs"] = log_probabilities(transcript.pieces)
    return _json(fields | {"usage": usage} | _warnings(notes))


def list_models(models: Sequence[str], owner: str) -> Answer:
    """Return what GET /v1/models answers."""
    return _json({"object": "list", "data": [_model(name, owner) for name in models]})


def describe_model(name: str, models: Sequence[str], owner: str) -> Answer:
    """Return what GET /v1/models/{name} answers, or raise a `Refusal`."""
    check_model(name, models)
    return _json(_model(name, owner))


def error(refusal: Refusal) -> Answer:
    """Return the error object."""
    return _json(_error(refusal))


def error_event(refusal: Refusal) -> str:
    """Return the error object as an event, where a stream of them has begun."""
    return _event(_error(refusal))


class EventStream:
    """The events of one transcription with `stream`.

    Args:
        notes: on the recording, complete after the last result; "warnings" of the last event.

    Attributes:
        transcript: what was said so far.
    """

    content_type = "text/event-stream"

    def __init__(self, request: Transcription, notes: Sequence[str] = ()) -> None:
        self._request = request
        self.transcript = Transcript()
        self._notes = notes
        self._began = False

    def send_result(self, result: Result) -> str:
        """Return the events of a result, "" where there are none."""
        self.transcript.add(result)
        text = result.text if self._began else result.text.lstrip()
        events = ""
        if text:
            self._began = True
            delta: dict[str, object] = {"type": "transcript.text.delta", "delta": text}
            events = self._event(delta, pieces_of(result))
        if result.last:
            usage = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)
            done: dict[str, object] = {"type": "transcript.text.done", "text": self.transcript.text}
            done |= {"usage": {"type": "tokens"} | usage} | _warnings(self._notes)
            events += self._event(done, self.transcript.pieces)
            events += "data: [DONE]\n\n"
        return events

    def _event(self, event: dict[str, object], pieces: Sequence[Piece]) -> str:
        if self._request.log_probabilities:
            event = event | {"logprobs": log_probabilities(pieces)}
        return _event(event)


def _model(name: str, owner: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _error(refusal: Refusal) -> dict[str, object]:
    kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": refusal.text,
            "type": kind,
            "param": refusal.param,
            "code": refusal.code,
        }
    }


def _warnings(notes: Sequence[str]) -> dict[str, object]:
    return {"warnings": notes} if notes else {}


def _segment(segment: Segment) -> dict[str, object]:
    start, end = _bounds(segment)
    encoded = segment.text.encode()
    logs = [piece.log_probability for piece in segment.pieces]
    return {
        "id": segment.number,
        "seek": round(start * FRAMES_PER_SECOND),
        "start": start,
        "end": end,
        "text": segment.text,
        "tokens": [piece.id for piece in segment.pieces],
        "temperature": 0.0,
        "avg_logprob": sum(logs) / max(len(logs), 1),
        "compression_ratio": len(encoded) / len(zlib.compress(encoded)),
        "no_speech_prob": 0.0,
    }


def _bounds(segment: Segment) -> tuple[float, float]:
    """Return when its first word begins and its last one ends."""
    said = [piece for piece in segment.pieces if piece.text]
    return (said[0].start, said[-1].end) if said else (segment.start, segment.end)


def log_probabilities(pieces: Sequence[Piece]) -> list[dict[str, object]]:
    """Return the `logprobs` of tokens; one that completes a character has all of its bytes."""
    return [
        {
            "token": piece.text,
            "bytes": list(piece.text.encode()),
            "logprob": piece.log_probability,
        }
        for piece in pieces
    ]


def _json(body: dict[str, object]) -> Answer:
    return Answer("application/json", msgspec.json.encode(body))


def _event(body: dict[str, object]) -> str:
    return f"data: {msgspec.json.encode(body).decode()}\n\n"
