// Runs one layer: an LSTM layer (rule 3), a projection (rule 5) or the logits of the joint (rule 7).
//
//               weight_addr_o        act_addr_o
//                    │                   │
//              ┌─────▼─────┐       ┌─────▼─────┐
//              │  weights  │       │ x, h: int8│        memories, and the port of the weights, lie outside
//              └─────┬─────┘       └─────┬─────┘
//   4 UNITS bytes    │                   │ << shift_x or shift_h
//              ┌─────▼───────────────────▼─────┐
//              │     4 UNITS lanes: Σ w · x    │
//              └─────┬─────────────────────────┘
//                    ▼ captured when whole; the lanes begin the next sums
//              [ u0 | u1 | u2 | … ]                     bias_addr_o           cell_addr_o
//                    │ a unit a clock, or a row               │                    │
//              ┌─────▼────┐                             ┌─────▼─────┐        ┌─────▼─────┐
//              │ 4 × round│◄────────────────────────────┤  biases   │        │  c: int16 │
//              └─────┬────┘                             └───────────┘        └─────┬─────┘
//                    ├──► row_o: a row of a linear layer                           │
//              ┌─────▼────┐                                                        │
//              │   cell   │◄───────────────────────────────────────────────────────┘
//              └─────┬────┘
//                    └──► h_o, c_o: a unit of an LSTM layer
//
// Lane 4 u + g holds gate g (of i, f, g, o) of unit u of the group; in a linear layer lane n holds row n of the group.
// For each group the channels come one after another, so that the weights of a group are read once for all of them.
// A channel takes inputs + hidden clocks a group (at least UNITS + 1 + MEMORY_CLOCKS, linear 4 UNITS and as many
// more); one whose state is fresh (h and c zero) takes its inputs alone.
//
// Everything that describes the layer has to stay from two clocks before start_i until done_o.
module rill_layer #(
    parameter int UNITS = 8,
    parameter int ACC_WIDTH = 24,
    parameter int OPERAND_WIDTH = 12,  // 9 + the largest shift to the left
    parameter int SHIFT_WIDTH = 5,
    parameter int SIZE_WIDTH = 12,  // holds inputs + hidden, and rows
    parameter int CHANNELS = 1,
    parameter int ACT_STRIDE = 1024,  // activations of a channel
    parameter int CELL_STRIDE = 256,  // cells of a channel
    parameter int WEIGHT_ADDR = 16,
    parameter int BIAS_ADDR = 10,
    parameter int MEMORY_CLOCKS = 2,  // until the memories answer
    parameter int WEIGHT_LATENCY = 2,  // clocks from weight_addr_o to weight_data_i, at least MEMORY_CLOCKS
    parameter int CHANNEL_WIDTH = (CHANNELS > 1) ? $clog2(CHANNELS) : 1,
    parameter int ACT_ADDR = $clog2(CHANNELS * ACT_STRIDE),
    parameter int CELL_ADDR = $clog2(CHANNELS * CELL_STRIDE)
) (
    input logic clk_i,
    input logic rst_ni,
    input logic start_i,
    output logic done_o,  // for one clock, after the last result

    // The layer.
    input logic linear_i,
    input logic unsigned_i,  // x is 0 to 255
    input logic [SIZE_WIDTH-1:0] inputs_i,
    input logic [SIZE_WIDTH-1:0] hidden_i,  // 0 in a linear layer
    input logic [SIZE_WIDTH-1:0] groups_i,  // of UNITS units, or 4 UNITS rows
    input logic [SIZE_WIDTH-1:0] rows_i,  // of a linear layer; rows of zeros fill the last group
    input logic [SHIFT_WIDTH-1:0] shift_x_i,
    input logic [SHIFT_WIDTH-1:0] shift_h_i,
    input logic [SHIFT_WIDTH-1:0] shift_i,
    input logic [ACT_ADDR-1:0] x_base_i,  // within a channel
    input logic [ACT_ADDR-1:0] h_base_i,
    input logic [CELL_ADDR-1:0] cell_base_i,
    input logic [WEIGHT_ADDR-1:0] weight_base_i,
    input logic [BIAS_ADDR-1:0] bias_base_i,

    // The channels it is run for.
    input logic [CHANNEL_WIDTH-1:0] first_channel_i,
    input logic [CHANNEL_WIDTH-1:0] last_channel_i,
    input logic [CHANNELS-1:0] fresh_i,

    // Weights: a word of 4 UNITS bytes, lane 0 in the lowest. Words are read in ascending order, those of a group
    // once for each channel; weight_ready_i says that the group's words are there, weight_next_o that they were read.
    input logic weight_ready_i,
    output logic weight_next_o,
    output logic [WEIGHT_ADDR-1:0] weight_addr_o,
    input logic [32*UNITS-1:0] weight_data_i,

    // Memories that answer after MEMORY_CLOCKS: activations, biases (gates i, f, g, o or four rows), cells.
    output logic [ACT_ADDR-1:0] act_addr_o,
    input logic [7:0] act_data_i,
    output logic [BIAS_ADDR-1:0] bias_addr_o,
    input logic [4*ACC_WIDTH-1:0] bias_data_i,
    output logic [CELL_ADDR-1:0] cell_addr_o,
    input logic signed [15:0] cell_data_i,

    // Results.
    output logic h_valid_o,
    output logic signed [7:0] h_o,
    output logic signed [15:0] c_o,
    output logic row_valid_o,
    output logic signed [ACC_WIDTH:0] row_o,  // rounded, not saturated
    output logic [SIZE_WIDTH-1:0] index_o,  // unit or row
    output logic [CHANNEL_WIDTH-1:0] channel_o
);
  localparam int LANES = 4 * UNITS;
  localparam int ROUND_CLOCKS = 4;
  localparam int READ_CLOCKS = MEMORY_CLOCKS + 1;  // of biases and cells, whose addresses have a register

  // ---- Words: what the lanes multiply, clock by clock ----------------------------------------------------------

  logic busy_q;
  logic fresh_ahead_q;  // of the next channel
  logic [SIZE_WIDTH-1:0] word_q, group_q, words_q, all_words_q, minimum_q, end_q;  // end: the last word of a pass
  logic [CHANNEL_WIDTH-1:0] channel_q;
  logic [WEIGHT_ADDR-1:0] group_base_q, weight_addr_q;
  logic [ACT_ADDR-1:0] act_base_q;

  wire waiting = word_q == '0 && channel_q == first_channel_i && !weight_ready_i;
  wire step = busy_q && !waiting;
  wire word_valid = step && word_q < words_q;
  wire word_last = word_q == words_q - 1'b1;
  wire pass_last = step && word_q == end_q;
  wire channel_last = channel_q == last_channel_i;
  wire group_last = group_q == groups_i - 1'b1;
  wire in_x = word_q < inputs_i;

  assign weight_next_o = pass_last && channel_last;

  always_ff @(posedge clk_i) begin
    all_words_q <= inputs_i + hidden_i;
    weight_addr_o <= weight_addr_q;  // a clock later than the activation, which is shifted on its way
    minimum_q <= SIZE_WIDTH'((linear_i ? LANES : UNITS) + READ_CLOCKS);
    end_q <= ((words_q > minimum_q) ? words_q : minimum_q) - 1'b1;  // in time: a pass takes four clocks or more
    fresh_ahead_q <= fresh_i[channel_last ? first_channel_i : channel_q + 1'b1];
    if (start_i) words_q <= fresh_i[first_channel_i] ? inputs_i : all_words_q;
    else if (pass_last) words_q <= fresh_ahead_q ? inputs_i : all_words_q;
    if (!rst_ni) begin
      busy_q <= 1'b0;
    end else if (start_i) begin
      busy_q <= 1'b1;
      word_q <= '0;
      group_q <= '0;
      channel_q <= first_channel_i;
      group_base_q <= weight_base_i;
      weight_addr_q <= weight_base_i;
      act_base_q <= ACT_ADDR'(first_channel_i * ACT_STRIDE);
      act_addr_o <= ACT_ADDR'(first_channel_i * ACT_STRIDE) + x_base_i;
    end else if (pass_last) begin
      word_q <= '0;
      weight_addr_q <= group_base_q;
      if (!channel_last) begin
        channel_q <= channel_q + 1'b1;
        act_base_q <= act_base_q + ACT_ADDR'(ACT_STRIDE);
        act_addr_o <= act_base_q + ACT_ADDR'(ACT_STRIDE) + x_base_i;
      end else begin
        channel_q <= first_channel_i;
        act_base_q <= ACT_ADDR'(first_channel_i * ACT_STRIDE);
        act_addr_o <= ACT_ADDR'(first_channel_i * ACT_STRIDE) + x_base_i;
        group_q <= group_q + 1'b1;
        group_base_q <= group_base_q + WEIGHT_ADDR'(all_words_q);
        weight_addr_q <= group_base_q + WEIGHT_ADDR'(all_words_q);
        busy_q <= !group_last;
      end
    end else if (step) begin
      word_q <= word_q + 1'b1;
      weight_addr_q <= weight_addr_q + 1'b1;
      act_addr_o <= (word_q == inputs_i - 1'b1) ? act_base_q + h_base_i : act_addr_o + 1'b1;
    end
  end

  // ---- Operands and lanes --------------------------------------------------------------------------------------

  // What accompanies a word on its way through the memories: valid, first, last, of x.
  logic [3:0] mark_q[0:WEIGHT_LATENCY];
  logic signed [OPERAND_WIDTH-1:0] operand_q[0:WEIGHT_LATENCY-MEMORY_CLOCKS];
  logic captured;
  logic [ACC_WIDTH*LANES-1:0] sums;

  wire signed [OPERAND_WIDTH-1:0] act = OPERAND_WIDTH'($signed({act_data_i[7] && !unsigned_i, act_data_i}));
  wire [SHIFT_WIDTH-1:0] shift_left = mark_q[MEMORY_CLOCKS-1][0] ? shift_x_i : shift_h_i;

  always_ff @(posedge clk_i) begin
    mark_q[0] <= {word_valid && rst_ni, word_q == '0, word_last, in_x};
    for (int n = 1; n <= WEIGHT_LATENCY; n++) mark_q[n] <= mark_q[n-1];
    operand_q[0] <= act <<< shift_left;
    for (int n = 1; n <= WEIGHT_LATENCY - MEMORY_CLOCKS; n++) operand_q[n] <= operand_q[n-1];
  end

  rill_lanes #(
      .LANES(LANES),
      .OPERAND_WIDTH(OPERAND_WIDTH),
      .ACC_WIDTH(ACC_WIDTH)
  ) lanes (
      .clk_i,
      .rst_ni,
      .valid_i(mark_q[WEIGHT_LATENCY][3]),
      .first_i(mark_q[WEIGHT_LATENCY][2]),
      .last_i(mark_q[WEIGHT_LATENCY][1]),
      .operand_i(operand_q[WEIGHT_LATENCY-MEMORY_CLOCKS]),
      .weights_i(weight_data_i),
      .last_o(captured),
      .sums_o(sums)
  );

  // ---- Results: four sums a clock for a unit, one for a row ----------------------------------------------------

  logic reading_q;
  /* verilator lint_off UNUSEDSIGNAL */  // sizes have more bits than indices of units
  logic [SIZE_WIDTH-1:0] read_index;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [1:0] read_lane;
  logic [CHANNEL_WIDTH-1:0] read_channel;
  logic read_last_unit, unused_read_last;

  rill_walk #(
      .UNITS(UNITS),
      .CHANNEL_WIDTH(CHANNEL_WIDTH),
      .SIZE_WIDTH(SIZE_WIDTH)
  ) read_walk (
      .clk_i,
      .rst_ni,
      .next_i(reading_q),
      .linear_i,
      .groups_i,
      .first_channel_i,
      .last_channel_i,
      .index_o(read_index),
      .lane_o(read_lane),
      .channel_o(read_channel),
      .last_unit_o(read_last_unit),
      .last_o(unused_read_last)
  );

  // Between the results of two channels there are as many clocks as these two registers need, and more.
  logic [CELL_ADDR-1:0] cell_own_q, cell_base_q;

  always_ff @(posedge clk_i) begin
    bias_addr_o <= bias_base_i + BIAS_ADDR'(read_index);
    cell_own_q <= CELL_ADDR'(read_channel * CELL_STRIDE);
    cell_base_q <= cell_own_q + cell_base_i;
    cell_addr_o <= cell_base_q + CELL_ADDR'(read_index);
  end

  // What accompanies them through the memories: valid, fresh, lane; and through the rounding: valid, fresh.
  logic [READ_CLOCKS-1:0] valid_q, fresh_q;
  logic [1:0] lane_q[0:READ_CLOCKS-1];
  logic [ROUND_CLOCKS-1:0] rounded_q;
  logic signed [15:0] cell_q[0:ROUND_CLOCKS-1];
  logic [ACC_WIDTH*LANES-1:0] drain_q;
  logic [4*ACC_WIDTH-1:0] quad;
  logic signed [ACC_WIDTH:0] rounded[0:3];

  wire read = valid_q[READ_CLOCKS-1];
  wire [1:0] lane = lane_q[READ_CLOCKS-1];

  assign quad = drain_q[4*ACC_WIDTH-1:0];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      reading_q <= 1'b0;
      valid_q <= '0;
      rounded_q <= '0;
    end else begin
      reading_q <= captured || (reading_q && !read_last_unit);
      valid_q <= {valid_q[READ_CLOCKS-2:0], reading_q};
      rounded_q <= {rounded_q[ROUND_CLOCKS-2:0], read};
    end
    fresh_q <= {fresh_q[READ_CLOCKS-2:0], fresh_i[read_channel]};
    lane_q[0] <= read_lane;
    for (int n = 1; n < READ_CLOCKS; n++) lane_q[n] <= lane_q[n-1];
    cell_q[0] <= fresh_q[READ_CLOCKS-1] ? 16'sd0 : cell_data_i;
    for (int n = 1; n < ROUND_CLOCKS; n++) cell_q[n] <= cell_q[n-1];
    if (captured) drain_q <= sums;
    else if (read && (!linear_i || lane == 2'd3)) drain_q <= drain_q >> 4 * ACC_WIDTH;
  end

  for (genvar gate = 0; gate < 4; gate++) begin : g_round
    // A linear layer sends all of its rows through the first one.
    wire [1:0] from = (gate == 0 && linear_i) ? lane : 2'(gate);

    rill_round #(
        .ACC_WIDTH(ACC_WIDTH),
        .SHIFT_WIDTH(SHIFT_WIDTH)
    ) round (
        .clk_i,
        .shift_i,
        .sum_i(quad[ACC_WIDTH*from+:ACC_WIDTH]),
        .bias_i(bias_data_i[ACC_WIDTH*from+:ACC_WIDTH]),
        .value_o(rounded[gate])
    );
  end

  rill_cell #(
      .Z_WIDTH(ACC_WIDTH + 1)
  ) unit (
      .clk_i,
      .rst_ni,
      .valid_i(rounded_q[ROUND_CLOCKS-1] && !linear_i),
      .z_i(rounded[0]),
      .z_f(rounded[1]),
      .z_g(rounded[2]),
      .z_o(rounded[3]),
      .c_i(cell_q[ROUND_CLOCKS-1]),
      .valid_o(h_valid_o),
      .c_o,
      .h_o
  );

  logic [SIZE_WIDTH-1:0] write_index;
  logic [1:0] write_lane;
  logic unused_last_unit, write_last;
  wire row_valid = rounded_q[ROUND_CLOCKS-1] && linear_i;
  wire result = h_valid_o || row_valid;

  rill_walk #(
      .UNITS(UNITS),
      .CHANNEL_WIDTH(CHANNEL_WIDTH),
      .SIZE_WIDTH(SIZE_WIDTH)
  ) write_walk (
      .clk_i,
      .rst_ni,
      .next_i(result),
      .linear_i,
      .groups_i,
      .first_channel_i,
      .last_channel_i,
      .index_o(write_index),
      .lane_o(write_lane),
      .channel_o,
      .last_unit_o(unused_last_unit),
      .last_o(write_last)
  );

  assign index_o = linear_i ? {write_index[SIZE_WIDTH-3:0], write_lane} : write_index;
  assign row_valid_o = row_valid && index_o < rows_i;  // the last group may end with rows of no class
  assign row_o = rounded[0];

  always_ff @(posedge clk_i) begin
    done_o <= rst_ni && result && write_last;
  end
endmodule
