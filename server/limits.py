"""Limits of one server process, as one frozen value.

Bytes of audio are of 16-bit PCM, 32,000 per second. At a limit the socket is not read (backpressure), or
the stream is refused or closed with a reason; audio is never dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one server process.

    Attributes:
        message_bytes: largest websocket message; a larger one closes the stream with 1009.
        upload_bytes: largest body of an upload, as it is sent; a larger one is refused with 413.
        upload_seconds: for receiving the body of an upload; a slower one is refused with 408.
        spool_bytes: on disk, of all uploads together; what does not fit is refused with 507.
        recording_seconds: longest recording of an upload; a longer one is refused with 413.
        unanswered_bytes: audio of a stream without a response; at this many its socket is not read
            until responses were sent. One more message may be on its way.
        hotwords: of a stream.
        hotword_characters: of each.
        audio_rate: seconds of audio that a client may send per second; one that sends faster is
            read more slowly.
        burst_seconds: of audio that it may send at once before that counts.
        handshake_seconds: from the connection to the end of its first request, and between two
            requests.
        idle_seconds: an open stream without any message is closed after it.
        stream_seconds: a stream that has lasted so long is ended as if by its client; an upload
            that is not recognised after so long is refused.
        stall_seconds: a stream whose client does not read its responses is closed after it.
        close_seconds: from the Close of the server to that of the peer; then the connection is cut.
        drain_seconds: at shutdown, how long open streams may continue before they are ended for their
            clients, who still get the rest of the text.
    """

    message_bytes: int = 1 << 20  # 32.8 s: a recording may be sent in a few messages
    upload_bytes: int = 1 << 30  # an hour and a half of 48 kHz, stereo, 16 bits
    upload_seconds: float = 900.0  # 1 GiB at 10 Mbit/s
    spool_bytes: int = 4 << 30
    recording_seconds: float = 4 * 3600.0  # an hour at the default audio rate
    unanswered_bytes: int = 320_000  # 10 s
    hotwords: int = 100
    hotword_characters: int = 50
    audio_rate: float = 4.0
    burst_seconds: float = 30.0
    handshake_seconds: float = 10.0
    idle_seconds: float = 60.0
    stream_seconds: float = 6 * 3600.0
    stall_seconds: float = 10.0
    close_seconds: float = 5.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"limit {field.name} is {value}; it has to be greater than 0")

    def wait_seconds(self, audio_seconds: float, elapsed: float) -> float:
        """Return how long a client that sent so much audio in a time has to wait; not at all if <= 0."""
        return (audio_seconds - self.burst_seconds) / self.audio_rate - elapsed
