from __future__ import annotations

import json
from datetime import UTC, datetime

from server.adapters.deepgram.messages import Request, alternative, error
from server.adapters.deepgram.options import Options
from server.refusals import Refusal
from stream.transcripts.transcript import TimedWord


def test_an_alternative_has_the_words_and_their_mean_confidence() -> None:
    got = alternative("go left", [TimedWord("go", 0.1, 0.3, 0.8), TimedWord("left", 0.4, 0.7, 0.6)])
    assert (got["transcript"], got["confidence"]) == ("go left", 0.7)
    assert got["words"][1] == {
        "word": "left",
        "start": 0.4,
        "end": 0.7,
        "confidence": 0.6,
        "punctuated_word": "left",
    }
    assert alternative("", []) == {"transcript": "", "confidence": 0.0, "words": []}


def test_metadata_names_the_request_its_model_and_what_had_no_effect() -> None:
    time = datetime(2026, 11, 29, 13, 5, 0, 250_000, tzinfo=UTC)
    request = Request("1f", time, "general", Options(without_effect=("punctuate",)))
    got = request.metadata("e3b0", 1.5, 1)
    assert got["created"] == "2026-11-29T13:05:00.250Z"
    assert (got["request_id"], got["sha256"], got["duration"]) == ("1f", "e3b0", 1.5)
    assert got["model_info"][got["models"][0]]["name"] == "general"
    assert got["warnings"][0]["parameter"] == "punctuate"
    assert "warnings" not in Request("1f", time, "general", Options()).metadata("", 0.0, 1)


def test_an_error_has_a_code_a_sentence_and_the_request() -> None:
    assert json.loads(error(Refusal(401, "send the token"), "1f")) == {
        "err_code": "INVALID_AUTH",
        "err_msg": "send the token",
        "request_id": "1f",
    }
