"""Metrics in Prometheus' text format, from a registry of their own.

The counters of the channels (`server.engine.channels`) and of the tokens (`server.tokens.account`) are
read at the time of a scrape; refusals and streams are counted here. The values of the label `token` are names
in the token file, never what a client sent, so their number is bounded. All names begin with `rill_`, except
the metrics of the process itself.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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
from server.tokens.keyring import Keyring
from stream import __version__
from stream.front_end.log_mel import SAMPLE_RATE

PYTHON = platform.python_version()
ABOUT = ("backend", "head", "decoder", "front_end", "language")  # of a model, once it is loaded
FAMILIES: Mapping[str, tuple[Callable[..., Any], str]] = {
    "channels_open": (GaugeMetricFamily, "Channels in use."),
    "channels_capacity": (GaugeMetricFamily, "Channels there are."),
    "ready": (GaugeMetricFamily, "Whether a new stream would be taken."),
    "backlog_seconds": (GaugeMetricFamily, "Audio that waits for its result."),
    "audio_seconds": (CounterMetricFamily, "Audio that came in."),
    "step_seconds": (HistogramMetricFamily, "Duration of a batched step of the engine."),
    "response_seconds": (
        HistogramMetricFamily,
        "From a whole chunk of a live stream to its result, within the server.",
    ),
    "engine_cpu_seconds": (CounterMetricFamily, "CPU of the process of an engine."),
    "engine_resident_memory_bytes": (GaugeMetricFamily, "Memory of the process of an engine."),
    "engine_up": (GaugeMetricFamily, "Whether the engine works, or is loaded first."),
    "engine_restarts": (CounterMetricFamily, "Restarts of the process of an engine."),
}
TOKEN_FAMILIES: Mapping[str, tuple[Callable[..., Any], str]] = {
    "token_streams_open": (GaugeMetricFamily, "Open streams of a token."),
    "token_streams": (CounterMetricFamily, "Streams of a token."),
    "token_audio_seconds": (CounterMetricFamily, "Audio of a token."),
    "token_expires_timestamp_seconds": (GaugeMetricFamily, "When a token expires."),
}
TOKEN_LIMITS = ("streams", "audio_seconds_per_minute", "audio_seconds_per_day", "stream_seconds")


class Metrics:
    """The metrics of one server.

    Attributes:
        content_type: of what `text` returns.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, models: Models, keyring: Keyring | None = None) -> None:
        self._registry = CollectorRegistry()
        self._streams = Counter(
            "rill_streams", "Streams that were taken.", ["protocol"], registry=self._registry
        )
        self._ended = Counter(
            "rill_streams_ended",
            "Live streams that ended, by the code of the server's Close.",
            ["protocol", "code"],
            registry=self._registry,
        )
        self._refused = Counter(
            "rill_refused", "Requests that were refused.", ["reason"], registry=self._registry
        )
        self._registry.register(_Channels(models))
        if keyring:
            self._registry.register(_Tokens(keyring))
        ProcessCollector(registry=self._registry)

    def count_stream(self, protocol: str) -> None:
        """Count an accepted stream, live or uploaded."""
        self._streams.labels(protocol).inc()

    def count_end(self, protocol: str, code: int | None) -> None:
        """Count the end of a live stream; its code is None where the client closed it, or is gone."""
        self._ended.labels(protocol, "client" if code is None else str(code)).inc()

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
        build = GaugeMetricFamily(
            "rill_build_info",
            "What serves a model; always 1.",
            labels=["model", "version", "python", *ABOUT],
        )
        families = {
            name: family(f"rill_{name}", text, labels=["model"])
            for name, (family, text) in FAMILIES.items()
        }
        for name, model in self._models.items():
            channels, about = model.channels, model.about
            used = usage((channels.engine.pid,)) if channels.engine.pid else None
            values = {
                "channels_open": channels.in_use,
                "channels_capacity": channels.slots,
                "ready": channels.refusal() is None,
                "backlog_seconds": channels.backlog,
                "audio_seconds": channels.received / SAMPLE_RATE,
                "engine_cpu_seconds": used and used.cpu_seconds,
                "engine_resident_memory_bytes": used and used.memory,
                "engine_up": channels.engine.fault() is None,
                "engine_restarts": channels.engine.restarts,
            }
            for key, value in values.items():
                if value is not None:
                    families[key].add_metric([name], value)
            for key in ("step_seconds", "response_seconds"):
                families[key].add_metric([name], *_buckets(getattr(channels, key)))
            build.add_metric(
                [name, __version__, PYTHON, *(str(about.get(k, "")) for k in ABOUT)], 1
            )
        yield build
        yield from families.values()


class _Tokens(Collector):
    """The metrics of each token."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def collect(self) -> Iterator[Metric]:
        families = {
            name: family(f"rill_{name}", text, labels=["token"])
            for name, (family, text) in TOKEN_FAMILIES.items()
        }
        refused = CounterMetricFamily(
            "rill_token_refused",
            "Streams that the limits of a token refused or ended.",
            labels=["token", "reason"],
        )
        limits = GaugeMetricFamily(
            "rill_token_limit", "Limits of a token.", labels=["token", "limit"]
        )
        for account in self._keyring:
            token = account.token
            values = {
                "token_streams_open": len(account.leases),
                "token_streams": account.streams,
                "token_audio_seconds": account.audio_seconds,
                "token_expires_timestamp_seconds": token.expires and token.expires.timestamp(),
            }
            for key, value in values.items():
                if value is not None:
                    families[key].add_metric([account.name], value)
            for reason, count in account.refused.items():
                refused.add_metric([account.name, reason], count)
            for name in TOKEN_LIMITS:
                if (limit := getattr(token, name)) is not None:
                    limits.add_metric([account.name, name], limit)
        yield from families.values()
        yield refused
        yield limits
        yield GaugeMetricFamily(
            "rill_tokens_reloaded",
            "Whether the token file was read without a fault the last time.",
            self._keyring.reloaded,
        )


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    bounds = [*(str(float(seconds)) for seconds in SECONDS), "+Inf"]
    return list(zip(bounds, map(float, histogram.cumulative()), strict=True)), histogram.sum
