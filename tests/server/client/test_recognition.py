from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from server.client.recognition import add_recognition_flags, recognition
from server.client.stream import StreamOutcome
from stream.audio import AudioError
from stream.bundled import NAMES, recordings
from stream.errors import ArgumentError
from stream.model.directory import write
from stream.stage import Floats
from tests.tiny import tiny_network

SEVERAL_WORDS = 4  # of the bundled recordings: "enter five three four three"


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_recognition_flags(parser)
    return parser.parse_args(argv)


def said(*argv: str, audio: int = SEVERAL_WORDS) -> StreamOutcome:
    samples = recordings()[audio].read()
    seen: list[str] = []
    recognise = recognition(parsed(*argv))
    pieces = [samples[i : i + 4000] for i in range(0, len(samples), 4000)]
    outcome = asyncio.run(recognise(pieces, lambda final, more: seen.append(final + more)))  # type: ignore[arg-type]
    assert seen[-1] == outcome.transcript
    assert any(seen[:-1])
    return outcome


def test_text_and_words_come_from_this_process() -> None:
    outcome = said()
    assert outcome.transcript == recordings()[SEVERAL_WORDS].text
    assert [word.text for words in outcome.segments for word in words] == outcome.transcript.split()
    assert outcome.latencies == ()


def test_the_default_is_the_bundled_model_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tiny_network(), tmp_path / NAMES[0], {})
    monkeypatch.chdir(tmp_path)
    assert said().transcript == recordings()[SEVERAL_WORDS].text


def test_decoder_and_backend_are_what_the_flags_say() -> None:
    outcome = said("--decoder", "beam", "--backend", "int8")
    assert outcome.transcript == recordings()[SEVERAL_WORDS].text


def test_silence_cuts_segments_as_a_server_does() -> None:
    assert len(said("--endpoint-silence", "0.3", audio=0).segments) > 1
    assert len(said("--endpoint-silence", "off", audio=0).segments) == 1


def test_hotwords_are_spelt_and_obeyed() -> None:
    with pytest.raises(ArgumentError, match="--hotwords: .*'日本'"):
        recognition(parsed("--hotwords", "日本"))
    with pytest.raises(ArgumentError, match="--hotwords: .*boost 'loud'"):
        recognition(parsed("--hotwords", "left:loud"))
    assert "three" in said("--decoder", "beam").transcript
    assert "three" not in said("--hotwords=Three:-9", "--decoder", "beam").transcript


def test_a_length_of_chunk_is_one_that_the_model_is_trained_with() -> None:
    assert said("--chunk-ms", "60").transcript == said().transcript
    with pytest.raises(ArgumentError, match="a chunk of 240 ms: .* chunks of 60 ms"):
        recognition(parsed("--chunk-ms", "240"))


def test_a_server_has_its_own_model_and_decoder() -> None:
    for flag, value in (
        ("--model", "m"),
        ("--decoder", "beam"),
        ("--endpoint-silence", "off"),
        ("--chunk-ms", "60"),
    ):
        with pytest.raises(ArgumentError, match=f"{flag} goes without --url"):
            recognition(parsed("--url", "ws://x", flag, value))
    recognition(parsed("--url", "ws://x", "--hotwords", "left"))


def test_a_recording_that_breaks_off_says_what_was_decoded_before_its_fault() -> None:
    spoken = recordings()[SEVERAL_WORDS]
    shown: list[str] = []

    def chunks() -> Iterator[Floats]:
        yield spoken.read()
        raise AudioError(Path("a.ogg"), "breaks off")

    recognise = recognition(parsed())
    with pytest.raises(AudioError, match=r"a\.ogg: breaks off"):
        asyncio.run(_all(recognise(chunks(), lambda final, _: shown.append(final))))
    assert shown[-1] == said().transcript
    assert len(shown) == 2


async def _all(outcome: Awaitable[StreamOutcome]) -> StreamOutcome:
    return await outcome
