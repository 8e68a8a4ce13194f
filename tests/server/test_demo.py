from __future__ import annotations

import asyncio

import pytest

from server import demo
from server.demo import knowledge, served_models, shown
from tests.server.scripted import ScriptedEngine, serving


async def test_the_models_are_asked_for_without_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with serving(ScriptedEngine(1)) as service:
        (model,) = await asyncio.to_thread(served_models, service.url)
        assert model["name"] == "general"


def test_the_conformer_is_shown_first_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown() == ["en-commands-conformer", "en-commands"]
    monkeypatch.setattr(demo, "present", lambda: ["en-commands"])
    assert shown() == ["en-commands"]


def test_a_model_without_notes_has_no_paragraph() -> None:
    assert knowledge({}) == ""
    assert knowledge({"knows": "digits", "example": "one two"}) == (
        'The model knows digits. Try "one two".\n\n'
    )
