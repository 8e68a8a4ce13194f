from __future__ import annotations

import json

from server.adapters.transcribe import answer, fault
from stream.transcripts.transcript import Transcript
from tests.server.adapters.driving import Said, result


def test_the_body_has_a_chunk_for_every_word() -> None:
    recording = Transcript()
    recording.add(result(0, Said((0,))))
    recording.add(result(1, Said((1, 3)), last=True))
    assert answer("a.wav", recording) == (
        b'{"filename":"a.wav","text":"one twoteen","chunks":['
        b'{"text":"one","timestamp":[0.0,0.06]},{"text":"twoteen","timestamp":[0.06,0.12]}]}'
    )


def test_any_filename_can_be_answered() -> None:
    assert json.loads(answer("\udcff.wav", Transcript()))["filename"] == "?.wav"


def test_a_fault_is_json_too() -> None:
    assert fault("no file") == b'{"detail":"no file"}'
