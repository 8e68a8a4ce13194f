from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from server.adapters.deepgram.messages import Request
from server.adapters.deepgram.options import Options
from server.adapters.deepgram.recorded import answer, check_recording
from server.refusals import Refusal
from stream.transcripts.transcript import Transcript
from tests.server.adapters.driving import Said, result


def body(options: Options, *notes: str) -> dict[str, Any]:
    request = Request("1f", datetime(2026, 11, 29, tzinfo=UTC), "general", options)
    said = Transcript()
    said.add(result(0, Said((0,))), result(1, Said((1,), endpoint=True)), result(2, Said((2,))))
    said.add(result(3, last=True))
    read: dict[str, Any] = json.loads(answer(request, said, "e3b0", notes))
    return read


def test_the_body_has_one_channel_with_the_text_and_its_words() -> None:
    got = body(Options())
    ((alternative,),) = (each["alternatives"] for each in got["results"]["channels"])
    assert alternative["transcript"] == "one two three"
    assert [word["word"] for word in alternative["words"]] == ["one", "two", "three"]
    assert (got["metadata"]["sha256"], got["metadata"]["duration"]) == ("e3b0", 0.18)
    assert "utterances" not in got["results"] and "warnings" not in got["metadata"]


def test_utterances_are_the_segments() -> None:
    first, second = body(Options(utterances=True))["results"]["utterances"]
    assert (first["transcript"], first["start"], first["end"]) == ("one two", 0.0, 0.12)
    assert (second["transcript"], second["channel"]) == ("three", 0)
    assert first["id"] != second["id"]


def test_notes_on_the_recording_are_warnings() -> None:
    warnings = body(Options(without_effect=("punctuate",)), "it is silent")["metadata"]["warnings"]
    assert [each["type"] for each in warnings] == ["unsupported_parameter", "recording"]


@pytest.mark.parametrize(
    "options, kind", [(Options(), "application/json"), (Options("mulaw"), "audio/basic")]
)
def test_an_address_and_raw_samples_are_refused(options: Options, kind: str) -> None:
    with pytest.raises(Refusal):
        check_recording(options, kind)
    check_recording(Options(), "application/octet-stream")
