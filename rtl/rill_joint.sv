// The joint's hidden vector: an encoder frame and the prediction network's, added and rounded (rule 6), in three clocks.
//
//   e_i ─►┌───┐  max 0  │ sum │  / 64, half to even  │ rounded │  at most 255  │ a │──► a_o
//   g_i ─►│ + │────────►│     │─────────────────────►│         │──────────────►│   │
//         └───┘
module rill_joint (
    input logic clk_i,
    input logic signed [15:0] e_i,
    input logic signed [15:0] g_i,
    output logic [7:0] a_o  // unsigned
);
  logic [15:0] sum_q;  // below 2^16
  logic [10:0] rounded_q;
  wire signed [16:0] sum = 17'(e_i) + 17'(g_i);

  always_ff @(posedge clk_i) begin
    sum_q <= sum[16] ? 16'd0 : sum[15:0];
    rounded_q <= 11'((17'(sum_q) + 17'd31 + 17'(sum_q[6])) >> 6);
    a_o <= (rounded_q > 11'd255) ? 8'd255 : rounded_q[7:0];
  end
endmodule
