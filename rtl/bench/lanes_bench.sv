// Sends products through `rill_lanes` and writes down sums.
//
//   +x=FILE       a line a clock: valid, first, last, operand, and a byte of weight for each lane, in hexadecimal
//   +trace=FILE   a line a sum: all lanes
//   +limit=N      stop after so many clocks
`timescale 1ns / 1ps
module lanes_bench #(
    parameter int LANES = 3
);
  localparam int OPERAND_WIDTH = 12;
  localparam int ACC_WIDTH = 24;

  logic clk = 0, rst_n = 0, valid = 0, first = 0, last = 0, whole;
  logic signed [OPERAND_WIDTH-1:0] operand = 0;
  logic [8*LANES-1:0] weights = 0;
  logic [ACC_WIDTH*LANES-1:0] sums;

  rill_lanes #(
      .LANES(LANES),
      .OPERAND_WIDTH(OPERAND_WIDTH),
      .ACC_WIDTH(ACC_WIDTH)
  ) dut (
      .clk_i(clk),
      .rst_ni(rst_n),
      .valid_i(valid),
      .first_i(first),
      .last_i(last),
      .operand_i(operand),
      .weights_i(weights),
      .last_o(whole),
      .sums_o(sums)
  );

  always #5 clk = !clk;

  string path;
  int x_file, trace_file, got, limit;
  int clocks = 0;

  always @(posedge clk) begin
    clocks <= clocks + 1;
    if (clocks == limit) $fatal(1, "not done after %0d clocks", limit);
    if (rst_n && whole !== 1'b0) $fwrite(trace_file, "%h\n", sums);
  end

  // Everything changes at the falling edge.
  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    repeat (3) @(negedge clk);
    rst_n = 1;
    got = $fscanf(x_file, "%h %h %h %h %h", valid, first, last, operand, weights);
    while (got == 5) begin
      @(negedge clk);
      got = $fscanf(x_file, "%h %h %h %h %h", valid, first, last, operand, weights);
    end
    valid = 0;
    repeat (4) @(negedge clk);
    $display("%0d clocks in all", clocks);
    $fclose(trace_file);
    $finish;
  end
endmodule
