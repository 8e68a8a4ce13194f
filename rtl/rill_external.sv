// A whole transducer whose weights lie outside: rill_transducer and the buffer through which it reads them.
//
//   x ──►┌─────────────────┐──► token
//        │ rill_transducer │
//        └───────▲─────────┘
//                │ a word of 4 UNITS bytes a clock
//      ┌─────────┴──────────┐──► fetch: the words of a group        ┌────────┐
//      │ rill_weight_buffer │                                       │ memory │
//      └────────────────────┘◄── fill: beats of FILL_WIDTH bits     └────────┘
//
// This is what `make rtl-pnr` places and routes. The memory holds the lines of weights.hex, the lowest byte of each first.
module rill_external #(
    parameter int UNITS = 8,
    parameter int CHANNELS = 1,
    parameter int FILL_WIDTH = 128,
    parameter int PRE_LAYERS = 1,
    parameter int POST_LAYERS = 1,
    parameter int PREDICTION_LAYERS = 1,
    parameter int INPUTS = 240,
    parameter int HIDDEN = 16,
    parameter int PREDICTION_HIDDEN = 8,
    parameter int JOINT = 16,
    parameter int CLASSES = 21,  // the last one is blank
    parameter int SYMBOLS = 30,
    parameter int RUNNING_SYMBOLS = 0,
    parameter int ACC_WIDTH = 24,
    parameter int OPERAND_WIDTH = 12,
    parameter int SIZE_WIDTH = 12,
    parameter int ACT_STRIDE = 1024,
    parameter int CELL_STRIDE = 64,
    parameter int WEIGHT_WORDS = 16384,
    parameter int BIAS_WORDS = 256,
    parameter int EMBED_BASE = 0,  // where activations of the prediction network's x and of a begin
    parameter int JOINT_BASE = 0,
    parameter LAYERS = "",
    parameter BIASES = "",
    parameter EMBEDDING = "",
    parameter int CHANNEL_WIDTH = (CHANNELS > 1) ? $clog2(CHANNELS) : 1,
    parameter int CLASS_WIDTH = $clog2(CLASSES),
    parameter int WEIGHT_ADDR = $clog2(WEIGHT_WORDS)
) (
    input logic clk_i,
    input logic rst_ni,

    input logic x_valid_i,
    output logic x_ready_o,
    input logic [7:0] x_data_i,
    input logic x_last_i,
    input logic x_begin_i,
    input logic x_mute_i,

    output logic token_valid_o,
    input logic token_ready_i,
    output logic [CLASS_WIDTH-1:0] token_data_o,
    output logic [CHANNEL_WIDTH-1:0] token_channel_o,

    output logic fetch_valid_o,
    input logic fetch_ready_i,
    output logic [WEIGHT_ADDR-1:0] fetch_addr_o,
    output logic [SIZE_WIDTH-1:0] fetch_words_o,
    input logic fill_valid_i,
    input logic [FILL_WIDTH-1:0] fill_data_i
);
  function automatic int larger(input int a, input int b);
    larger = (a > b) ? a : b;
  endfunction

  // The first layer, the one that reads pairs, those of the prediction network, the logits.
  localparam int ENCODER_WORDS = larger(INPUTS, 2 * HIDDEN) + HIDDEN;
  localparam int GROUP_WORDS = larger(ENCODER_WORDS, larger(2 * PREDICTION_HIDDEN, JOINT));

  logic weight_ready, weight_next, weight_start;
  logic [WEIGHT_ADDR-1:0] weight_addr, weight_base;
  logic [SIZE_WIDTH-1:0] weight_words, weight_groups;
  logic [32*UNITS-1:0] weight_data;

  rill_transducer #(
      .UNITS(UNITS),
      .CHANNELS(CHANNELS),
      .MEMORY_CLOCKS(3),
      .WEIGHT_LATENCY(3),
      .PRE_LAYERS(PRE_LAYERS),
      .POST_LAYERS(POST_LAYERS),
      .PREDICTION_LAYERS(PREDICTION_LAYERS),
      .INPUTS(INPUTS),
      .HIDDEN(HIDDEN),
      .PREDICTION_HIDDEN(PREDICTION_HIDDEN),
      .JOINT(JOINT),
      .CLASSES(CLASSES),
      .SYMBOLS(SYMBOLS),
      .RUNNING_SYMBOLS(RUNNING_SYMBOLS),
      .ACC_WIDTH(ACC_WIDTH),
      .OPERAND_WIDTH(OPERAND_WIDTH),
      .SIZE_WIDTH(SIZE_WIDTH),
      .ACT_STRIDE(ACT_STRIDE),
      .CELL_STRIDE(CELL_STRIDE),
      .WEIGHT_WORDS(WEIGHT_WORDS),
      .BIAS_WORDS(BIAS_WORDS),
      .EMBED_BASE(EMBED_BASE),
      .JOINT_BASE(JOINT_BASE),
      .LAYERS(LAYERS),
      .BIASES(BIASES),
      .EMBEDDING(EMBEDDING)
  ) transducer (
      .clk_i,
      .rst_ni,
      .x_valid_i,
      .x_ready_o,
      .x_data_i,
      .x_last_i,
      .x_begin_i,
      .x_mute_i,
      .token_valid_o,
      .token_ready_i,
      .token_data_o,
      .token_channel_o,
      .weight_ready_i(weight_ready),
      .weight_next_o(weight_next),
      .weight_addr_o(weight_addr),
      .weight_data_i(weight_data),
      .weight_start_o(weight_start),
      .weight_base_o(weight_base),
      .weight_words_o(weight_words),
      .weight_groups_o(weight_groups)
  );

  rill_weight_buffer #(
      .UNITS(UNITS),
      .GROUP_WORDS(GROUP_WORDS),
      .FILL_WIDTH(FILL_WIDTH),
      .SIZE_WIDTH(SIZE_WIDTH),
      .WEIGHT_ADDR(WEIGHT_ADDR)
  ) buffer (
      .clk_i,
      .rst_ni,
      .start_i(weight_start),
      .base_i(weight_base),
      .words_i(weight_words),
      .groups_i(weight_groups),
      .ready_o(weight_ready),
      .next_i(weight_next),
      .addr_i(weight_addr),
      .data_o(weight_data),
      .fetch_valid_o,
      .fetch_ready_i,
      .fetch_addr_o,
      .fetch_words_o,
      .fill_valid_i,
      .fill_data_i
  );
endmodule
