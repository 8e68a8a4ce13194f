// Drives both ends of `rill_fifo`, and writes down what it answers.
//
//   +x=FILE       a line a clock: whether a word comes, the word, whether one is taken, in hexadecimal
//   +trace=FILE   a line a clock: ready, valid, the word that waits (0 without one), empty
//   +limit=N      stop after so many clocks
`timescale 1ns / 1ps
module fifo_bench #(
    parameter int DEPTH = 3
);
  logic clk = 0, rst_n = 0, in_valid = 0, in_ready, out_valid, out_ready = 0, empty;
  logic [7:0] in_data = 0, out_data;

  rill_fifo #(
      .DEPTH(DEPTH)
  ) dut (
      .clk_i(clk),
      .rst_ni(rst_n),
      .valid_i(in_valid),
      .ready_o(in_ready),
      .data_i(in_data),
      .valid_o(out_valid),
      .ready_i(out_ready),
      .data_o(out_data),
      .empty_o(empty)
  );

  always #5 clk = !clk;

  string path;
  int x_file, trace_file, got, limit, comes, word, taken;
  int clocks = 0;

  always @(posedge clk) begin
    clocks <= clocks + 1;
    if (clocks == limit) $fatal(1, "not done after %0d clocks", limit);
    if (rst_n) $fwrite(trace_file, "%b %b %h %b\n", in_ready, out_valid, out_valid ? out_data : 8'd0, empty);
  end

  // Everything changes at the falling edge.
  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    @(negedge clk);
    @(negedge clk);
    got = $fscanf(x_file, "%h %h %h", comes, word, taken);
    while (got == 3) begin
      rst_n = 1;
      in_valid = comes != 0;
      in_data = 8'(word);
      out_ready = taken != 0;
      @(negedge clk);
      got = $fscanf(x_file, "%h %h %h", comes, word, taken);
    end
    $display("%0d clocks in all", clocks);
    $fclose(trace_file);
    $finish;
  end
endmodule
