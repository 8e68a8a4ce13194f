"""Deepgram's transcription of recordings (POST /v1/listen): the body of the answer.

The caller uploads, decodes and sends. An utterance is what the engine's endpoints delimit; several channels
were mixed, so there is one.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from server.adapters.deepgram.messages import Request, alternative
from server.adapters.deepgram.options import Options
from server.refusals import Refusal
from stream.transcripts.transcript import Transcript

CHANNELS = 1


def check_recording(options: Options, content_type: str) -> None:
    """Refuse what Deepgram takes in place of a recording in a file: an address, or raw samples."""
    if content_type == "application/json":
        raise Refusal(
            400, "this server fetches no addresses; send the recording itself as the body"
        )
    if options.encoding is not None:
        raise Refusal(
            400,
            f"encoding is {options.encoding!r}, but raw samples are taken live only; send a file that "
            "names its format, such as WAV",
            param="encoding",
        )


def answer(
    request: Request, transcript: Transcript, sha256: str, notes: Sequence[str] = ()
) -> bytes:
    """Return the JSON for a complete transcript.

    Args:
        request: what was asked for.
        transcript: of the recording.
        sha256: of the body.
        notes: on the recording; they are "warnings" too.
    """
    metadata = request.metadata(sha256, transcript.duration, CHANNELS)
    if notes:
        said = [{"type": "recording", "message": note} for note in notes]
        metadata["warnings"] = metadata.get("warnings", []) + said
    results: dict[str, Any] = {
        "channels": [{"alternatives": [alternative(transcript.text, transcript.words)]}]
    }
    if request.options.utterances:
        results["utterances"] = [
            {
                "start": segment.words[0].start,
                "end": segment.words[-1].end,
                "channel": 0,
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{request.id}/{segment.number}")),
                **alternative(segment.text.strip(), segment.words),
            }
            for segment in transcript.segments
            if segment.words
        ]
    return msgspec.json.encode({"metadata": metadata, "results": results})
