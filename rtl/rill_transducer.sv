// A whole transducer: inputs of the encoder go in, tokens come out. One `rill_layer` runs all layers in turn.
//
//   x ──► LOAD ──► START ──► ENCODE ───────────► for each channel:
//          ▲      blank to   pre layers, for         ┌──────────────────────────────────────┐
//          │      EMBED and  both inputs of the      ▼                                      │
//          │      PREDICT,   chunk; post layers,   JOIN ──► OUTPUT ──► EMIT ─────► EMBED ──► PREDICT
//          │      where a    projection to e       a of e   logits,     │  token   x of      layers,
//          │      segment                          and g    best class  │          token     projection to g
//          │      begins                                                │ blank
//          └───────────────── after the last channel ◄──────────────────┘
//
// A chunk is two inputs of the encoder, INPUTS bytes each, with x_last_i at its last byte. Where it comes after the first
// input, the stream ends there: the newer half of the pair is zeros (rule 4). With it x_begin_i says that the chunk begins
// a segment, encoder and prediction network in their initial states, and x_mute_i that it is encoded, but not decoded.
// With several CHANNELS a chunk of each comes before any is computed, in order.
//
// What comes out is the best class of each evaluation of the joint: tokens, then blank, which ends the encoder frame. It
// ends it, too, after SYMBOLS tokens (of a frame, or with RUNNING_SYMBOLS since the last time) and where a chunk is mute.
//
// Activations of a channel, int8: x of both inputs | each layer's h, twice | x of the prediction network | a. A layer
// reads its h in one place and writes it in the other. So the h of both inputs of a chunk lie side by side
// where the last pre layer left them: the first post layer reads the pair as one input (rule 4).
//
// LAYERS has a line for each layer, in the order pre, post, to e, prediction, to g, output: sizes, shifts and addresses,
// 32 bits each. `python -m export.hardware images` writes it, the other files and all parameters.
module rill_transducer #(
    parameter int UNITS = 8,
    parameter int CHANNELS = 1,
    parameter int MEMORY_CLOCKS = 2,  // 3: more streams, whose states lie in many blocks of memory, at a higher clock
    parameter int WEIGHT_LATENCY = 2,  // at least MEMORY_CLOCKS
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

    // Weights, as of rill_layer.
    input logic weight_ready_i,
    output logic weight_next_o,
    output logic [WEIGHT_ADDR-1:0] weight_addr_o,
    input logic [32*UNITS-1:0] weight_data_i,

    // When a layer starts: the words that it is about to read, for whoever fetches them.
    output logic weight_start_o,
    output logic [WEIGHT_ADDR-1:0] weight_base_o,
    output logic [SIZE_WIDTH-1:0] weight_words_o,  // of a group
    output logic [SIZE_WIDTH-1:0] weight_groups_o
);
  localparam int LAYER_COUNT = PRE_LAYERS + POST_LAYERS + PREDICTION_LAYERS + 3;
  localparam int LAYER_WIDTH = $clog2(LAYER_COUNT);
  localparam int TO_E = PRE_LAYERS + POST_LAYERS;
  localparam int TO_G = TO_E + 1 + PREDICTION_LAYERS;
  localparam int OUTPUT_LAYER = TO_G + 1;
  localparam int SHIFT_WIDTH = 5;
  localparam int ACT_ADDR = $clog2(CHANNELS * ACT_STRIDE);
  localparam int CELL_ADDR = $clog2(CHANNELS * CELL_STRIDE);
  localparam int BIAS_ADDR = $clog2(BIAS_WORDS);
  localparam int JOINT_ADDR = $clog2(CHANNELS * JOINT);
  localparam int EMBED_BYTES = CLASSES * PREDICTION_HIDDEN;
  localparam int EMBED_ADDR = $clog2(EMBED_BYTES);
  localparam int EMBED_PLACE = (EMBED_ADDR < 11) ? EMBED_ADDR : 11;  // bits of the address in a bank
  localparam int EMBED_BANKS = (EMBED_BYTES + (1 << EMBED_PLACE) - 1) >> EMBED_PLACE;
  localparam int SYMBOL_WIDTH = $clog2(SYMBOLS + 1);
  localparam int SETTLE = 4;  // clocks until everything that depends on the layer is in its registers
  localparam int EMBED_CLOCKS = 3;
  localparam int JOINT_CLOCKS = MEMORY_CLOCKS + 3;
  localparam logic [CLASS_WIDTH-1:0] BLANK = CLASS_WIDTH'(CLASSES - 1);
  localparam logic [CHANNEL_WIDTH-1:0] LAST_CHANNEL = CHANNEL_WIDTH'(CHANNELS - 1);

  localparam logic [3:0] LOAD = 0;
  localparam logic [3:0] START = 1;
  localparam logic [3:0] ENCODE = 2;
  localparam logic [3:0] SHORT = 3;
  localparam logic [3:0] JOIN = 4;
  localparam logic [3:0] OUTPUT = 5;
  localparam logic [3:0] EMIT = 6;
  localparam logic [3:0] EMBED = 7;
  localparam logic [3:0] PREDICT = 8;

  // ---- The sequence --------------------------------------------------------------------------------------------

  logic [3:0] state_q;
  logic [LAYER_WIDTH-1:0] layer_q;
  logic [CHANNEL_WIDTH-1:0] channel_q;
  logic [CHANNELS-1:0] begin_q, mute_q, short_q;  // of the chunk of each channel
  logic second_input_q, post_second_q;  // which of its two places the h of pre and post layers is written to
  logic [CHANNELS-1:0] prediction_second_q;  // the same of the prediction network
  logic starting_q;  // the prediction network begins, in START
  logic [CLASS_WIDTH-1:0] token_q, best;
  logic [SYMBOL_WIDTH-1:0] symbols_q[0:CHANNELS-1];
  logic [2:0] settle_q;
  logic started_q, done;
  logic [SIZE_WIDTH-1:0] count_q;  // of bytes that came, or are read

  wire runs = state_q == ENCODE || state_q == OUTPUT || state_q == PREDICT;
  wire start = runs && !started_q && settle_q == 3'(SETTLE);
  wire take = x_valid_i && x_ready_o;
  wire last_channel = channel_q == LAST_CHANNEL;
  wire [CHANNEL_WIDTH-1:0] next_channel = last_channel ? '0 : channel_q + 1'b1;
  wire limited = symbols_q[channel_q] == SYMBOL_WIDTH'(SYMBOLS);
  logic pasted, paste_last;

  assign x_ready_o = state_q == LOAD;
  assign token_valid_o = state_q == EMIT;
  assign token_data_o = token_q;
  assign token_channel_o = channel_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= LOAD;
      layer_q <= '0;
      channel_q <= '0;
      second_input_q <= 1'b0;
      post_second_q <= 1'b0;
      prediction_second_q <= '0;
      starting_q <= 1'b0;
      settle_q <= '0;
      started_q <= 1'b0;
      count_q <= '0;
    end else begin
      if (start) started_q <= 1'b1;
      settle_q <= (runs && !started_q) ? settle_q + 1'b1 : '0;
      if (done) started_q <= 1'b0;

      case (state_q)
        LOAD:
        if (take) begin
          count_q <= x_last_i ? '0 : count_q + 1'b1;
          if (x_last_i) begin
            begin_q[channel_q] <= x_begin_i;
            mute_q[channel_q] <= x_mute_i;
            short_q[channel_q] <= count_q < SIZE_WIDTH'(INPUTS);
            channel_q <= next_channel;
            if (last_channel) state_q <= START;
          end
        end

        START:
        if (begin_q[channel_q] && !starting_q) begin
          starting_q <= 1'b1;
          symbols_q[channel_q] <= '0;
          token_q <= BLANK;
          state_q <= EMBED;
        end else begin
          starting_q <= 1'b0;
          channel_q <= next_channel;
          if (last_channel) begin
            layer_q <= '0;
            state_q <= ENCODE;
          end
        end

        ENCODE:
        if (done) begin
          if (layer_q == LAYER_WIDTH'(PRE_LAYERS - 1)) begin
            second_input_q <= !second_input_q && !(&short_q);
            if (second_input_q || (&short_q)) state_q <= SHORT;
            else layer_q <= '0;
          end else if (layer_q == LAYER_WIDTH'(TO_E)) begin
            post_second_q <= !post_second_q;
            token_q <= BLANK;
            state_q <= mute_q[0] ? EMIT : JOIN;
          end else begin
            layer_q <= layer_q + 1'b1;
          end
        end

        SHORT:  // the h of an input that never came
        if (short_q[channel_q] && count_q != SIZE_WIDTH'(HIDDEN - 1)) begin
          count_q <= count_q + 1'b1;
        end else begin
          count_q <= '0;
          channel_q <= next_channel;
          if (last_channel) begin
            layer_q <= LAYER_WIDTH'(PRE_LAYERS);
            state_q <= ENCODE;
          end
        end

        JOIN: begin
          count_q <= count_q + 1'b1;
          if (paste_last) begin
            count_q <= '0;
            layer_q <= LAYER_WIDTH'(OUTPUT_LAYER);
            state_q <= OUTPUT;
          end
        end

        OUTPUT:
        if (done) begin
          token_q <= best;
          state_q <= EMIT;
        end

        EMIT:
        if (token_ready_i) begin
          if (token_q == BLANK) begin
            if (RUNNING_SYMBOLS == 0 || limited) symbols_q[channel_q] <= '0;
            channel_q <= next_channel;
            if (last_channel) state_q <= LOAD;
            else if (!mute_q[next_channel]) state_q <= JOIN;
          end else begin
            symbols_q[channel_q] <= symbols_q[channel_q] + 1'b1;
            state_q <= EMBED;
          end
        end

        EMBED: begin
          count_q <= count_q + 1'b1;
          if (paste_last) begin
            count_q <= '0;
            layer_q <= LAYER_WIDTH'(TO_E + 1);
            state_q <= PREDICT;
          end
        end

        default:  // PREDICT
        if (done) begin
          if (layer_q == LAYER_WIDTH'(TO_G)) begin
            prediction_second_q[channel_q] <= !prediction_second_q[channel_q];
            token_q <= BLANK;
            if (starting_q) state_q <= START;
            else state_q <= limited ? EMIT : JOIN;
          end else begin
            layer_q <= layer_q + 1'b1;
          end
        end
      endcase
    end
  end

  // ---- The layer that runs -------------------------------------------------------------------------------------

  /* verilator lint_off UNUSEDSIGNAL */  // fields have 32 bits
  logic [32*14-1:0] layers[0:LAYER_COUNT-1];
  logic [32*14-1:0] fields_q;
  /* verilator lint_on UNUSEDSIGNAL */

  initial begin
    if (LAYERS != "") $readmemh(LAYERS, layers);
  end

  always_ff @(posedge clk_i) begin
    fields_q <= layers[layer_q];
  end

  wire is_linear = fields_q[0];
  wire is_unsigned = fields_q[1];
  wire [SIZE_WIDTH-1:0] inputs = fields_q[32*1+:SIZE_WIDTH];
  wire [SIZE_WIDTH-1:0] hidden = fields_q[32*2+:SIZE_WIDTH];
  wire [SIZE_WIDTH-1:0] groups = fields_q[32*3+:SIZE_WIDTH];
  wire [SIZE_WIDTH-1:0] rows = fields_q[32*4+:SIZE_WIDTH];
  wire [SHIFT_WIDTH-1:0] shift_x = fields_q[32*5+:SHIFT_WIDTH];
  wire [SHIFT_WIDTH-1:0] shift_h = fields_q[32*6+:SHIFT_WIDTH];
  wire [SHIFT_WIDTH-1:0] shift = fields_q[32*7+:SHIFT_WIDTH];
  wire [ACT_ADDR-1:0] x_base = fields_q[32*8+:ACT_ADDR];
  wire [ACT_ADDR-1:0] x_step = fields_q[32*9+:ACT_ADDR];
  wire [ACT_ADDR-1:0] h_base = fields_q[32*10+:ACT_ADDR];
  wire [CELL_ADDR-1:0] cell_base = fields_q[32*11+:CELL_ADDR];
  wire [WEIGHT_ADDR-1:0] weight_base = fields_q[32*12+:WEIGHT_ADDR];
  wire [BIAS_ADDR-1:0] bias_base = fields_q[32*13+:BIAS_ADDR];

  assign weight_start_o = start;
  assign weight_base_o = weight_base;
  assign weight_words_o = inputs + hidden;
  assign weight_groups_o = groups;

  wire is_pre = layer_q < LAYER_WIDTH'(PRE_LAYERS);
  wire second = (state_q == PREDICT) ? prediction_second_q[channel_q] : is_pre ? second_input_q : post_second_q;
  wire [ACT_ADDR-1:0] h_first = h_base;
  wire [ACT_ADDR-1:0] h_second = h_base + ACT_ADDR'(hidden);
  // In registers, which settle before a layer starts.
  logic [CHANNELS-1:0] fresh_q;
  logic second_q;
  logic [ACT_ADDR-1:0] x_base_q, h_read_q, h_write_q;
  logic [CHANNEL_WIDTH-1:0] first_channel_q, last_channel_q;

  always_ff @(posedge clk_i) begin
    if (state_q == PREDICT) fresh_q <= {CHANNELS{starting_q}};
    else fresh_q <= (is_pre && second_input_q) ? '0 : begin_q;
    first_channel_q <= (state_q == ENCODE) ? '0 : channel_q;
    last_channel_q <= (state_q == ENCODE) ? LAST_CHANNEL : channel_q;
    second_q <= second;
    x_base_q <= second_q ? x_base + x_step : x_base;
    h_read_q <= second_q ? h_first : h_second;
    h_write_q <= second_q ? h_second : h_first;
  end

  logic h_valid, row_valid;
  logic signed [7:0] h;
  logic signed [15:0] c, cell_data;
  logic signed [ACC_WIDTH:0] row;
  /* verilator lint_off UNUSEDSIGNAL */  // sizes have more bits than indices of rows
  logic [SIZE_WIDTH-1:0] index;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [CHANNEL_WIDTH-1:0] channel;
  logic [ACT_ADDR-1:0] act_addr;
  logic [7:0] act_data;
  logic [CELL_ADDR-1:0] cell_addr;
  logic [BIAS_ADDR-1:0] bias_addr;
  logic [4*ACC_WIDTH-1:0] bias_data;

  rill_layer #(
      .UNITS(UNITS),
      .ACC_WIDTH(ACC_WIDTH),
      .OPERAND_WIDTH(OPERAND_WIDTH),
      .SHIFT_WIDTH(SHIFT_WIDTH),
      .SIZE_WIDTH(SIZE_WIDTH),
      .CHANNELS(CHANNELS),
      .ACT_STRIDE(ACT_STRIDE),
      .CELL_STRIDE(CELL_STRIDE),
      .WEIGHT_ADDR(WEIGHT_ADDR),
      .BIAS_ADDR(BIAS_ADDR),
      .MEMORY_CLOCKS(MEMORY_CLOCKS),
      .WEIGHT_LATENCY(WEIGHT_LATENCY)
  ) layer (
      .clk_i,
      .rst_ni,
      .start_i(start),
      .done_o(done),
      .linear_i(is_linear),
      .unsigned_i(is_unsigned),
      .inputs_i(inputs),
      .hidden_i(hidden),
      .groups_i(groups),
      .rows_i(rows),
      .shift_x_i(shift_x),
      .shift_h_i(shift_h),
      .shift_i(shift),
      .x_base_i(x_base_q),
      .h_base_i(h_read_q),
      .cell_base_i(cell_base),
      .weight_base_i(weight_base),
      .bias_base_i(bias_base),
      .first_channel_i(first_channel_q),
      .last_channel_i(last_channel_q),
      .fresh_i(fresh_q),
      .weight_ready_i,
      .weight_next_o,
      .weight_addr_o,
      .weight_data_i,
      .act_addr_o(act_addr),
      .act_data_i(act_data),
      .bias_addr_o(bias_addr),
      .bias_data_i(bias_data),
      .cell_addr_o(cell_addr),
      .cell_data_i(cell_data),
      .h_valid_o(h_valid),
      .h_o(h),
      .c_o(c),
      .row_valid_o(row_valid),
      .row_o(row),
      .index_o(index),
      .channel_o(channel)
  );

  rill_argmax #(
      .WIDTH(ACC_WIDTH + 1),
      .INDEX_WIDTH(CLASS_WIDTH)
  ) argmax (
      .clk_i,
      .valid_i(row_valid),
      .row_i(row),
      .index_i(index[CLASS_WIDTH-1:0]),
      .best_o(best)
  );

  // ---- e and g: what the projections say -----------------------------------------------------------------------

  function automatic logic [15:0] saturated(input logic signed [ACC_WIDTH:0] value);  // to int16
    if (value > 32767) saturated = 16'h7fff;
    else if (value < -32768) saturated = 16'h8000;
    else saturated = value[15:0];
  endfunction

  wire [15:0] projected = saturated(row);
  logic [15:0] projected_q;
  logic e_write_q, g_write_q;
  logic [JOINT_ADDR-1:0] projected_addr_q;
  wire [JOINT_ADDR-1:0] joint_addr = JOINT_ADDR'(channel_q * JOINT) + JOINT_ADDR'(count_q);
  logic [15:0] e, g;
  logic [7:0] a;

  always_ff @(posedge clk_i) begin
    e_write_q <= row_valid && layer_q == LAYER_WIDTH'(TO_E);
    g_write_q <= row_valid && layer_q == LAYER_WIDTH'(TO_G);
    projected_addr_q <= JOINT_ADDR'(channel * JOINT) + JOINT_ADDR'(index);
    projected_q <= projected;
  end

  rill_ram #(
      .WIDTH(16),
      .DEPTH(CHANNELS * JOINT),
      .CLOCKS(MEMORY_CLOCKS)
  ) e_memory (
      .clk_i,
      .write_i(e_write_q),
      .waddr_i(projected_addr_q),
      .wdata_i(projected_q),
      .raddr_i(joint_addr),
      .rdata_o(e)
  );

  rill_ram #(
      .WIDTH(16),
      .DEPTH(CHANNELS * JOINT),
      .CLOCKS(MEMORY_CLOCKS)
  ) g_memory (
      .clk_i,
      .write_i(g_write_q),
      .waddr_i(projected_addr_q),
      .wdata_i(projected_q),
      .raddr_i(joint_addr),
      .rdata_o(g)
  );

  rill_joint joint (
      .clk_i,
      .e_i(e),
      .g_i(g),
      .a_o(a)
  );

  // ---- Memories ------------------------------------------------------------------------------------------------

  // A word has a byte of each bank of 2048 bytes, so that the choice between them comes after a register.
  logic [EMBED_ADDR-1:0] embed_addr;
  logic [8*EMBED_BANKS-1:0] embed_banks;
  logic [EMBED_ADDR-1:0] embed_bank_q[0:1];
  logic [7:0] embedding_data;

  assign embed_addr = EMBED_ADDR'(token_q * PREDICTION_HIDDEN) + EMBED_ADDR'(count_q);

  always_ff @(posedge clk_i) begin
    embed_bank_q[0] <= embed_addr >> EMBED_PLACE;
    embed_bank_q[1] <= embed_bank_q[0];
    embedding_data <= embed_banks[8*embed_bank_q[1]+:8];
  end

  rill_rom #(
      .WIDTH(8 * EMBED_BANKS),
      .DEPTH((EMBED_BANKS > 1) ? 1 << EMBED_PLACE : EMBED_BYTES),
      .FILE(EMBEDDING)
  ) embedding (
      .clk_i,
      .raddr_i(embed_addr[EMBED_PLACE-1:0]),
      .rdata_o(embed_banks)
  );

  rill_rom #(
      .WIDTH(4 * ACC_WIDTH),
      .DEPTH(BIAS_WORDS),
      .CLOCKS(MEMORY_CLOCKS),
      .FILE(BIASES)
  ) biases (
      .clk_i,
      .raddr_i(bias_addr),
      .rdata_o(bias_data)
  );

  // Cells and activations are written two clocks later; nothing is read before a layer has settled.
  logic cell_write_q[0:1];
  logic [CELL_ADDR-1:0] cell_own_q, cell_place_q, cell_waddr_q;  // own: where a channel begins
  logic signed [15:0] cell_wdata_q[0:1];

  always_ff @(posedge clk_i) begin
    cell_write_q[0] <= h_valid;
    cell_write_q[1] <= cell_write_q[0];
    cell_own_q <= CELL_ADDR'(channel * CELL_STRIDE);
    cell_place_q <= cell_base + CELL_ADDR'(index);
    cell_waddr_q <= cell_own_q + cell_place_q;
    cell_wdata_q[0] <= c;
    cell_wdata_q[1] <= cell_wdata_q[0];
  end

  rill_ram #(
      .WIDTH(16),
      .DEPTH(CHANNELS * CELL_STRIDE),
      .CLOCKS(MEMORY_CLOCKS)
  ) cells (
      .clk_i,
      .write_i(cell_write_q[1]),
      .waddr_i(cell_waddr_q),
      .wdata_i(cell_wdata_q[1]),
      .raddr_i(cell_addr),
      .rdata_o(cell_data)
  );

  // What EMBED and JOIN read arrives some clocks later.
  logic [JOINT_CLOCKS-1:0] read_q;
  logic [SIZE_WIDTH-1:0] paste_q;
  wire reading = (state_q == JOIN && count_q < SIZE_WIDTH'(JOINT))
              || (state_q == EMBED && count_q < SIZE_WIDTH'(PREDICTION_HIDDEN));
  wire [SIZE_WIDTH-1:0] paste_most = (state_q == JOIN) ? SIZE_WIDTH'(JOINT - 1) : SIZE_WIDTH'(PREDICTION_HIDDEN - 1);

  assign pasted = (state_q == JOIN && read_q[JOINT_CLOCKS-1]) || (state_q == EMBED && read_q[EMBED_CLOCKS-1]);
  assign paste_last = pasted && paste_q == paste_most;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || paste_last) begin
      read_q <= '0;
      paste_q <= '0;
    end else begin
      read_q <= {read_q[JOINT_CLOCKS-2:0], reading};
      if (pasted) paste_q <= paste_q + 1'b1;
    end
  end

  logic act_write, act_write_q[0:1];
  logic [ACT_ADDR-1:0] act_own_q, act_place, act_place_q, act_waddr_q;
  logic [7:0] act_wdata, act_wdata_q[0:1];
  logic [CHANNEL_WIDTH-1:0] act_channel;

  always_comb begin
    act_channel = channel_q;
    case (state_q)
      LOAD: begin
        act_write = take;
        act_place = ACT_ADDR'(count_q);
        act_wdata = x_data_i;
      end
      SHORT: begin
        act_write = short_q[channel_q];
        act_place = h_second + ACT_ADDR'(count_q);
        act_wdata = '0;
      end
      JOIN: begin
        act_write = pasted;
        act_place = ACT_ADDR'(JOINT_BASE) + ACT_ADDR'(paste_q);
        act_wdata = a;
      end
      EMBED: begin
        act_write = pasted;
        act_place = ACT_ADDR'(EMBED_BASE) + ACT_ADDR'(paste_q);
        act_wdata = embedding_data;
      end
      default: begin
        act_channel = channel;
        act_write = h_valid;
        act_place = h_write_q + ACT_ADDR'(index);
        act_wdata = h;
      end
    endcase
  end

  always_ff @(posedge clk_i) begin
    act_write_q[0] <= act_write;
    act_write_q[1] <= act_write_q[0];
    act_own_q <= ACT_ADDR'(act_channel * ACT_STRIDE);
    act_place_q <= act_place;
    act_waddr_q <= act_own_q + act_place_q;
    act_wdata_q[0] <= act_wdata;
    act_wdata_q[1] <= act_wdata_q[0];
  end

  rill_ram #(
      .WIDTH(8),
      .DEPTH(CHANNELS * ACT_STRIDE),
      .CLOCKS(MEMORY_CLOCKS)
  ) activations (
      .clk_i,
      .write_i(act_write_q[1]),
      .waddr_i(act_waddr_q),
      .wdata_i(act_wdata_q[1]),
      .raddr_i(act_addr),
      .rdata_o(act_data)
  );
endmodule
