// Sends gate inputs and cells through `rill_cell` and writes down what comes out.
//
//   +x=FILE       lines of z_i, z_f, z_g, z_o and c, in hexadecimal
//   +trace=FILE   a line "h c" for each
//   +limit=N      stop after so many clocks
//   +idle         the source pauses at random
`timescale 1ns / 1ps
module cell_bench #(
    parameter int Z_WIDTH = 25
);
  logic clk = 0, rst_n = 0, valid = 0, done;
  logic signed [Z_WIDTH-1:0] z_i, z_f, z_g, z_o;
  logic signed [15:0] c, c_after;
  logic signed [7:0] h_after;

  rill_cell #(
      .Z_WIDTH(Z_WIDTH)
  ) dut (
      .clk_i(clk),
      .rst_ni(rst_n),
      .valid_i(valid),
      .z_i,
      .z_f,
      .z_g,
      .z_o,
      .c_i(c),
      .valid_o(done),
      .c_o(c_after),
      .h_o(h_after)
  );

  always #5 clk = !clk;

  string path;
  int x_file, trace_file, got, limit;
  int sent = 0, results = 0, clocks = 0;
  logic idle;

  always @(posedge clk) begin
    clocks <= clocks + 1;
    if (clocks == limit) $fatal(1, "not done after %0d clocks", limit);
    if (rst_n && done !== 1'b0) begin
      $fwrite(trace_file, "%h %h\n", h_after, c_after);
      results <= results + 1;
    end
  end

  // Everything changes at the falling edge.
  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    idle = $test$plusargs("idle");
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    repeat (4) @(negedge clk);
    rst_n = 1;
    got = $fscanf(x_file, "%h %h %h %h %h", z_i, z_f, z_g, z_o, c);
    while (got == 5) begin
      valid = 1;
      sent = sent + 1;
      @(negedge clk);
      valid = 0;
      while (idle && $urandom % 3 == 0) @(negedge clk);
      got = $fscanf(x_file, "%h %h %h %h %h", z_i, z_f, z_g, z_o, c);
    end
    while (results != sent) @(negedge clk);
    repeat (20) @(negedge clk);
    $display("%0d clocks in all", clocks);
    $fclose(trace_file);
    $finish;
  end
endmodule
