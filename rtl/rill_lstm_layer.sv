// One LSTM layer with all it needs on the chip: x goes in, h and c of each unit come out, as ready/valid streams.
//
//   x ──►┌──────────────────────────┐     ┌─────────────┐            ┌──────┐
//        │ activations of a channel │────►│             │───┬───────►│ fifo │──► h, c
//   load │   x │ h before │ h after │     │ rill_layer  │   │        └──────┘
//   ────►└──────────▲──────────▲────┘     │             │   │
//                   └──────────┴──────────│─────────────│◄──┤ written where it is not read
//   load ►[ cells ]─────────────────────►│             │   │
//             ▲───────────────────────────│─────────────│───┘
//         [ weights ]───────────────────►│             │
//         [ biases  ]───────────────────►└─────────────┘
//
// A step is CHANNELS * INPUTS bytes of x, channel by channel. x_fresh_i, with any byte of a channel, lets that channel
// begin with h = c = 0. When the last byte has come and the results of the step before have gone, the step
// runs. They come in the order of `rill_walk`: groups of UNITS units, in each the channels, in each the units.
//
// load_i replaces the state of a unit between two steps, as the next step finds it.
module rill_lstm_layer #(
    parameter int INPUTS = 80,
    parameter int HIDDEN = 64,  // a multiple of UNITS
    parameter int UNITS = 8,  // a group: 4 UNITS multipliers
    parameter int SHIFT_X = 0,
    parameter int SHIFT_H = 0,
    parameter int SHIFT = 1,
    parameter int ACC_WIDTH = 24,
    parameter int CHANNELS = 1,
    parameter WEIGHTS = "",  // files for $readmemh, as `python -m export.hardware images` writes them
    parameter BIASES = "",
    parameter int CHANNEL_WIDTH = (CHANNELS > 1) ? $clog2(CHANNELS) : 1,
    parameter int UNIT_WIDTH = (HIDDEN > 1) ? $clog2(HIDDEN) : 1
) (
    input logic clk_i,
    input logic rst_ni,
    input logic x_valid_i,
    output logic x_ready_o,
    input logic [7:0] x_data_i,
    input logic x_fresh_i,
    input logic load_i,
    input logic [CHANNEL_WIDTH-1:0] load_channel_i,
    input logic [UNIT_WIDTH-1:0] load_unit_i,
    input logic [7:0] load_h_i,
    input logic [15:0] load_c_i,
    output logic h_valid_o,
    input logic h_ready_i,
    output logic [7:0] h_data_o,
    output logic [15:0] c_data_o
);
  localparam int WORDS = INPUTS + HIDDEN;
  localparam int GROUPS = HIDDEN / UNITS;
  localparam int SIZE_WIDTH = $clog2(WORDS + 4 * UNITS + 3);
  localparam int SHIFT_WIDTH = 5;
  localparam int SHIFT_LEFT = (SHIFT_X > SHIFT_H) ? SHIFT_X : SHIFT_H;
  localparam int ACT_STRIDE = INPUTS + 2 * HIDDEN;
  localparam int ACT_ADDR = $clog2(CHANNELS * ACT_STRIDE);
  localparam int CELL_ADDR = $clog2(CHANNELS * HIDDEN);
  localparam int WEIGHT_ADDR = $clog2(GROUPS * WORDS);
  localparam int BIAS_ADDR = $clog2(HIDDEN);

  // ---- x comes in ----------------------------------------------------------------------------------------------

  logic running_q, full_q, second_q;  // second_q: the state lies in the second of the places for h
  logic [SIZE_WIDTH-1:0] input_q;
  logic [CHANNEL_WIDTH-1:0] channel_q;
  logic [CHANNELS-1:0] fresh_q;
  logic done, empty;
  wire take = x_valid_i && x_ready_o;
  wire last_input = input_q == SIZE_WIDTH'(INPUTS - 1);
  wire last_channel = channel_q == CHANNEL_WIDTH'(CHANNELS - 1);
  wire start = full_q && !running_q && empty;

  assign x_ready_o = !full_q && !load_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      running_q <= 1'b0;
      full_q <= 1'b0;
      second_q <= 1'b0;
      input_q <= '0;
      channel_q <= '0;
      fresh_q <= '0;
    end else begin
      if (take) begin
        input_q <= last_input ? '0 : input_q + 1'b1;
        if (last_input) channel_q <= last_channel ? '0 : channel_q + 1'b1;
        full_q <= last_input && last_channel;
        if (x_fresh_i) fresh_q[channel_q] <= 1'b1;
      end
      if (start) running_q <= 1'b1;
      if (done) begin
        running_q <= 1'b0;
        full_q <= 1'b0;
        second_q <= !second_q;
        fresh_q <= '0;
      end
    end
  end

  // ---- Memories ------------------------------------------------------------------------------------------------

  localparam logic [ACT_ADDR-1:0] FIRST = ACT_ADDR'(INPUTS);
  localparam logic [ACT_ADDR-1:0] SECOND = ACT_ADDR'(INPUTS + HIDDEN);

  logic h_valid, unused_row_valid, unused_weight_next;
  logic signed [7:0] h;
  logic signed [15:0] c, cell_data;
  logic signed [ACC_WIDTH:0] unused_row;
  logic [SIZE_WIDTH-1:0] index;
  logic [CHANNEL_WIDTH-1:0] channel;
  logic [ACT_ADDR-1:0] act_addr, act_waddr;
  logic [7:0] act_data, act_wdata;
  logic [CELL_ADDR-1:0] cell_addr, cell_waddr;
  logic [15:0] cell_wdata;
  logic [WEIGHT_ADDR-1:0] weight_addr;
  logic [32*UNITS-1:0] weight_data;
  logic [BIAS_ADDR-1:0] bias_addr;
  logic [4*ACC_WIDTH-1:0] bias_data;

  always_comb begin
    if (take) begin
      act_waddr = ACT_ADDR'(channel_q * ACT_STRIDE) + ACT_ADDR'(input_q);
      act_wdata = x_data_i;
    end else if (load_i) begin
      act_waddr = ACT_ADDR'(load_channel_i * ACT_STRIDE) + (second_q ? SECOND : FIRST) + ACT_ADDR'(load_unit_i);
      act_wdata = load_h_i;
    end else begin
      act_waddr = ACT_ADDR'(channel * ACT_STRIDE) + (second_q ? FIRST : SECOND) + ACT_ADDR'(index);
      act_wdata = h;
    end
    if (load_i) begin
      cell_waddr = CELL_ADDR'(load_channel_i * HIDDEN) + CELL_ADDR'(load_unit_i);
      cell_wdata = load_c_i;
    end else begin
      cell_waddr = CELL_ADDR'(channel * HIDDEN) + CELL_ADDR'(index);
      cell_wdata = c;
    end
  end

  rill_ram #(
      .WIDTH(8),
      .DEPTH(CHANNELS * ACT_STRIDE)
  ) activations (
      .clk_i,
      .write_i(take || load_i || h_valid),
      .waddr_i(act_waddr),
      .wdata_i(act_wdata),
      .raddr_i(act_addr),
      .rdata_o(act_data)
  );

  rill_ram #(
      .WIDTH(16),
      .DEPTH(CHANNELS * HIDDEN)
  ) cells (
      .clk_i,
      .write_i(load_i || h_valid),
      .waddr_i(cell_waddr),
      .wdata_i(cell_wdata),
      .raddr_i(cell_addr),
      .rdata_o(cell_data)
  );

  rill_rom #(
      .WIDTH(32 * UNITS),
      .DEPTH(GROUPS * WORDS),
      .FILE(WEIGHTS)
  ) weights (
      .clk_i,
      .raddr_i(weight_addr),
      .rdata_o(weight_data)
  );

  rill_rom #(
      .WIDTH(4 * ACC_WIDTH),
      .DEPTH(HIDDEN),
      .FILE(BIASES)
  ) biases (
      .clk_i,
      .raddr_i(bias_addr),
      .rdata_o(bias_data)
  );

  // ---- The layer -----------------------------------------------------------------------------------------------

  rill_layer #(
      .UNITS(UNITS),
      .ACC_WIDTH(ACC_WIDTH),
      .OPERAND_WIDTH(9 + SHIFT_LEFT),
      .SHIFT_WIDTH(SHIFT_WIDTH),
      .SIZE_WIDTH(SIZE_WIDTH),
      .CHANNELS(CHANNELS),
      .ACT_STRIDE(ACT_STRIDE),
      .CELL_STRIDE(HIDDEN),
      .WEIGHT_ADDR(WEIGHT_ADDR),
      .BIAS_ADDR(BIAS_ADDR)
  ) layer (
      .clk_i,
      .rst_ni,
      .start_i(start),
      .done_o(done),
      .linear_i(1'b0),
      .unsigned_i(1'b0),
      .inputs_i(SIZE_WIDTH'(INPUTS)),
      .hidden_i(SIZE_WIDTH'(HIDDEN)),
      .groups_i(SIZE_WIDTH'(GROUPS)),
      .rows_i(SIZE_WIDTH'(0)),
      .shift_x_i(SHIFT_WIDTH'(SHIFT_X)),
      .shift_h_i(SHIFT_WIDTH'(SHIFT_H)),
      .shift_i(SHIFT_WIDTH'(SHIFT)),
      .x_base_i(ACT_ADDR'(0)),
      .h_base_i(second_q ? SECOND : FIRST),
      .cell_base_i(CELL_ADDR'(0)),
      .weight_base_i(WEIGHT_ADDR'(0)),
      .bias_base_i(BIAS_ADDR'(0)),
      .first_channel_i(CHANNEL_WIDTH'(0)),
      .last_channel_i(CHANNEL_WIDTH'(CHANNELS - 1)),
      .fresh_i(fresh_q),
      .weight_ready_i(1'b1),
      .weight_next_o(unused_weight_next),
      .weight_addr_o(weight_addr),
      .weight_data_i(weight_data),
      .act_addr_o(act_addr),
      .act_data_i(act_data),
      .bias_addr_o(bias_addr),
      .bias_data_i(bias_data),
      .cell_addr_o(cell_addr),
      .cell_data_i(cell_data),
      .h_valid_o(h_valid),
      .h_o(h),
      .c_o(c),
      .row_valid_o(unused_row_valid),
      .row_o(unused_row),
      .index_o(index),
      .channel_o(channel)
  );

  logic unused_fifo_ready;  // always: a step begins when the queue is empty, and fills it once

  rill_fifo #(
      .WIDTH(24),
      .DEPTH(CHANNELS * HIDDEN)
  ) results (
      .clk_i,
      .rst_ni,
      .valid_i(h_valid),
      .ready_o(unused_fifo_ready),
      .data_i({c, h}),
      .valid_o(h_valid_o),
      .ready_i(h_ready_i),
      .data_o({c_data_o, h_data_o}),
      .empty_o(empty)
  );
endmodule
