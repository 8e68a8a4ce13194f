"""The table of the lengths of chunk on a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.card.page import card
from stream.engine.channel_memory import channel_bytes
from stream.engine.selftest import Plan
from stream.model import directory
from stream.model.network import open_model
from stream.validation.latency import Latency
from stream.validation.record import conditions, record_capacity, record_report
from stream.validation.report import Outcome, report_of
from tests.test_chunk_lengths import network
from tests.tiny import tiny_network


def recorded(path: Path, chunk_ms: int, heard: str, **latency: Any) -> None:
    """Record a validation and a self-test with one length of chunk."""
    chosen = network().with_chunk(chunk_ms)
    report = report_of([Outcome("a", "a cat sat", heard, [], [], [])], 0.1, **latency)
    options = {"reset_stats": True, "chunk_ms": chunk_ms}
    record_report(path, conditions(chosen, "onnx", "dev", 1, options), report)
    plan = Plan("onnx", 1, chunk_ms, 1_000_000, 0.01, (), ())
    record_capacity(path, chosen, plan, "2 cores, a processor")


def test_each_length_has_its_errors_latency_streams_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "model"
    directory.write(network(), path, {})
    recorded(path, 120, "a cat", latency=Latency(3, 0, 90.0, 80.4, 150.6, 200.0))
    recorded(path, 1000, "a hat sat on")
    recorded(path, 1000, "a cat sat")  # replaces the one before
    lines = card(path).splitlines()
    begin = lines.index("## Lengths of chunk")
    assert "median / 90 %" in lines[begin + 2]
    cores = open_model(path).notes["capacity"][0]["cores"]
    rows = [
        line.rpartition("| ")[::2] for line in (lines[n][:-2] for n in range(begin + 4, begin + 8))
    ]
    assert [row[0] for row in rows] == [
        "| 40 ms |  |  |  ",
        f"| 120 ms | 33.33 | 80 / 151 | {120 / cores:.0f} ",
        "| 240 ms |  |  |  ",
        f"| 1000 ms | 0.00 |  | {1000 / cores:.0f} ",
    ]
    assert [float(row[1]) for row in rows] == [
        round(n / 1e6, 2) for n in channel_bytes(network()).values()
    ]
    rates = lines[lines.index("## Word error rate, %") : begin]
    assert any("33.33" in line for line in rates)  # of the model's own length
    assert not any("0.00" in line for line in rates)


def test_one_length_has_its_latency_and_streams(tmp_path: Path) -> None:
    path, chosen = tmp_path / "model", tiny_network()
    directory.write(chosen, path, {})
    report = report_of([Outcome("a", "a b", "a", [], [], [])], 0.1)
    record_report(path, conditions(chosen, "onnx", "dev", 1, {"reset_stats": True}), report)
    assert "## Latency and streams" not in card(path)
    plan = Plan("onnx", 1, 60, 50, 0.01, (), ())
    record_capacity(path, chosen, plan, "2 cores, a processor")
    lines = card(path).splitlines()
    begin = lines.index("## Latency and streams")
    assert lines[begin + 2] == "| chunk | streams a core, `onnx` | MB a channel |"
    assert lines[begin + 4].startswith("| 60 ms | ")
    assert "--chunk-ms" not in lines[begin + 6]
