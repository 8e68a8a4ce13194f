"""`python -m export.saturation`: what integers change in a model on recordings, one line a layer.

layer     its name; `bits` of a weight
f         exponents of its weights: W_ih and W_hh, or W
sum       log2 of the largest magnitude that an accumulator may have, of 31
gates     % of the gates' inputs beyond the bounds of the hard functions
cell      % of the cell's values at the ends of int16
in, out   % of inputs and outputs at the ends of their integers
unused    high bits that no input, and no output, needed
rms       of the float output
error     rms of the difference from the float output, in % of `rms`; `own`: the layer's share
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from export.checks.layer_report import LayerReport, layer_reports
from export.post_training import calibrated
from stream.manifest import read_manifest
from stream.model.network import open_model
from stream.process import reports_errors, run_main


def table(reports: Sequence[LayerReport]) -> str:
    """Return the reports as a table for a terminal; shares and errors in %."""

    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.2f}"

    head = ("layer", "bits", "f", "sum", "gates %", "cell %", "in %", "out %", "unused", "rms",
            "error %", "own %")  # fmt: skip
    rows = [head]
    for r in reports:
        weights = [str(v) for k, v in r.exponents.items() if k.startswith("weight")]
        unused = str(r.input_unused)
        unused += "" if r.output_unused is None else f" {r.output_unused}"
        rows.append((
            r.name, str(r.bits), " ".join(weights), f"{r.bound_bits:.1f}", share(r.gates_clipped),
            share(r.cells_saturated), share(r.input_clipped), share(r.output_clipped), unused,
            f"{r.rms:.3g}", share(r.error), share(r.own_error),
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.saturation",
        description="Show, layer by layer, what integer arithmetic does to a model on recordings.",
        epilog="example: python -m export.saturation --model runs/int8/best.pt --manifest dev.jsonl",
        allow_abbrev=False,
    )
    parser.add_argument("--model", required=True, metavar="PATH", help="any model")
    parser.add_argument("--manifest", required=True, metavar="JSONL", help="recordings")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    network = open_model(arguments.model)
    utterances = read_manifest(Path(arguments.manifest))
    if network.specification.quantisation is None:
        network = calibrated(network, utterances)
        print("not trained for integers: formats chosen on the recordings", file=sys.stderr)
    print(table(layer_reports(network, utterances)))
    return 0


if __name__ == "__main__":
    run_main(main)
