// rill_lstm_layer with few pins, to be placed and routed alone: nothing is loaded, c does not leave the chip.
module layer_pins #(
    parameter int INPUTS = 16,
    parameter int HIDDEN = 16,
    parameter int UNITS = 1,
    parameter int SHIFT_X = 0,
    parameter int SHIFT = 1,
    parameter WEIGHTS = "",
    parameter BIASES = ""
) (
    input logic clk_i,
    input logic rst_ni,
    input logic x_valid_i,
    output logic x_ready_o,
    input logic [7:0] x_data_i,
    input logic x_fresh_i,
    output logic h_valid_o,
    input logic h_ready_i,
    output logic [7:0] h_data_o
);
  logic [15:0] unused_c;

  rill_lstm_layer #(
      .INPUTS(INPUTS),
      .HIDDEN(HIDDEN),
      .UNITS(UNITS),
      .SHIFT_X(SHIFT_X),
      .SHIFT(SHIFT),
      .WEIGHTS(WEIGHTS),
      .BIASES(BIASES)
  ) layer (
      .clk_i,
      .rst_ni,
      .x_valid_i,
      .x_ready_o,
      .x_data_i,
      .x_fresh_i,
      .load_i(1'b0),
      .load_channel_i('0),
      .load_unit_i('0),
      .load_h_i('0),
      .load_c_i('0),
      .h_valid_o,
      .h_ready_i,
      .h_data_o,
      .c_data_o(unused_c)
  );
endmodule
