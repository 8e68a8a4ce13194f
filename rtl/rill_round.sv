// Bias and rounding: (sum + bias) / 2^shift, half to even (rhe of docs/integer.md), in four clocks.
//
//   sum_i ──►┌───┐ │ a │──► a[shift] ──► │odd│──► carry ┌───┐ │ t │──►┌────┐ │   │
//            │ + │►│   │───────────────► │ a │─────────►│ + │►│   │──►│ >> │►│   │──► value_o
//   bias_i ─►└───┘                  2^(shift-1) - 1 ───►└───┘         └────┘
//
// A shift of 0 adds nothing.
module rill_round #(
    parameter int ACC_WIDTH = 24,
    parameter int SHIFT_WIDTH = 5
) (
    input logic clk_i,
    input logic [SHIFT_WIDTH-1:0] shift_i,  // the same for all values under way
    input logic signed [ACC_WIDTH-1:0] sum_i,
    input logic signed [ACC_WIDTH-1:0] bias_i,
    output logic signed [ACC_WIDTH:0] value_o
);
  logic signed [ACC_WIDTH-1:0] a_q, a_odd_q;
  logic signed [ACC_WIDTH:0] half_q, t_q;
  logic rounds_q, odd_q;

  always_ff @(posedge clk_i) begin
    rounds_q <= shift_i != '0;
    half_q <= (shift_i == '0) ? '0 : ((ACC_WIDTH + 1)'(1) << (shift_i - 1'b1)) - 1'b1;
    a_q <= sum_i + bias_i;
    a_odd_q <= a_q;
    odd_q <= rounds_q && a_q[shift_i];
    t_q <= (ACC_WIDTH + 1)'(a_odd_q) + half_q + $signed((ACC_WIDTH + 1)'(odd_q));
    value_o <= t_q >>> shift_i;
  end
endmodule
