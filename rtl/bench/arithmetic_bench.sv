// Sends values through `rill_round` and `rill_joint`, and writes down what comes out.
//
//   +x=FILE       lines of shift, sum and bias, e and g, and whether the result is written, in hexadecimal
//   +trace=FILE   a line "value a" for each of those
//   +limit=N      stop after so many clocks
`timescale 1ns / 1ps
module arithmetic_bench #(
    parameter int ACC_WIDTH = 24
);
  localparam int ROUND_CLOCKS = 4;

  logic clk = 0, written = 0;
  logic [4:0] shift;
  logic signed [ACC_WIDTH-1:0] sum, bias;
  logic signed [ACC_WIDTH:0] value;
  logic signed [15:0] e, g;
  logic [7:0] a, a_q;
  logic [ROUND_CLOCKS-1:0] written_q = '0;

  rill_round #(
      .ACC_WIDTH(ACC_WIDTH)
  ) round (
      .clk_i(clk),
      .shift_i(shift),
      .sum_i(sum),
      .bias_i(bias),
      .value_o(value)
  );

  rill_joint joint (
      .clk_i(clk),
      .e_i(e),
      .g_i(g),
      .a_o(a)
  );

  always #5 clk = !clk;

  string path;
  int x_file, trace_file, got, limit;
  int line[0:5];  // what $fscanf writes does not wake the logic behind it in Verilator 5.006, assignments do
  int clocks = 0;

  always @(posedge clk) begin
    clocks <= clocks + 1;
    if (clocks == limit) $fatal(1, "not done after %0d clocks", limit);
    written_q <= {written_q[ROUND_CLOCKS-2:0], written};
    a_q <= a;  // rill_joint takes a clock less
    if (written_q[ROUND_CLOCKS-1]) $fwrite(trace_file, "%h %h\n", value, a_q);
  end

  // Everything changes at the falling edge.
  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    got = $fscanf(x_file, "%h %h %h %h %h %h", line[0], line[1], line[2], line[3], line[4], line[5]);
    while (got == 6) begin
      shift = 5'(line[0]);
      sum = ACC_WIDTH'(line[1]);
      bias = ACC_WIDTH'(line[2]);
      e = 16'(line[3]);
      g = 16'(line[4]);
      written = line[5] != 0;
      @(negedge clk);
      got = $fscanf(x_file, "%h %h %h %h %h %h", line[0], line[1], line[2], line[3], line[4], line[5]);
    end
    written = 0;
    repeat (ROUND_CLOCKS + 1) @(negedge clk);
    $display("%0d clocks in all", clocks);
    $fclose(trace_file);
    $finish;
  end
endmodule
