// Multiply-accumulate lanes: every lane its own weight, all the same operand.
//
//   weights_i ──►│ weight  │──►┌───┐  │ product │──►┌───┐  │ sum │──► sums_o, lane 0 in the lowest bits
//   operand_i ──►│ operand │──►│ × │─►│         │   │ + │─►│     │
//                               └───┘             └─▲─┘     │
//                                                   └───────┘   first_i: the sum begins with this product
//
// A product that enters with `valid_i` is in the sums three clocks later; then `last_o` shows that they are whole.
// They stay for one clock: the next sums may begin at once.
module rill_lanes #(
    parameter int LANES = 32,
    parameter int OPERAND_WIDTH = 12,  // 8 bits, a sign, and the largest shift to the left
    parameter int ACC_WIDTH = 24  // holds the bound of rule 9
) (
    input logic clk_i,
    input logic rst_ni,
    input logic valid_i,
    input logic first_i,
    input logic last_i,
    input logic signed [OPERAND_WIDTH-1:0] operand_i,
    input logic [8*LANES-1:0] weights_i,
    output logic last_o,
    output logic [ACC_WIDTH*LANES-1:0] sums_o
);
  localparam int PRODUCT_WIDTH = OPERAND_WIDTH + 8;

  logic signed [OPERAND_WIDTH-1:0] operand_q;
  logic valid_q, first_q, last_q;
  logic valid_product_q, first_product_q, last_product_q;

  always_ff @(posedge clk_i) begin
    operand_q <= operand_i;
    first_q <= first_i;
    first_product_q <= first_q;
    if (!rst_ni) begin
      valid_q <= 1'b0;
      last_q <= 1'b0;
      valid_product_q <= 1'b0;
      last_product_q <= 1'b0;
      last_o <= 1'b0;
    end else begin
      valid_q <= valid_i;
      last_q <= valid_i && last_i;
      valid_product_q <= valid_q;
      last_product_q <= last_q;
      last_o <= last_product_q;
    end
  end

  for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
    logic signed [7:0] weight_q;
    logic signed [PRODUCT_WIDTH-1:0] product_q;
    logic signed [ACC_WIDTH-1:0] sum_q;

    always_ff @(posedge clk_i) begin
      weight_q <= weights_i[8*lane+:8];
      product_q <= weight_q * operand_q;
      if (valid_product_q) sum_q <= (first_product_q ? '0 : sum_q) + ACC_WIDTH'(product_q);
    end

    assign sums_o[ACC_WIDTH*lane+:ACC_WIDTH] = sum_q;
  end
endmodule
