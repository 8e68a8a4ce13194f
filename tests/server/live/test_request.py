from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.adapters.myrtle_messages import PATH
from server.engine.models import Served
from server.live.request import Parameters, parse_request
from server.refusals import Refusal

RAW = "content_type=audio/x-raw;format=S16LE;channels=1;rate=16000"


def refusal(query: str) -> Refusal:
    with pytest.raises(Refusal) as refused:
        parse_request(f"{PATH}?{query}")
    return refused.value


@pytest.mark.parametrize(
    "query",
    [
        RAW,
        "content_type=audio%2Fx-raw%3Bformat%3DS16LE%3Bchannels%3D1%3Brate%3D16000",
        "content_type=audio/x-raw;%20rate=16000;%20format=s16le",
        "content_type=audio/x-raw",
        "",
        f"{RAW}&model=general&version=latest&lang=en&alternatives=1",
        f"lang=en&{RAW}&token=secret",
    ],
)
def test_myrtle_semicolon_query(query: str) -> None:
    assert parse_request(f"{PATH}?{query}") == Parameters("general", "latest", "en", 1)


def test_a_request_without_a_query_has_the_defaults() -> None:
    assert parse_request(PATH) == Parameters()


def test_parameters_are_read() -> None:
    got = parse_request(f"{PATH}?{RAW}&version=v1&lang=en-GB&alternatives=12")
    assert got == Parameters("general", "v1", "en-GB", 12)


@pytest.mark.parametrize(
    "query, text",
    [
        ("content_type=audio/x-raw;rate=8000", "rate '8000'; only rate=16000"),
        ("content_type=audio/x-raw;format=F32LE", "format 'F32LE'; only format=S16LE"),
        ("content_type=audio/x-raw;channels=2", "channels '2'; only channels=1"),
        ("content_type=audio/x-raw;depth=16", "'depth'; it may have format, rate, channels"),
        ("content_type=audio/wav", "content_type is 'audio/wav'"),
        ("content_type=", "content_type is ''"),
        (f"{RAW}&model=medical", "model is 'medical'; served is 'general'"),
        (f"{RAW}&version=v9", "version is 'v9'; served are latest, v1"),
        (f"{RAW}&lang=de", "lang is 'de'; served is 'en'"),
        (f"{RAW}&alternatives=0", "alternatives is '0'; want 1 to 999"),
        (f"{RAW}&alternatives=two", "alternatives is 'two'"),
        (f"{RAW}&{RAW}", "'content_type' is given twice"),
        (f"{RAW}&intent=transcription", "intent means nothing here; there are alternatives, "),
    ],
)
def test_what_is_not_served_is_refused_with_its_value(query: str, text: str) -> None:
    got = refusal(query)
    assert got.status == 400
    assert text in got.text


def test_another_path_is_404() -> None:
    with pytest.raises(Refusal, match=PATH) as refused:
        parse_request("/asr/v0.2/stream?x")
    assert refused.value.status == 404


def test_another_server_serves_other_names() -> None:
    served = Served({"medical": "de"}, ("v2", "v3"))
    assert parse_request(f"{PATH}?version=v3", served) == Parameters("medical", "v3", "de", 1)


@given(st.text(max_size=200))
def test_no_query_raises_more_or_gives_a_long_or_unprintable_answer(query: str) -> None:
    try:
        parse_request(f"{PATH}?{query}")
    except Refusal as refused:
        assert refused.text.isprintable()
        assert len(refused.text) < 1500


@given(st.sampled_from(["content_type", "model", "version", "lang", "alternatives"]), st.text())
def test_no_value_raises_more_than_a_refusal(key: str, value: str) -> None:
    with suppress(Refusal):
        parse_request(f"{PATH}?{key}={value}")
