// The best class: the first of the largest logits (rule 7).
//
//   row_i ──────┬─────────►┌───┐ larger, or the first row
//               │  most ──►│ > │───┐
//   index_i ────┼──────────└───┘   ▼ take
//               └─────────────►│ most │
//               └─────────────►│ best │──► best_o, a clock after the last row
module rill_argmax #(
    parameter int WIDTH = 25,
    parameter int INDEX_WIDTH = 8
) (
    input logic clk_i,
    input logic valid_i,
    input logic signed [WIDTH-1:0] row_i,
    input logic [INDEX_WIDTH-1:0] index_i,  // ascending from 0
    output logic [INDEX_WIDTH-1:0] best_o
);
  logic signed [WIDTH-1:0] most_q;

  always_ff @(posedge clk_i) begin
    if (valid_i && (index_i == '0 || row_i > most_q)) begin
      most_q <= row_i;
      best_o <= index_i;
    end
  end
endmodule
