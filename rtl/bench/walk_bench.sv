// Lets `rill_walk` go through layers, and writes down where it stands.
//
//   +x=FILE       a line a layer: linear, groups, first and last channel, in hexadecimal
//   +trace=FILE   a line a result: index, lane, channel, and whether it is the last one of its group and channel, and of all
//   +limit=N      stop after so many clocks
//   +idle         it pauses at random
`timescale 1ns / 1ps
module walk_bench #(
    parameter int UNITS = 3
);
  logic clk = 0, rst_n = 0, next = 0, linear = 0, last_unit, last;
  logic [11:0] groups = 0, index;
  logic [1:0] first_channel = 0, last_channel = 0, lane, channel;

  rill_walk #(
      .UNITS(UNITS),
      .CHANNEL_WIDTH(2)
  ) dut (
      .clk_i(clk),
      .rst_ni(rst_n),
      .next_i(next),
      .linear_i(linear),
      .groups_i(groups),
      .first_channel_i(first_channel),
      .last_channel_i(last_channel),
      .index_o(index),
      .lane_o(lane),
      .channel_o(channel),
      .last_unit_o(last_unit),
      .last_o(last)
  );

  always #5 clk = !clk;

  string path;
  int x_file, trace_file, got, limit, is_linear, count, begins, ends;
  int clocks = 0;
  logic idle;

  always @(posedge clk) begin
    clocks <= clocks + 1;
    if (clocks == limit) $fatal(1, "not done after %0d clocks", limit);
    if (rst_n && next) $fwrite(trace_file, "%h %h %h %h %h\n", index, lane, channel, last_unit, last);
  end

  // Everything changes at the falling edge.
  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    idle = $test$plusargs("idle");
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    repeat (2) @(negedge clk);
    rst_n = 1;
    got = $fscanf(x_file, "%h %h %h %h", is_linear, count, begins, ends);
    while (got == 4) begin
      linear = is_linear != 0;
      groups = 12'(count);
      first_channel = 2'(begins);
      last_channel = 2'(ends);
      for (int n = 0; n < count * UNITS * (ends - begins + 1) * (linear ? 4 : 1); n++) begin
        next = 0;
        while (idle && $urandom % 3 == 0) @(negedge clk);
        next = 1;
        @(negedge clk);
      end
      next = 0;
      got = $fscanf(x_file, "%h %h %h %h", is_linear, count, begins, ends);
    end
    $display("%0d clocks in all", clocks);
    $fclose(trace_file);
    $finish;
  end
endmodule
