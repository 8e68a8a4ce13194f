"""python -m tests.rtl.waveform: the figure of docs/rtl.md, drawn from what Icarus dumps of a small layer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream.process import run_main
from tests.export.hardware.models import small_bundle
from tests.places import REPOSITORY
from tests.rtl.lstm_layer import LayerBench
from tests.rtl.simulators import SIMULATORS

FIGURE = REPOSITORY / "docs" / "images" / "rtl-step.svg"
LAYER, UNITS = "prediction.lstm.0", 2  # 8 inputs, 8 units
CLOCKS = 46  # that are drawn, from the start of a step
PERIOD = 10_000  # of the clock, in the dump's units
SIGNALS = {  # by the names in the dump; a bus has numbers
    "start": "start",
    "layer.word_q": "word",
    "layer.group_q": "group",
    "layer.captured": "sums whole",
    "layer.reading_q": "reading",
    "layer.h_valid_o": "h valid",
    "layer.index_o": "unit",
    "layer.h_o": "h",
}
BUSES = {"layer.word_q", "layer.group_q", "layer.index_o", "layer.h_o"}
SIGNED = {"layer.h_o"}
ONLY_WHEN = {"layer.index_o": "layer.h_valid_o", "layer.h_o": "layer.h_valid_o"}
LEFT, WIDTH, ROW, HIGH = 84, 19, 30, 16  # of the drawing
Values = Sequence[str]


def read_vcd(text: str, names: Sequence[str], period: int) -> dict[str, list[str]]:
    """Return the values of signals before each rising edge, the clock's edges being half a period from its multiples.

    Args:
        text: a value change dump; names are those below its outermost module.
    """
    scope: list[str] = []
    signals: dict[str, list[str]] = {}
    found: dict[str, list[str]] = {name: [] for name in names}
    now: dict[str, str] = dict.fromkeys(names, "x")
    clocks = 0
    for line in text.splitlines():
        words = line.split()
        if line.startswith("$scope"):
            scope.append(words[2])
        elif line.startswith("$upscope"):
            scope.pop()
        elif line.startswith("$var"):
            name = ".".join([*scope[2:], words[4]])
            if name in found:
                signals.setdefault(words[3], []).append(name)
        elif line.startswith("#"):
            while clocks * period + period // 2 <= int(line[1:]):
                for name, value in now.items():
                    found[name].append(value)
                clocks += 1
        elif words and line[0] in "01xzb":
            value, key = (words[0][1:], words[1]) if line[0] == "b" else (line[0], line[1:])
            now.update(dict.fromkeys(signals.get(key, ()), value))
    return found


def draw(values: Mapping[str, Values]) -> str:
    """Return the signals of `SIGNALS`, a column a clock, as SVG."""
    height = ROW * len(SIGNALS) + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + CLOCKS * WIDTH + 10}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for clock in range(0, CLOCKS, 4):
        x = LEFT + clock * WIDTH
        out.append(f'<path d="M{x} 18V{height - 8}" stroke="#ddd"/>')
        out.append(
            f'<text x="{x + WIDTH / 2:g}" y="12" text-anchor="middle" fill="#666">{clock}</text>'
        )
    for row, (name, label) in enumerate(SIGNALS.items()):
        low = 24 + ROW * row + HIGH
        out.append(f'<text x="{LEFT - 8}" y="{low - 4}" text-anchor="end">{label}</text>')
        shown = [_shown(values, name, clock) for clock in range(CLOCKS)]
        out += _bus(shown, low, name not in ONLY_WHEN) if name in BUSES else [_wire(shown, low)]
    return "\n".join([*out, "</svg>", ""])


def _shown(values: Mapping[str, Values], name: str, clock: int) -> str:
    """Return what is drawn of a signal in a clock; nothing where it means nothing."""
    valid, value = ONLY_WHEN.get(name), values[name][clock]
    if valid and values[valid][clock] != "1":
        return ""
    if name not in BUSES:
        return value
    if not set(value) <= {"0", "1"}:
        return ""
    # The dump leaves out leading zeros.
    return str(
        int(value, 2) - (256 if name in SIGNED and len(value) == 8 and value[0] == "1" else 0)
    )


def _wire(shown: Sequence[str], low: int) -> str:
    levels = [low - HIGH if value == "1" else low for value in shown]
    path = "".join(f"V{level}h{WIDTH}" for level in levels)
    return f'<path d="M{LEFT} {levels[0]}{path}" fill="none" stroke="#06c"/>'


def _bus(shown: Sequence[str], low: int, lasting: bool) -> list[str]:
    """Return a box for each value: of as many clocks as it lasts, or of one."""
    out, begin = [], 0
    for clock in range(1, len(shown) + 1):
        if clock == len(shown) or not lasting or shown[clock] != shown[begin]:
            if shown[begin]:
                x, width = LEFT + begin * WIDTH, (clock - begin) * WIDTH
                out.append(
                    f'<rect x="{x}" y="{low - HIGH}" width="{width}" height="{HIGH}" fill="#eef5ff" stroke="#06c"/>'
                )
                out.append(
                    f'<text x="{x + width / 2:g}" y="{low - 4}" text-anchor="middle" font-size="9">{shown[begin]}</text>'
                )
            begin = clock
    return out


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = small_bundle("plain", folder / "bundles")
        case = next(case for case in bundle.manifest.cases if case.name == LAYER)
        values = {key: rows[:1, None] for key, rows in bundle.vectors(case).items()}
        bench = LayerBench(
            bundle, bundle.layer(LAYER), SIMULATORS["iverilog"], folder / "run", units=UNITS
        )
        bench.run(values["x"], (values["h_before"], values["c_before"]), "vcd=layer.vcd")
        dumped = read_vcd((folder / "run" / "layer.vcd").read_text(), list(SIGNALS), PERIOD)
    begin = dumped["start"].index("1")
    FIGURE.write_text(draw({name: rows[begin:] for name, rows in dumped.items()}))
    return 0


if __name__ == "__main__":
    run_main(main)
