// A memory that is read only: weights or biases that were there before the first clock.
//
//   FILE ──►┌────────┐   ┌───┐   ┌───┐
//           │ words  │──►│   │──►│   │──► rdata_o, two clocks after raddr_i
//  raddr_i ►└────────┘   └───┘   └───┘
//                        block   fabric
//
// With CLOCKS 3 a third register follows.
module rill_rom #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 16,
    parameter int CLOCKS = 2,
    parameter FILE = "",  // for $readmemh, a word a line
    parameter int ADDR = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input logic clk_i,
    input logic [ADDR-1:0] raddr_i,
    output logic [WIDTH-1:0] rdata_o
);
  logic [WIDTH-1:0] words[0:DEPTH-1];
  logic [WIDTH-1:0] block_q, fabric_q;

  initial begin
    if (FILE != "") $readmemh(FILE, words);
  end

  always_ff @(posedge clk_i) begin
    block_q <= words[raddr_i];
    fabric_q <= block_q;
  end

  if (CLOCKS == 2) begin : g_wire
    assign rdata_o = fabric_q;
  end else begin : g_register
    always_ff @(posedge clk_i) rdata_o <= fabric_q;
  end
endmodule
