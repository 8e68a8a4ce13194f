r"""Deepgram's live transcription (GET /v1/listen), as a dialect. Options: `server.adapters.deepgram.options`.

Audio is binary, in the encoding of the query, or in a container where that gives none. Everything else is
JSON text. Rules:

1. A Results message has the text since the last one with `is_final`. With `interim_results` one is sent
   whenever that text changes; the final one comes where the engine ends an utterance, at Finalize and at
   the end. Times count from the beginning of the stream; a word's are exact once it is final.
2. `speech_final` marks a pause: an utterance that ended by itself, unless endpointing=false. A stretch
   without any text gets no message.
3. SpeechStarted (`vad_events`) precedes the first text of an utterance. UtteranceEnd follows when no new
   text came for `utterance_end_ms` after the last word of a final result.
4. Finalize restarts the engine's stream, so that all text of the audio before it is in one result, with
   `from_finalize`, even if there is none.
5. CloseStream, or an empty binary message, ends the stream: the final result, Metadata, Close 1000.
6. KeepAlive is a sign of life. Without one, or audio, the stream is idle: Close 1011, NET-0001.
7. Configure is refused (ConfigureFailure): what it changes has to be in the query here.
8. Text that is none of these gets an Error message and Close 1008. Audio that cannot be decoded closes with
   1008, DATA-0000.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from server.adapters.deepgram.messages import Request, alternative
from server.adapters.deepgram.options import ENCODINGS, OPUS
from server.protocol.states import Close, State, short_close
from server.protocol.stream import Dialect, StreamProtocol
from server.protocol.utterances import Utterance, Utterances
from stream.audio import Mixer, as_float
from stream.audio.opus.decoder import RATE, Opus
from stream.audio.opus.framing import OpusError, framing_of
from stream.engine.engine import Result

CHANNEL, CHANNELS = 0, 1  # of the text: those of the audio are mixed
NO_CONFIGURE = "CONFIGURE_KEYTERMS_NOT_SUPPORTED"


class _Message(msgspec.Struct):
    type: str
    channel: int = 0


class Listen(Dialect):
    """One live stream.

    Args:
        request: what was asked for.
        silence: seconds without text that end an utterance unless the client says otherwise; None:
            they do not.
    """

    end = 'the text message {"type": "CloseStream"}'

    def __init__(self, request: Request, silence: float | None = None) -> None:
        self._request = request
        self._options = options = request.options
        self._encoding = ENCODINGS.get(options.encoding or "")
        framing = OPUS.get(options.encoding or "")
        self._opus = Opus(framing()) if framing else None
        self.rate = options.rate if self._encoding else RATE
        self._mixer = Mixer()
        self._digest = hashlib.sha256()
        self._utterances = Utterances()
        self._finalizing = 0  # restarts whose last result is still to come
        self._last_word_end = 0.0
        self._utterance_end_at: float | None = None  # rule 3
        # A pause that is longer than UtteranceEnd's would leave nothing final for it to follow.
        self._silence = options.silence
        if self._silence is None and options.utterance_end is not None:
            self._silence = min(options.utterance_end, silence or options.utterance_end)

    def begin(self, stream: StreamProtocol) -> None:
        """Set how long the pauses are."""
        if self._silence is not None:
            stream.end_after(self._silence)

    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        """Take audio; rule 5."""
        if stream.state is not State.OPEN:
            return
        if not message:
            stream.receive_end()
            return
        self._digest.update(message)
        if self._encoding is None:
            self._decode_opus(stream, message)
            return
        channels = self._options.channels
        whole = stream.whole_frames(message, channels * self._encoding.sample_bytes)
        samples = self._encoding.decode(whole)
        if channels > 1:
            samples = self._mixer.mix(as_float(samples).reshape(-1, channels))
        stream.push(samples)

    def _decode_opus(self, stream: StreamProtocol, message: bytes) -> None:
        """Push Opus, whose container the first message shows."""
        try:
            if self._opus is None:
                framing = framing_of(message)
                if framing is None:
                    raise OpusError("is neither Ogg nor WebM; give its encoding in the query")
                self._opus = Opus(framing)
            stream.push(self._opus.decode(message))
        except (OpusError, ImportError) as error:
            fault = str(error) if isinstance(error, OpusError) else "is Opus, and PyAV is missing"
            stream.close(1008, f"DATA-0000: the audio {fault}")

    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        """Take a control message; rules 4 to 8."""
        if stream.state is not State.OPEN:
            return
        try:
            message = msgspec.json.decode(text, type=_Message)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            self._refuse(stream, text, f"the message cannot be read: {error}")
            return
        match message.type:
            case "KeepAlive":
                pass
            case "Finalize" if message.channel == CHANNEL:
                self._finalizing += 1
                stream.restart()
            case "CloseStream":
                stream.receive_end()
            case "Configure":
                self._send(
                    stream,
                    "ConfigureFailure",
                    request_id=self._request.id,
                    code=NO_CONFIGURE,
                    description="keyterms and formatting are set in the query",
                )
            case "Finalize":
                self._refuse(stream, text, f"channel is {message.channel}; there is {CHANNEL}")
            case _:
                want = "KeepAlive, Finalize or CloseStream"
                self._refuse(stream, text, f"type is {message.type[:100]!r}; want {want}")

    def send_result(self, stream: StreamProtocol, result: Result) -> None:
        """Send what a result adds, and what its time brings."""
        speaking = self._utterances.speaking
        utterance = self._utterances.add(result, stream.offset)
        if utterance is not None:
            if utterance.text and not speaking:
                self._begin_speech(stream, utterance)
            if utterance.final:
                self._send_final(stream, utterance, result.last)
            elif self._options.interim:
                self._send_results(stream, utterance)
        if stream.state is State.CLOSED:
            digest, channels = self._digest.hexdigest(), self._options.channels
            summary = self._request.metadata(digest, stream.audio_seconds, channels)
            self._send(stream, "Metadata", **summary)
        elif not self._utterances.speaking:
            self._look_for_utterance_end(stream, stream.offset + result.end)

    def idle_close(self, seconds: float) -> Close:
        """Return Deepgram's Close for a client that has sent nothing for so long."""
        return short_close(1011, f"NET-0001: no audio and no KeepAlive for {seconds:g} s")

    def _begin_speech(self, stream: StreamProtocol, utterance: Utterance) -> None:
        self._utterance_end_at = None
        if self._options.speech_events:
            start = utterance.words[0].start if utterance.words else utterance.start
            self._send(stream, "SpeechStarted", channel=[CHANNEL, CHANNELS], timestamp=start)

    def _send_final(self, stream: StreamProtocol, utterance: Utterance, last: bool) -> None:
        """Send a final result; a stretch without text has one only at the end of a stream."""
        asked = last and self._finalizing > 0 and stream.state is not State.CLOSED
        self._finalizing -= asked
        if utterance.text or last:
            paused = self._options.pauses and not asked
            self._send_results(stream, utterance, paused, asked)
        if utterance.words:
            self._last_word_end = utterance.words[-1].end
            if self._options.utterance_end is not None:
                self._utterance_end_at = self._last_word_end + self._options.utterance_end

    def _look_for_utterance_end(self, stream: StreamProtocol, now: float) -> None:
        if self._utterance_end_at is not None and now >= self._utterance_end_at:
            self._utterance_end_at = None
            end = self._last_word_end
            self._send(stream, "UtteranceEnd", channel=[CHANNEL, CHANNELS], last_word_end=end)

    def _send_results(
        self,
        stream: StreamProtocol,
        utterance: Utterance,
        paused: bool = False,
        asked: bool = False,
    ) -> None:
        self._send(
            stream,
            "Results",
            channel_index=[CHANNEL, CHANNELS],
            duration=round(utterance.end - utterance.start, 4),
            start=utterance.start,
            is_final=utterance.final,
            speech_final=paused,
            channel={"alternatives": [alternative(utterance.text, utterance.words)]},
            metadata={
                "request_id": self._request.id,
                "model_info": self._request.model_info,
                "model_uuid": self._request.model_id,
            },
            from_finalize=asked,
        )

    def _refuse(self, stream: StreamProtocol, text: str, reason: str) -> None:
        self._send(
            stream,
            "Error",
            variant="SchemaError",
            description=reason,
            message=text[:100],
        )
        stream.close(1008, reason)

    def _send(self, stream: StreamProtocol, kind: str, **fields: Any) -> None:
        stream.send(msgspec.json.encode({"type": kind, **fields}).decode())
