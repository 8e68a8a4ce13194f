"""Lengths of chunk: what each costs in errors, latency, streams and memory, a row for each.

A model of one length has its errors in the table of figures.

`rill validate --chunk-ms all --record --latency --capacity` writes the notes that this reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from export.card.figures import column_of, dates_of, how_of
from export.card.markdown import percent, table
from stream.engine.channel_memory import channel_bytes
from stream.model.network import Network

Notes: TypeAlias = Mapping[str, Any]


def chunk_lengths(network: Network) -> Iterator[str]:
    """Yield the section of the lengths of chunk that a model serves."""
    notes, encoder = network.notes, network.specification.encoder
    evaluations: Sequence[Notes] = notes.get("evaluations", [])
    capacity: Sequence[Notes] = notes.get("capacity", [])
    several = len(encoder.chunk_lengths) > 1
    if not several and not capacity:
        return
    columns: dict[str, dict[int, str]] = {}
    for each in sorted(evaluations, key=column_of):
        length = each["options"].get("chunk_ms", encoder.chunk_length)
        what = f"{each['data_set']}{how_of(each['options'])}"
        if several:
            title = f"WER, %, {what}, {column_of(each)[1]}"
            columns.setdefault(title, {})[length] = percent(each["wer"])
        if latency := each.get("latency"):
            times = f"{latency['p50_ms']:.0f} / {latency['p90_ms']:.0f}"
            title = f"emission latency, ms, {what}, median / 90 %"
            columns.setdefault(title, {}).setdefault(length, times)
    for each in capacity:
        title = f"streams a core, `{each['backend']}`"
        streams = f"{each['streams'] / each['cores']:.0f}"
        columns.setdefault(title, {})[each["chunk_ms"]] = streams
    columns["MB a channel"] = {
        length: f"{size / 1e6:.2f}" for length, size in channel_bytes(network).items()
    }
    yield "## Lengths of chunk" if several else "## Latency and streams"
    rows = [
        [f"{length} ms", *(column.get(length, "") for column in columns.values())]
        for length in encoder.chunk_lengths
    ]
    yield table(["chunk", *columns], rows)
    said = "`--chunk-ms` chooses one. " if several else ""
    said += (
        "A token is emitted with the end of its chunk, so emission latency has the wait for it. The memory of a "
        "channel is that of all its states and samples in float32."
    )
    if capacity:
        machines = " and ".join(sorted({each["machine"] for each in capacity}))
        said += (
            f" Streams are those of the self-test at start, on {machines}, {dates_of(capacity)}."
        )
    yield said
