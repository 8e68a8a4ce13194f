// Writes down what `rill_external` has room for.
//
//   +trace=FILE   a line: the words of a group in its buffer, and the banks of its embedding
`timescale 1ns / 1ps
module sizes_bench #(
    parameter int INPUTS = 240,
    parameter int HIDDEN = 16,
    parameter int PREDICTION_HIDDEN = 8,
    parameter int JOINT = 16,
    parameter int CLASSES = 21
);
  rill_external #(
      .INPUTS(INPUTS),
      .HIDDEN(HIDDEN),
      .PREDICTION_HIDDEN(PREDICTION_HIDDEN),
      .JOINT(JOINT),
      .CLASSES(CLASSES)
  ) dut (
      .clk_i(1'b0),
      .rst_ni(1'b0),
      .x_valid_i(1'b0),
      .x_ready_o(),
      .x_data_i(8'd0),
      .x_last_i(1'b0),
      .x_begin_i(1'b0),
      .x_mute_i(1'b0),
      .token_valid_o(),
      .token_ready_i(1'b0),
      .token_data_o(),
      .token_channel_o(),
      .fetch_valid_o(),
      .fetch_ready_i(1'b0),
      .fetch_addr_o(),
      .fetch_words_o(),
      .fill_valid_i(1'b0),
      .fill_data_i('0)
  );

  string path;
  int trace_file;

  initial begin
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    $fwrite(trace_file, "%h %h\n", dut.GROUP_WORDS, dut.transducer.EMBED_BANKS);
    $fclose(trace_file);
    $display("0 clocks in all");
    $finish;
  end
endmodule
