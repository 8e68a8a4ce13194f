// Loads `rill_weights` twice, and reads what it holds.
//
//   +x=FILE       the bytes of the first load, and of the second, in hexadecimal
//   +trace=FILE   a line a word, of each load, with the number of bytes that were taken until then
//   +limit=N      stop after so many clocks
//   +idle         the source pauses at random
`timescale 1ns / 1ps
module weights_bench #(
    parameter int UNITS = 2,
    parameter int WORDS = 5
);
  localparam int ADDR = $clog2(WORDS);

  logic clk = 0, rst_n = 0, load_valid = 0, load_ready, ready;
  logic [7:0] load_data = 0;
  logic [ADDR-1:0] raddr = 0;
  logic [32*UNITS-1:0] rdata;

  rill_weights #(
      .UNITS(UNITS),
      .WORDS(WORDS)
  ) dut (
      .clk_i(clk),
      .rst_ni(rst_n),
      .load_valid_i(load_valid),
      .load_ready_o(load_ready),
      .load_data_i(load_data),
      .ready_o(ready),
      .raddr_i(raddr),
      .rdata_o(rdata)
  );

  always #5 clk = !clk;

  string path;
  int x_file, trace_file, got, limit;
  int clocks = 0, taken = 0;
  logic idle;

  always @(posedge clk) begin
    clocks <= clocks + 1;
    if (clocks == limit) $fatal(1, "not done after %0d clocks", limit);
    if (rst_n && load_valid && load_ready) taken <= taken + 1;
  end

  // Everything changes at the falling edge.
  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    idle = $test$plusargs("idle");
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    for (int load = 0; load < 2; load++) begin
      rst_n = 0;
      repeat (2) @(negedge clk);
      rst_n = 1;
      for (int n = 0; n < 4 * UNITS * WORDS; n++) begin
        while (idle && $urandom % 3 == 0) @(negedge clk);
        got = $fscanf(x_file, "%h", load_data);
        load_valid = 1;
        #1;
        while (!load_ready) begin
          @(negedge clk);
          #1;
        end
        @(negedge clk);
        load_valid = 0;
      end
      // One byte more is not taken.
      load_valid = 1;
      while (!ready) @(negedge clk);
      for (int n = 0; n < WORDS; n++) begin
        raddr = ADDR'(n);
        repeat (2) @(negedge clk);
        $fwrite(trace_file, "%h %h\n", rdata, taken);
      end
      load_valid = 0;
    end
    $display("%0d clocks in all", clocks);
    $fclose(trace_file);
    $finish;
  end
endmodule
