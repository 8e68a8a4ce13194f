// Replays steps of one LSTM layer and writes down what comes out.
//
//   +x=FILE       bytes of x, in hexadecimal: for each step, for each channel, INPUTS of them
//   +state=FILE   h and c before each step, for each channel and unit; without it all begin with zeros, once
//   +trace=FILE   what came: a line "h c" a unit, in hexadecimal, in the order of rill_walk
//   +vcd=FILE     every signal of the layer
//   +limit=N      stop after so many clocks
//   +idle +stall  the source pauses at random, the sink does
`timescale 1ns / 1ps
module lstm_layer_bench #(
    parameter int INPUTS = 16,
    parameter int HIDDEN = 16,
    parameter int UNITS = 1,
    parameter int SHIFT_X = 0,
    parameter int SHIFT_H = 0,
    parameter int SHIFT = 1,
    parameter int ACC_WIDTH = 24,
    parameter int CHANNELS = 1,
    parameter WEIGHTS = "weights.hex",
    parameter BIASES = "biases.hex"
);
  localparam int CHANNEL_WIDTH = (CHANNELS > 1) ? $clog2(CHANNELS) : 1;
  localparam int UNIT_WIDTH = (HIDDEN > 1) ? $clog2(HIDDEN) : 1;

  logic clk = 0, rst_n = 0;
  logic x_valid = 0, x_ready, x_fresh = 0, load = 0, h_valid, h_ready = 0;
  logic [7:0] x_data = 0, load_h = 0, h_data;
  logic [15:0] load_c = 0, c_data;
  logic [CHANNEL_WIDTH-1:0] load_channel = 0;
  logic [UNIT_WIDTH-1:0] load_unit = 0;

`ifdef NETLIST  // what synthesis made of the module with these parameters
  rill_lstm_layer dut (
`else
  rill_lstm_layer #(
      .INPUTS(INPUTS),
      .HIDDEN(HIDDEN),
      .UNITS(UNITS),
      .SHIFT_X(SHIFT_X),
      .SHIFT_H(SHIFT_H),
      .SHIFT(SHIFT),
      .ACC_WIDTH(ACC_WIDTH),
      .CHANNELS(CHANNELS),
      .WEIGHTS(WEIGHTS),
      .BIASES(BIASES)
  ) dut (
`endif
      .clk_i(clk),
      .rst_ni(rst_n),
      .x_valid_i(x_valid),
      .x_ready_o(x_ready),
      .x_data_i(x_data),
      .x_fresh_i(x_fresh),
      .load_i(load),
      .load_channel_i(load_channel),
      .load_unit_i(load_unit),
      .load_h_i(load_h),
      .load_c_i(load_c),
      .h_valid_o(h_valid),
      .h_ready_i(h_ready),
      .h_data_o(h_data),
      .c_data_o(c_data)
  );

  always #5 clk = !clk;

  string path;
  int x_file, state_file, trace_file, got, value, limit;
  int results = 0, clocks = 0, begun = 0, sent = 0;
  logic idle, stall;

  // Everything changes at the falling edge, and passes at the rising one.
  always @(negedge clk) h_ready <= rst_n && (!stall || $urandom % 3 == 0);

  always @(posedge clk) begin
    clocks <= clocks + 1;
    if (clocks == limit) $fatal(1, "not done after %0d clocks", limit);
    if (rst_n && h_valid !== 1'b0 && h_ready) begin
      $fwrite(trace_file, "%h %h\n", h_data, c_data);
      results <= results + 1;
    end
`ifndef NETLIST
    if (dut.start) begun <= clocks;
    if (dut.done && sent == 2) $display("clocks a step: %0d", clocks - begun);
`endif
  end

  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    idle = $test$plusargs("idle");
    stall = $test$plusargs("stall");
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    state_file = 0;
    if ($value$plusargs("state=%s", path)) state_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    if ($value$plusargs("vcd=%s", path)) begin
      $dumpfile(path);
      $dumpvars(0, dut);
    end
    repeat (4) @(negedge clk);
    rst_n = 1;
    got = $fscanf(x_file, "%h", value);
    while (got == 1) begin
      if (state_file != 0) begin
        while (results != sent * CHANNELS * HIDDEN) @(negedge clk);
        for (int n = 0; n < CHANNELS * HIDDEN; n++) begin
          load_channel = CHANNEL_WIDTH'(n / HIDDEN);
          load_unit = UNIT_WIDTH'(n % HIDDEN);
          got = $fscanf(state_file, "%h %h", load_h, load_c);
          load = 1;
          @(negedge clk);
        end
        load = 0;
      end
      for (int n = 0; n < CHANNELS * INPUTS; n++) begin
        while (idle && $urandom % 3 != 0) @(negedge clk);
        x_data = 8'(value);
        x_fresh = sent == 0 && state_file == 0;
        x_valid = 1;
        #1;
        while (!x_ready) begin
          @(negedge clk);
          #1;
        end
        @(negedge clk);
        x_valid = 0;
        got = $fscanf(x_file, "%h", value);
      end
      sent = sent + 1;
    end
    while (results != sent * CHANNELS * HIDDEN) @(negedge clk);
    repeat (20) @(negedge clk);
    $display("%0d clocks in all", clocks);
    $fclose(trace_file);
    $finish;
  end
endmodule
