from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.adapters.deepgram.options import KEYS, NO_EFFECT, REFUSED, Options, parse_options
from server.refusals import Refusal


def options(query: str, **served: Any) -> Options:
    return parse_options(parse_qsl(query, keep_blank_values=True), **served)


def refusal(query: str) -> Refusal:
    with pytest.raises(Refusal) as refused:
        options(query)
    assert refused.value.status == 400
    return refused.value


def test_the_options_of_a_live_stream() -> None:
    query = "encoding=linear16&sample_rate=16000&channels=2&interim_results=true&vad_events=true"
    got = options(f"{query}&endpointing=300&utterance_end_ms=1000&version=latest&language=en-GB")
    assert got == Options("linear16", 16000, 2, True, True, 0.3, 1.0, True)


def test_g711_has_the_rate_of_telephony_and_linear16_none() -> None:
    assert options("encoding=mulaw").rate == options("encoding=alaw").rate == 8000
    assert refusal("encoding=linear16").param == "sample_rate"


@pytest.mark.parametrize(
    "query, pauses, silence",
    [
        ("", True, None),
        ("endpointing=true", True, None),
        ("endpointing=false", False, None),
        ("endpointing=0", False, None),
        ("endpointing=25", True, 0.06),  # the shortest that the decoder tells from a word
        ("endpointing=300", True, 0.3),
    ],
)
def test_endpointing_is_a_time_or_off(query: str, pauses: bool, silence: float | None) -> None:
    got = options(query)
    assert (got.pauses, got.silence) == (pauses, silence)


def test_what_has_no_effect_is_reported_and_what_asks_for_nothing_is_not() -> None:
    got = options("punctuate=true&smart_format=true&numerals=false&tag=&diarize=false&callback=")
    assert got.without_effect == ("punctuate", "smart_format")
    assert [each["parameter"] for each in got.warnings] == ["punctuate", "smart_format"]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_not_done_is_refused_by_name(name: str) -> None:
    refused = refusal(f"{name}=true")
    assert refused.param == name and name in refused.text


def test_every_key_is_obeyed_refused_or_without_effect() -> None:
    assert not REFUSED & NO_EFFECT
    assert {"keyterm", "redact", "smart_format"} <= KEYS


def test_keyterms_and_keywords_are_hotwords() -> None:
    got = options("keyterm=north+wing&keyterm=cellar&keywords=kitchen:2&keywords=hall")
    assert got.hotwords == {"north wing": 0.5, "cellar": 0.5, "kitchen": 1.0, "hall": 0.5}
    for intensifier in ("loud", "21", "nan", "inf"):
        assert refusal(f"keywords=kitchen:{intensifier}").param == "keywords"


@pytest.mark.parametrize(
    "query",
    [
        "encoding=speex",
        "encoding=mulaw&sample_rate=1",
        "encoding=mulaw&sample_rate=8e3",
        "encoding=mulaw&sample_rate=-8000",
        "sample_rate=" + "9" * 5000,
        "channels=0",
        "channels=65",
        "interim_results=yes",
        "endpointing=soon",
        "endpointing=60001",
        "utterance_end_ms=1000",  # without interim_results
        "language=fr",
        "language=multi",
        "language_hint=fr",
        "version=2021-03-17.0",
    ],
)
def test_a_value_that_cannot_be_served_is_refused_by_its_key(query: str) -> None:
    name = query.split("&")[-1].split("=")[0]
    assert refusal(query).param == name


@given(st.lists(st.tuples(st.sampled_from(sorted(KEYS)), st.text(max_size=12)), max_size=4))
def test_no_query_raises_anything_but_a_refusal(items: list[tuple[str, str]]) -> None:
    with suppress(Refusal):
        parse_options(items)
