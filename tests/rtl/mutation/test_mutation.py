"""The mutants of a module are all that the rules of `mutation` name, and the vectors notice them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.export.hardware.models import small_bundle
from tests.rtl.mutation.fates import SURVIVES, equivalents
from tests.rtl.mutation.mutants import CAUGHT, EQUIVALENT, all_mutants, fate
from tests.rtl.mutation.mutation import mutants
from tests.rtl.mutation.vectors import simulate_alone, simulate_layer

SOURCE = """\
// 1 + 1 is no code.
module rill_some #(
    parameter int WIDTH = 8
) (
    input logic clk_i,
    input logic signed [WIDTH-1:0] a_i,
    output logic [WIDTH-1:0] b_o
);
  localparam int MOST = 9;
  logic [WIDTH-1:0] a_q, b_q;
  wire high = a_q >= WIDTH'(MOST);

  always_ff @(posedge clk_i) begin
    a_q <= a_i;
    if (high) b_q <= {a_q[3:0], 4'd2};
    b_o <= high ? b_q : '0;
  end
endmodule
"""


def test_every_number_operator_sign_choice_enable_delay_and_statement_is_changed() -> None:
    found = [mutant.name.removeprefix("rill_some: ") for mutant in mutants(SOURCE)]
    assert sorted(found) == sorted(
        [
            "signed -> nothing", "9 -> (9 + 1)", "9 -> (9 - 1)",
            "a_q -> a_i", "a_q -> a_i #2", ">= -> >", "MOST -> (MOST + 1)", "MOST -> (MOST - 1)",
            "a_q <= a_i; -> ;", "(high) -> (1'b1)", "(high) -> (1'b0)", "b_q <= {a_q[3:0], 4'd2}; -> ;",
            "{a_q[3:0], 4'd2} -> {4'd2, a_q[3:0]}", "[3:0] -> [(3) - 1:0]", "[3:0] -> [3:(0) + 1]",
            "4'd2 -> 4'd3", "4'd2 -> 4'd1", "b_o <= high ? b_q : '0; -> ;", "? -> == 1'b0 ?", "'0 -> '1",
        ]
    )  # fmt: skip


def test_a_mutant_is_one_change_of_the_file() -> None:
    mutant = next(each for each in mutants(SOURCE) if each.new == "4'd3")
    assert mutant.of(SOURCE) == SOURCE.replace("4'd2", "4'd3")
    assert mutant.line == 15


def test_every_equivalent_mutant_is_one_of_the_gateware() -> None:
    assert set(equivalents(EQUIVALENT)) <= {mutant.name for mutant in all_mutants()}


@pytest.mark.slow
def test_vectors_catch_mutants(tmp_path: Path) -> None:
    if shutil.which("iverilog") is None:
        pytest.skip("iverilog is not installed")
    plain = small_bundle("plain", tmp_path / "bundles")
    vectors = [*simulate_alone(tmp_path), *simulate_layer(plain, tmp_path)]
    wanted = {
        "rill_cell: 32'sd16383 -> 32'sd16384": CAUGHT,
        "rill_lanes: first_product_q -> first_q": CAUGHT,
        "rill_cell: p_whole > 32767 -> p_whole >= 32767": SURVIVES,
    }
    for mutant in all_mutants():
        if mutant.name in wanted:
            assert fate(vectors, mutant) == wanted[mutant.name], mutant.name
