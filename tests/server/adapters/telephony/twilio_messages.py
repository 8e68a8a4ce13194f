"""Messages as Twilio sends them."""

from __future__ import annotations

import base64
import json
from typing import Any


def message(event: str, **fields: Any) -> str:
    return json.dumps({"event": event, "sequenceNumber": "3", "streamSid": "MZ2a", **fields})


def start(**fields: Any) -> str:
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    given = {"callSid": "CA1f", "tracks": ["inbound"], "mediaFormat": form, "customParameters": {}}
    return message("start", start=given | fields)


def media(seconds: float, track: str = "inbound") -> str:
    payload = base64.b64encode(bytes([0xFF]) * round(8000 * seconds)).decode()
    return message("media", media={"track": track, "chunk": "1", "payload": payload})
