"""POST /transcribe: a recording in a form, its text and timed words as JSON.

    curl -F file=@recording.wav http://localhost:3030/transcribe

The file is the part named `file`, or `audio` as other small servers have it. The caller uploads,
decodes and sends.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stream.transcripts.transcript import Transcript

FILE_FIELDS = ("file", "audio")


def answer(filename: str, transcript: Transcript, notes: Sequence[str] = ()) -> bytes:
    """Return the JSON for a complete transcript: one chunk per word, times in seconds.

    Args:
        filename: from the client.
        transcript: of the recording.
        notes: on the recording; "warnings", if there are any.
    """
    name = filename.encode(errors="replace").decode()  # JSON has no lone surrogates
    chunks = [{"text": word.text, "timestamp": [word.start, word.end]} for word in transcript.words]
    warnings = {"warnings": notes} if notes else {}
    body = {"filename": name, "text": transcript.text, "chunks": chunks}
    return msgspec.json.encode(body | warnings)


def fault(detail: str) -> bytes:
    """Return the JSON of an error."""
    return msgspec.json.encode({"detail": detail})
