"""What each part of a model takes of a board: constants, state of a stream, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwckpt.hardware_bundle import DTYPES, ArrayEntry, CostEntry, LayerEntry
from stream.front_end.log_mel import BINS, FFT, HOP

CHUNK_SECONDS = 0.06
EACH = {  # evaluations by stack: when, and how many a chunk
    "front_end": ("frame of 10 ms", 6),
    "encoder.pre": ("input of 30 ms", 2),
    "encoder.post": ("chunk of 60 ms", 1),
    "joint.encoder": ("chunk of 60 ms", 1),
    "prediction.lstm": ("token", 0),
    "joint.prediction": ("token", 0),
    "joint.output": ("chunk of 60 ms, and token", 1),
}


def costs(
    constants: Mapping[str, int], layers: Sequence[LayerEntry], arrays: Sequence[ArrayEntry]
) -> tuple[CostEntry, ...]:
    """Return the table: the front end, then every layer."""
    mel = next(entry for entry in arrays if entry.name == "mel_weight").shape[0]
    tables = sum(entry.size for entry in arrays if "." not in entry.name)
    window = constants["window"]
    # Window, butterflies of four products each, power, mel; a few products a bin of the normaliser.
    macs = window + 9 * FFT // 2 * 4 + 2 * (FFT // 2 + 1) + mel + 5 * BINS
    state = 2 * (window - HOP + 1) + 8 * BINS + 24
    found = [_cost("front_end", tables, state, macs)]
    for layer in layers:
        memory = sum(entry.size for entry in arrays if entry.name.startswith(f"{layer.name}."))
        if layer.name == "prediction.lstm.0":
            memory += next(e.size for e in arrays if e.name == "prediction.embedding")
        if layer.kind == "lstm":
            weights = 4 * layer.outputs * (layer.inputs + layer.outputs)
            state = layer.outputs * (DTYPES["i8"].itemsize + DTYPES["i16"].itemsize)
        else:
            weights = layer.inputs * layer.outputs
            state = 2 * layer.outputs if layer.name == "joint.prediction" else 0
        found.append(_cost(layer.name, memory, state, weights))
    return tuple(found)


def _cost(part: str, memory: int, state: int, macs: int) -> CostEntry:
    return CostEntry(part=part, memory=memory, state=state, macs=macs, each=_each(part)[0])


def _each(part: str) -> tuple[str, int]:
    return next(each for stack, each in EACH.items() if part.startswith(stack))


def macs_per_second(table: Sequence[CostEntry], tokens_per_second: float) -> float:
    """Return the multiply-accumulates of a second of audio, of one stream."""
    total = 0.0
    for cost in table:
        _, per_chunk = _each(cost.part)
        each_token = cost.each.endswith("token")
        total += cost.macs * (per_chunk / CHUNK_SECONDS + each_token * tokens_per_second)
    return total


def cost_lines(table: Sequence[CostEntry], tokens_per_second: float) -> list[str]:
    """Return the table as Markdown."""
    lines = [
        "| part | constants, bytes | state of a stream, bytes | multiply-accumulates | each |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {c.part} | {c.memory} | {c.state} | {c.macs} | {c.each} |" for c in table]
    memory, state = (sum(getattr(c, name) for c in table) for name in ("memory", "state"))
    million = macs_per_second(table, tokens_per_second) / 1e6
    return [
        *lines,
        f"| all | {memory} | {state} | {million:.1f} million a second | {tokens_per_second:g} tokens a second |",
    ]
