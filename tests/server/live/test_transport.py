from __future__ import annotations

from tests.server.http.asking import close_code, frame
from tests.server.scripted import (
    ScriptedEngine,
    serving,
)


async def test_fragments_and_pings_between_them_are_one_message() -> None:
    async with serving(ScriptedEngine(1), close_seconds=0.2) as service:
        end = [
            frame(0x02, bytes(1000)),
            frame(0x89, b"x"),
            frame(0x80, bytes(920)),
            frame(0x82, b""),
        ]
        assert await close_code(service, *end) == 1000
