from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.scripted import (
    UPGRADE,
    ScriptedEngine,
    Service,
    pcm,
    request,
    serving,
)


async def test_the_metrics_say_what_is_running() -> None:
    async with serving(ScriptedEngine(1)) as service:
        _, body = await service.get("/metrics")
    (line,) = [line for line in body.splitlines() if line.startswith("rill_build_info{")]
    assert 'model="general"' in line and 'language="en"' in line and 'version="' in line
    assert line.endswith(" 1.0")


async def metrics(service: Service) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the samples by name and values of labels."""
    reply = await request(service, "GET", "/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


async def test_metrics_tell_what_the_channels_do() -> None:
    async with serving(ScriptedEngine(2), slots=2) as service:
        async with connect(service.url) as connection:
            await connection.send(pcm(0.13))
            await connection.recv()
            await connection.recv()
            await service.get("/asr/v0.1/stream?lang=de", *UPGRADE)
            got = await metrics(service)
            assert got["rill_channels_open", ("general",)] == 1
            assert got["rill_channels_capacity", ("general",)] == 2
            assert got["rill_ready", ("general",)] == 1
            assert got["rill_backlog_seconds", ("general",)] == 0
            assert got["rill_audio_seconds_total", ("general",)] == pytest.approx(0.12)
            assert got["rill_response_seconds_count", ("general",)] == 2
            assert got["rill_step_seconds_count", ("general",)] >= 1
            assert got["rill_step_seconds_bucket", ("+Inf", "general")] >= 1
            assert got["rill_streams_total", ("myrtle",)] == 1
            assert got["rill_refused_total", ("request",)] == 1
            assert got["process_cpu_seconds_total", ()] > 0
            async with connect(service.url):
                for _ in range(2):
                    with pytest.raises(InvalidStatus):
                        await connect(service.url)
                got = await metrics(service)
                assert got["rill_ready", ("general",)] == 0
                assert got["rill_refused_total", ("full",)] == 2
        await service.until_free()
        assert (await metrics(service))["rill_channels_open", ("general",)] == 0
