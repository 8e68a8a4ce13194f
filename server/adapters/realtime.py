"""OpenAI's realtime transcription (GET /v1/realtime?intent=transcription), as a dialect.

All messages are JSON text. The client appends audio (base64; PCM of 16 bits at 24 kHz, or G.711 at 8
kHz) to a buffer, which becomes an item of the conversation, which is transcribed.

Rules:

1. Turn detection is on at first: an endpoint of the engine, some time without text, commits the item
   if it has text, and begins the next. With turn_detection null only `input_audio_buffer.commit` does
   that, and endpoints have no effect. For other settings see `server.adapters.realtime_settings`.
2. A commit by the client restarts the engine's stream, so that all speech before it belongs to the
   item, and all after it to the next.
3. Deltas append and carry final text only. Each committed item gets exactly one `completed` with
   all of its text.
4. `clear` drops the audio and the text of the uncommitted item.
5. An error of the client is an `error` event; the session continues. There is no message for its end:
   the client closes.
6. The events of the beta (`transcription_session.update`) are supported too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field

import msgspec

from server.adapters.openai import log_probabilities
from server.adapters.realtime_settings import (
    A_LAW,
    MU_LAW,
    NO_SESSION,
    PCM,
    PCM_RATE,
    Mistake,
    Settings,
    decode_session,
)
from server.protocol import encodings
from server.protocol.encodings import decode_base64
from server.protocol.hotwords import BOOST, HotwordError, Speller
from server.protocol.states import State
from server.protocol.stream import Dialect, StreamProtocol
from stream.engine.engine import Result
from stream.stage import Samples
from stream.transcripts.transcript import Piece, pieces_of

ENCODINGS = {PCM: encodings.LINEAR16, MU_LAW: encodings.MU_LAW, A_LAW: encodings.A_LAW}


class _Message(msgspec.Struct):
    type: str
    event_id: str | None = None
    audio: str | None = None
    session: msgspec.Raw = msgspec.Raw(NO_SESSION)


@dataclass
class _Item:
    """A part of the audio, and its text."""

    id: str
    start: float = 0.0  # seconds since the session began
    text: str = ""
    pieces: list[Piece] = field(default_factory=list)


@dataclass
class _Section:
    """The audio of one stream of the engine, up to a commit or clear.

    Attributes:
        item: that the audio belongs to.
        audio: whether some was appended.
        committed: by the client, so that endpoints have no effect any more.
        cleared: none of it is sent.
    """

    item: _Item
    audio: bool = False
    committed: bool = False
    cleared: bool = False

    @property
    def over(self) -> bool:
        """Whether it is over for the client."""
        return self.committed or self.cleared


class Realtime(Dialect):
    """One session.

    Args:
        models: names under which it is served, the first where none is asked for.
        language: that is served, its primary tag.
        speller: of its hotwords.
        silence: seconds without text that end a turn, unless the client sets it.
        session: settings that hold at first, as in a session.update.
    """

    rate = PCM_RATE
    end = "a Close"

    def __init__(
        self,
        models: Sequence[str] = ("general",),
        language: str = "en",
        speller: Speller | None = None,
        silence: float | None = None,
        session: bytes = NO_SESSION,
    ) -> None:
        self._initial = session
        self._speller = speller or Speller()
        self._settings = Settings(models, language, silence)
        self._event_ids = 0
        self._item_ids = 0
        self._previous: str | None = None  # the item that was committed last
        # The engine recognises the first; the client appends to the last.
        self._sections = deque([_Section(self._new_item(0.0))])

    def begin(self, stream: StreamProtocol) -> None:
        """Tell the client what its session is."""
        fault = None
        try:
            self._set(stream, self._initial)
        except Mistake as mistake:  # the model is another one now, or the server
            fault = mistake
        self._send(stream, "session.created", session=self._settings.describe())
        if fault is not None:
            stream.send(self._error(fault))

    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        """Take a binary message, which is a mistake."""
        mistake = Mistake("binary message; append audio as base64 in JSON", "invalid_message")
        stream.send(self._error(mistake))

    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        """Take a client event; rule 5."""
        if stream.state is not State.OPEN:
            return
        event_id = None
        try:
            try:
                message = msgspec.json.decode(text, type=_Message)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise Mistake(f"the message cannot be read: {error}", "invalid_json") from error
            event_id = message.event_id
            self._receive(stream, message)
        except Mistake as mistake:
            stream.send(self._error(mistake, event_id))

    def send_result(self, stream: StreamProtocol, result: Result) -> None:
        """Send what became final, and complete items."""
        if result.silent:
            return
        section = self._sections[0]
        if not section.cleared:
            self._say_text(stream, section, result)
        if result.last:
            if section.committed or (section.item.text and not section.cleared):
                self._complete(stream, section, stream.offset + result.end)
            if len(self._sections) > 1:
                self._sections.popleft()
                self._sections[0].item.start = stream.offset + result.end
        elif result.endpoint and self._settings.turns and section.item.text and not section.over:
            self._complete(stream, section, stream.offset + result.end)
            section.item = self._new_item(stream.offset + result.end)

    def _receive(self, stream: StreamProtocol, message: _Message) -> None:
        match message.type:
            case "session.update" | "transcription_session.update":
                self._set(stream, message.session)
                self._send(stream, f"{message.type}d", session=self._settings.describe())
            case "input_audio_buffer.append":
                samples = self._decode(stream, message.audio)
                self._sections[-1].audio |= len(samples) > 0
                stream.push(samples)
            case "input_audio_buffer.commit":
                section = self._sections[-1]
                if not section.audio:
                    raise Mistake(
                        "the input audio buffer is empty", "input_audio_buffer_commit_empty"
                    )
                section.committed = True
                self._commit(stream, section.item)
                self._restart(stream)
            case "input_audio_buffer.clear":
                if self._sections[-1].audio or stream.ends_within_a_frame:
                    self._sections[-1].cleared = True
                    self._restart(stream)
                self._send(stream, "input_audio_buffer.cleared")
            case _:
                raise Mistake(f"type is {message.type[:100]!r}, which is not understood here")

    def _set(self, stream: StreamProtocol, session: bytes | msgspec.Raw) -> None:
        """Apply settings, all of them or none."""
        asked = decode_session(session)
        settings = copy(self._settings)
        settings.update(asked, stream.has_audio)
        keywords_before, silence = self._settings.keywords, self._settings.silence
        if settings.keywords != keywords_before:
            try:
                keywords = self._speller.spell(dict.fromkeys(settings.keywords, BOOST))
            except HotwordError as error:
                place = "session.audio.input.transcription.keywords"
                raise Mistake(str(error), param=place) from error
            stream.set_hotwords(keywords)
            silence = None  # the engine has opened the stream again
        if settings.silence != silence:
            stream.end_after(settings.silence)
        stream.set_rate(settings.rate)
        self._settings = settings

    def _decode(self, stream: StreamProtocol, audio: str | None) -> Samples:
        """Return appended audio as samples at its rate; half a sample waits for the next."""
        try:
            encoded = decode_base64(audio or "")
        except ValueError as error:
            raise Mistake(f"audio {error}", param="audio") from error
        encoding = ENCODINGS[self._settings.format]
        return encoding.decode(stream.whole_frames(encoded, encoding.sample_bytes))

    def _restart(self, stream: StreamProtocol) -> None:
        self._sections.append(_Section(self._new_item(0.0)))
        stream.restart()

    def _new_item(self, start: float) -> _Item:
        self._item_ids += 1
        return _Item(f"item_{self._item_ids}", start)

    def _say_text(self, stream: StreamProtocol, section: _Section, result: Result) -> None:
        item, pieces = section.item, pieces_of(result)
        item.pieces += pieces
        text = result.text if item.text else result.text.lstrip()
        if not text:
            return
        if not item.text and self._settings.turns and not section.committed:
            begins = stream.offset + result.start - self._settings.padding
            start = round(1000 * max(begins, item.start))
            self._send(
                stream, "input_audio_buffer.speech_started", audio_start_ms=start, item_id=item.id
            )
        item.text += text
        self._send(
            stream,
            "conversation.item.input_audio_transcription.delta",
            item_id=item.id,
            content_index=0,
            delta=text,
            **self._log_probabilities(pieces),
        )

    def _complete(self, stream: StreamProtocol, section: _Section, end: float) -> None:
        """Complete an item, and commit it before if the client has not."""
        item = section.item
        if not section.committed:
            self._send(
                stream,
                "input_audio_buffer.speech_stopped",
                audio_end_ms=round(1000 * end),
                item_id=item.id,
            )
            self._commit(stream, item)
        self._send(
            stream,
            "conversation.item.input_audio_transcription.completed",
            item_id=item.id,
            content_index=0,
            transcript=item.text.strip(),
            usage={"type": "duration", "seconds": round(end - item.start, 2)},
            **self._log_probabilities(item.pieces),
        )

    def _commit(self, stream: StreamProtocol, item: _Item) -> None:
        self._send(
            stream, "input_audio_buffer.committed", previous_item_id=self._previous, item_id=item.id
        )
        self._send(
            stream,
            "conversation.item.added",
            previous_item_id=self._previous,
            item={
                "id": item.id,
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [{"type": "input_audio", "transcript": None}],
            },
        )
        self._previous = item.id

    def _log_probabilities(self, pieces: Sequence[Piece]) -> dict[str, object]:
        return {"logprobs": log_probabilities(pieces)} if self._settings.log_probabilities else {}

    def _error(self, mistake: Mistake, event_id: str | None = None) -> str:
        return self._event(
            "error",
            error={
                "type": "invalid_request_error",
                "code": mistake.code,
                "message": str(mistake),
                "param": mistake.param,
                "event_id": event_id,
            },
        )

    def _send(self, stream: StreamProtocol, kind: str, **fields: object) -> None:
        stream.send(self._event(kind, **fields))

    def _event(self, kind: str, **fields: object) -> str:
        self._event_ids += 1
        event = {"type": kind, "event_id": f"event_{self._event_ids}", **fields}
        return msgspec.json.encode(event).decode()
