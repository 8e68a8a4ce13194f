"""Metrics in Prometheus' text format, from a registry of their own.

The counters of the channels (`server.engine.channels`) are read at the time of a scrape; refusals and
streams are counted here. All names begin with `rill_`, except those of the process.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from server.engine.models import Models
from server.histogram import SECONDS, Histogram
from server.processes import usage
from stream.front_end.log_mel import SAMPLE_RATE

__all__ = ["Metrics"]

VERSION = version("rill-asr")
PYTHON = platform.python_version()
ABOUT = ("backend", "decoder", "front_end", "language")  # of a model, once it is loaded


class Metrics:
    """The metrics of one server.

    Attributes:
        content_type: of what `text` returns.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, models: Models) -> None:
        self._registry = CollectorRegistry()
        self._streams = Counter(
            "rill_streams", "Streams that were taken.", ["protocol"], registry=self._registry
        )
        self._refused = Counter(
            "rill_refused", "Requests that were refused.", ["reason"], registry=self._registry
        )
        self._registry.register(_Channels(models))
        ProcessCollector(registry=self._registry)

    def count_stream(self, protocol: str) -> None:
        """Count an accepted stream, live or uploaded."""
        self._streams.labels(protocol).inc()

    def count_refusal(self, reason: str) -> None:
        """Count a refused request under its reason."""
        self._refused.labels(reason).inc()

    def text(self) -> bytes:
        """Return the current values."""
        return generate_latest(self._registry)


class _Channels(Collector):
    """The metrics of the channels of each model."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        label = ["model"]
        build = GaugeMetricFamily(
            "rill_build_info",
            "What serves a model; always 1.",
            labels=["model", "version", "python", *ABOUT],
        )
        opened = GaugeMetricFamily("rill_channels_open", "Channels in use.", labels=label)
        capacity = GaugeMetricFamily("rill_channels_capacity", "Channels there are.", labels=label)
        ready = GaugeMetricFamily(
            "rill_ready", "Whether a new stream would be taken.", labels=label
        )
        backlog = GaugeMetricFamily(
            "rill_backlog_seconds", "Audio that waits for its result.", labels=label
        )
        audio = CounterMetricFamily("rill_audio_seconds", "Audio that came in.", labels=label)
        step = HistogramMetricFamily(
            "rill_step_seconds", "Duration of a batched step of the engine.", labels=label
        )
        response = HistogramMetricFamily(
            "rill_response_seconds",
            "From a whole chunk of a live stream to its result, within the server.",
            labels=label,
        )
        cpu = CounterMetricFamily(
            "rill_engine_cpu_seconds", "CPU of the process of an engine.", labels=label
        )
        memory = GaugeMetricFamily(
            "rill_engine_resident_memory_bytes",
            "Memory of the process of an engine.",
            labels=label,
        )
        working = GaugeMetricFamily(
            "rill_engine_up", "Whether the engine works, or is loaded first.", labels=label
        )
        restarts = CounterMetricFamily(
            "rill_engine_restarts", "Restarts of the process of an engine.", labels=label
        )
        for name, model in self._models.items():
            channels = model.channels
            used = usage((channels.engine.pid,)) if channels.engine.pid else None
            if used is not None:
                cpu.add_metric([name], used.cpu_seconds)
                memory.add_metric([name], used.memory)
            working.add_metric([name], channels.engine.fault() is None)
            restarts.add_metric([name], channels.engine.restarts)
            opened.add_metric([name], channels.in_use)
            capacity.add_metric([name], channels.slots)
            ready.add_metric([name], channels.refusal() is None)
            backlog.add_metric([name], channels.backlog)
            audio.add_metric([name], channels.received / SAMPLE_RATE)
            step.add_metric([name], *_buckets(channels.step_seconds))
            response.add_metric([name], *_buckets(channels.response_seconds))
            about = model.about
            build.add_metric(
                [name, VERSION, PYTHON, *(str(about.get(key, "")) for key in ABOUT)], 1
            )
        yield from (build, opened, capacity, ready, backlog, audio, step, response, cpu, memory)
        yield from (working, restarts)


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    bounds = [*(str(float(seconds)) for seconds in SECONDS), "+Inf"]
    return list(zip(bounds, map(float, histogram.cumulative()), strict=True)), histogram.sum
