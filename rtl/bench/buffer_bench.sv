// Reads layers from `rill_weight_buffer` as `rill_layer` does, with a memory behind it that answers at random.
//
//   weights.hex   what lies in the memory
//   +x=FILE       a line a layer: base, words of a group, groups, and how often a group is read, in hexadecimal
//   +trace=FILE   a line a word that was read: 0 and the word; and a request: 1 and its address and words
//   +limit=N      stop after so many clocks
//   +wait         the memory pauses at random, before a beat and a request
//
// Before that the first layer is interrupted by a reset after 1, 2, 3, ... clocks, so that one finds everything under way.
`timescale 1ns / 1ps
module buffer_bench #(
    parameter int UNITS = 2,
    parameter int GROUP_WORDS = 6,
    parameter int FILL_WIDTH = 32,
    parameter int WEIGHT_WORDS = 64
);
  localparam int WORD = 32 * UNITS;
  localparam int BEATS = WORD / FILL_WIDTH;  // of a word
  localparam int WEIGHT_ADDR = $clog2(WEIGHT_WORDS);
  localparam int SIZE_WIDTH = 6;
  localparam int RESETS = 40;  // in each phase of a first layer
  localparam int READ_CLOCKS = 4;  // from a word to its data: the register of the address, and three

  logic clk = 0, rst_n = 0, start = 0, ready, next, fetch_valid, fetch_ready = 0, fill_valid = 0;
  logic [WEIGHT_ADDR-1:0] base, addr, fetch_addr;
  logic [SIZE_WIDTH-1:0] words, groups, fetch_words;
  logic [WORD-1:0] data;
  logic [FILL_WIDTH-1:0] fill_data = 0;

  rill_weight_buffer #(
      .UNITS(UNITS),
      .GROUP_WORDS(GROUP_WORDS),
      .FILL_WIDTH(FILL_WIDTH),
      .SIZE_WIDTH(SIZE_WIDTH),
      .WEIGHT_ADDR(WEIGHT_ADDR)
  ) dut (
      .clk_i(clk),
      .rst_ni(rst_n),
      .start_i(start),
      // What a layer is counts at its start, and is something else afterwards.
      .base_i(start ? base : 'x),
      .words_i(start ? words : 'x),
      .groups_i(start ? groups : 'x),
      .ready_o(ready),
      .next_i(next),
      .addr_i(addr),
      .data_o(data),
      .fetch_valid_o(fetch_valid),
      .fetch_ready_i(fetch_ready),
      .fetch_addr_o(fetch_addr),
      .fetch_words_o(fetch_words),
      .fill_valid_i(fill_valid),
      .fill_data_i(fill_data)
  );

  always #5 clk = !clk;

  string path;
  int x_file, trace_file, got, limit, passes, after;
  int clocks = 0;
  logic waits, written = 0;

  // As in rill_layer: a word a clock, a group `passes` times; the address has a register.
  logic busy = 0;
  int word = 0, pass = 0, group = 0;
  logic [WEIGHT_ADDR-1:0] group_base, addr_q;
  logic [READ_CLOCKS-1:0] read_q = 0;
  wire step = busy && (word != 0 || pass != 0 || ready);
  wire pass_last = step && word == int'(words) - 1;

  assign next = pass_last && pass == passes - 1;

  always @(posedge clk) begin
    clocks <= clocks + 1;
    if (clocks == limit) $fatal(1, "not done after %0d clocks", limit);
    addr <= addr_q;
    read_q <= {read_q[READ_CLOCKS-2:0], step};
    if (written && read_q[READ_CLOCKS-1]) $fwrite(trace_file, "0 %h 0\n", data);
    if (rst_n && written && fetch_valid !== 1'b0 && fetch_ready) $fwrite(trace_file, "1 %h %h\n", fetch_addr, fetch_words);
    if (!rst_n) begin
      busy  <= 0;
      read_q <= 0;
    end else if (start) begin
      busy <= 1;
      group_base <= base;
      addr_q <= base;
      word <= 0;
      pass <= 0;
      group <= 0;
    end else if (pass_last) begin
      word <= 0;
      addr_q <= group_base;
      pass <= next ? 0 : pass + 1;
      if (next) begin
        group <= group + 1;
        group_base <= group_base + WEIGHT_ADDR'(words);
        addr_q <= group_base + WEIGHT_ADDR'(words);
        busy <= group != int'(groups) - 1;
      end
    end else if (step) begin
      word <= word + 1;
      addr_q <= addr_q + 1'b1;
    end
  end

  logic [WORD-1:0] image[0:WEIGHT_WORDS-1];
  int at, left = 0;

  initial $readmemh("weights.hex", image);

  // A memory that answers one request after another. Everything changes at the falling edge.
  always @(negedge clk) begin
    fill_valid = left != 0 && (!waits || $urandom % 3 == 0);
    fill_data = {FILL_WIDTH{1'bx}};
    if (fill_valid) begin
      fill_data = image[at/BEATS][FILL_WIDTH*(at%BEATS)+:FILL_WIDTH];
      at = at + 1;
      left = left - 1;
    end
    fetch_ready = left == 0 && !fill_valid && (!waits || $urandom % 3 == 0);
    if (!rst_n) left = 0;
    else if (fetch_valid && fetch_ready) begin
      at = int'(fetch_addr) * BEATS;
      left = int'(fetch_words) * BEATS;
    end
  end

  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    waits = $test$plusargs("wait");
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    got = $fscanf(x_file, "%h %h %h %h", base, words, groups, passes);
    for (after = 1; after <= RESETS; after++) begin
      rst_n = 0;
      repeat (2) @(negedge clk);
      rst_n = 1;
      @(negedge clk);
      start = 1;
      @(negedge clk);
      start = 0;
      repeat (after) @(negedge clk);
    end
    rst_n = 0;
    repeat (2) @(negedge clk);
    rst_n   = 1;
    written = 1;
    repeat (4) @(negedge clk);  // nobody asks for anything
    while (got == 4) begin
      start = 1;
      @(negedge clk);
      start = 0;
      while (busy) @(negedge clk);
      repeat (8) @(negedge clk);  // as a layer's last results take
      got = $fscanf(x_file, "%h %h %h %h", base, words, groups, passes);
    end
    $display("%0d clocks in all", clocks);
    $fclose(trace_file);
    $finish;
  end
endmodule
