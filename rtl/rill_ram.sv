// A memory: one port writes, one reads.
//
//   write_i ─────►┌────────┐   ┌───┐   ┌───┐
//   waddr_i ─────►│ words  │──►│   │──►│   │──► rdata_o, two clocks after raddr_i
//   wdata_i ─────►│        │   └───┘   └───┘
//   raddr_i ─────►└────────┘   block   fabric
//
// Nothing but a wire lies between both registers: the clock-to-output of a block RAM is most of a period.
// Nobody may rely on what comes of a word that is written and read in the same clock.
module rill_ram #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 16,
    parameter int ADDR = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input logic clk_i,
    input logic write_i,
    input logic [ADDR-1:0] waddr_i,
    input logic [WIDTH-1:0] wdata_i,
    input logic [ADDR-1:0] raddr_i,
    output logic [WIDTH-1:0] rdata_o
);
  logic [WIDTH-1:0] words[0:DEPTH-1];
  logic [WIDTH-1:0] block_q;

  always_ff @(posedge clk_i) begin
    if (write_i) words[waddr_i] <= wdata_i;
    block_q <= words[raddr_i];
    rdata_o <= block_q;
  end
endmodule
