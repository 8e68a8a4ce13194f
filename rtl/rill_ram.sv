// A memory: one port writes, one reads.
//
//   write_i ─────►┌────────┐   ┌───┐   ┌───┐
//   waddr_i ─────►│ words  │──►│   │──►│   │──► rdata_o, two clocks after raddr_i
//   wdata_i ─────►│        │   └───┘   └───┘
//   raddr_i ─────►└────────┘   block   fabric
//
// Nothing but a wire lies between both registers: the clock-to-output of a block RAM is most of a period. A memory of many
// blocks needs a choice between them, for which CLOCKS is 3: banks of BANK words, each with both registers, and behind
// them the choice with a third one.
//
// Nobody may rely on what comes of a word that is written and read in the same clock.
module rill_ram #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 16,
    parameter int CLOCKS = 2,
    parameter int ADDR = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input logic clk_i,
    input logic write_i,
    input logic [ADDR-1:0] waddr_i,
    input logic [WIDTH-1:0] wdata_i,
    input logic [ADDR-1:0] raddr_i,
    output logic [WIDTH-1:0] rdata_o
);
  localparam int PLACE = (CLOCKS == 2 || ADDR < 11) ? ADDR : 11;  // bits of the address in a bank
  localparam int BANK = 1 << PLACE;
  localparam int BANKS = (DEPTH + BANK - 1) / BANK;

  logic [WIDTH*BANKS-1:0] banks_q;

  for (genvar bank = 0; bank < BANKS; bank++) begin : g_bank
    logic [WIDTH-1:0] words[0:((BANKS>1)?BANK:DEPTH)-1];
    logic [WIDTH-1:0] block_q;

    always_ff @(posedge clk_i) begin
      if (write_i && (waddr_i >> PLACE) == ADDR'(bank)) words[waddr_i[PLACE-1:0]] <= wdata_i;
      block_q <= words[raddr_i[PLACE-1:0]];
      banks_q[WIDTH*bank+:WIDTH] <= block_q;
    end
  end

  if (CLOCKS == 2) begin : g_wire
    assign rdata_o = banks_q;
  end else begin : g_choice
    logic [ADDR-1:0] bank_q[0:1];

    always_ff @(posedge clk_i) begin
      bank_q[0] <= raddr_i >> PLACE;
      bank_q[1] <= bank_q[0];
      rdata_o <= banks_q[WIDTH*bank_q[1]+:WIDTH];
    end
  end
endmodule
