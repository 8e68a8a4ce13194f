// A memory that is read only: weights or biases that were there before the first clock.
//
//   FILE ──►┌────────┐   ┌───┐   ┌───┐
//           │ words  │──►│   │──►│   │──► rdata_o, two clocks after raddr_i
//  raddr_i ►└────────┘   └───┘   └───┘
//                        block   fabric
module rill_rom #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 16,
    parameter FILE = "",  // for $readmemh, a word a line
    parameter int ADDR = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input logic clk_i,
    input logic [ADDR-1:0] raddr_i,
    output logic [WIDTH-1:0] rdata_o
);
  logic [WIDTH-1:0] words[0:DEPTH-1];
  logic [WIDTH-1:0] block_q;

  initial begin
    if (FILE != "") $readmemh(FILE, words);
  end

  always_ff @(posedge clk_i) begin
    block_q <= words[raddr_i];
    rdata_o <= block_q;
  end
endmodule
