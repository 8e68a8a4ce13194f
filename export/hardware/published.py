"""Published figures of cards and boards beside what the arithmetic of `export.hardware.estimate` gives for them."""

from __future__ import annotations

from typing import NamedTuple

from export.hardware.devices import DEVICES
from export.hardware.estimate import TOKENS, estimate
from hwckpt.layout import SIZES
from stream.model.specification import Specification

CL99 = 0.025  # seconds, of the published numbers of streams


class Comparison(NamedTuple):
    """A published figure and ours.

    Attributes:
        system: whose, and of what.
        unit: of both figures.
        published, ours: the figures.
        assumptions: what ours rests on, a sentence each, the last one of what explains the difference.
    """

    system: str
    unit: str
    published: float
    ours: float
    assumptions: tuple[str, ...]


def microseconds(products: float, lanes: int, clock: float, streams: int = 1) -> float:
    """Return the microseconds of a step whose products keep all lanes busy."""
    return products * streams / (lanes * clock) * 1e6


def comparisons() -> list[Comparison]:
    """Return the figures that can be compared."""
    return [
        *(_card(shape, streams) for shape, streams in (("base", 2000), ("large", 800))),
        Comparison(
            "ESE (FPGA'17, arXiv 1612.00694), LSTM of 1024 units, projection 512, on a KU060",
            "microseconds a step of 32 channels",
            82.7,
            microseconds(0.364e6, 1024, 200e6, 32),
            (
                "282 GOPS for 82.7 microseconds and 32 channels are 0.364 million products a channel and step; 2.52 TOPS dense are 3.26 million",
                "1024 lanes at 200 MHz: 32 channels of 32, from memory of the paper",
                "the products of a step keep all lanes busy",
                "the rest of the time lanes wait for the one with the most weights that are not zero",
            ),
        ),
        Comparison(
            "EdgeDRNN (JETCAS 2020, arXiv 1912.12193), two GRU layers, 5 million weights, on a Zynq-7007S",
            "microseconds a step",
            500.0,
            microseconds(5.05e6 / 10, 8, 125e6),
            (
                "20.2 GOp/s for half a millisecond are 5.05 million products",
                "8 lanes at 125 MHz, from memory of the paper; 1 GB/s of memory is a weight of a byte for each of them",
                "nine in ten products are left out, since inputs changed little: 'up to 10x' fewer weights read; dense it is 5050",
                "this takes the most that is left out for the usual",
            ),
        ),
    ]


def _card(shape: str, streams: int) -> Comparison:
    """Compare Myrtle's card."""
    device = DEVICES["speedster7t"]
    found = estimate(Specification(**SIZES[shape]), device, TOKENS, CL99)
    gigabytes = found.weights / 1e9 / (CL99 / 2)
    return Comparison(
        f"CAIMAN-ASR 1.14 (Myrtle), `{shape}`, greedy, one VectorPath S7t-VG6 at CL99 {CL99 * 1000:.0f} ms",
        "streams",
        streams,
        found.streams,
        (
            f"{device.multipliers * device.products:,} products of int8 a cycle at {device.clock / 1e6:.0f} MHz, all at work",
            f"weights outside, a pass each {CL99 * 500:g} ms: {gigabytes:.1f} GB/s and more of {device.bandwidth / 1e9:.0f}",
            f"{TOKENS:g} tokens a second; no front end, no host, no PCI Express",
            f"{100 * streams / found.streams:.0f} % of the multipliers are at work in the published figure, if the clock is ours",
        ),
    )


def page() -> list[str]:
    """Return the comparisons as Markdown."""
    lines = ["| system | published | this arithmetic | ratio |", "|---|---|---|---|"]
    notes = []
    for n, each in enumerate(comparisons(), 1):
        ratio = each.ours / each.published
        lines.append(
            f"| {n}. {each.system} | {each.published:,g} {each.unit} | {each.ours:,.0f} | {ratio:.2f} |"
        )
        notes += ["", f"{n}. {'; '.join(each.assumptions)}."]
    return lines + notes
