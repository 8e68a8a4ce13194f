// A queue of DEPTH words between two ready/valid streams, and the word that waits at its end.
//
//   valid_i, data_i ──►┌──┬──┬──┬──┬──┐   ┌──────┐──► valid_o, data_o
//          ready_o ◄───┤  │  │  │  │  ├──►│ data │
//                      └──┴──┴──┴──┴──┘   └──────┘◄── ready_i
//
// A beat passes in every clock in which valid and ready are both high. valid_o never waits for ready_i, and once high
// it stays, with the same word, until the beat has passed.
module rill_fifo #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 16,
    parameter int ADDR = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
    input logic clk_i,
    input logic rst_ni,
    input logic valid_i,
    output logic ready_o,
    input logic [WIDTH-1:0] data_i,
    output logic valid_o,
    input logic ready_i,
    output logic [WIDTH-1:0] data_o,
    output logic empty_o
);
  logic [WIDTH-1:0] words[0:DEPTH-1];
  logic [ADDR-1:0] write_q, read_q;
  logic [ADDR:0] count_q;
  wire push = valid_i && ready_o;
  wire pop = count_q != '0 && (!valid_o || ready_i);

  function automatic logic [ADDR-1:0] after(input logic [ADDR-1:0] at);
    after = (at == ADDR'(DEPTH - 1)) ? '0 : at + 1'b1;
  endfunction

  assign ready_o = count_q != (ADDR + 1)'(DEPTH);
  assign empty_o = count_q == '0 && !valid_o;

  always_ff @(posedge clk_i) begin
    if (push) words[write_q] <= data_i;
    if (pop) data_o <= words[read_q];
    if (!rst_ni) begin
      write_q <= '0;
      read_q <= '0;
      count_q <= '0;
      valid_o <= 1'b0;
    end else begin
      if (push) write_q <= after(write_q);
      if (pop) read_q <= after(read_q);
      count_q <= count_q + (ADDR + 1)'(push) - (ADDR + 1)'(pop);
      valid_o <= pop || (valid_o && !ready_i);
    end
  end
endmodule
