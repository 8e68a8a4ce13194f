// Replays chunks of x and writes down every value of `rill_transducer`, with LOADED 2 within `rill_external`.
//
//   +x=FILE       a line a byte of x, in hexadecimal, with its flags: 1xx the last one of a chunk, 2xx it begins a
//                 segment, 4xx it is mute
//   +trace=FILE   what was computed, in the order of computation; see `trace`
//   +tokens       only tokens
//   +limit=N      stop after so many clocks
//   +idle +stall  the source pauses at random, the sink does
//   +wait         so do the weights, before a group; with LOADED 2 the memory outside, before a beat and a request
//   +beats=N      with LOADED 2: beats that the memory outside sends in 1000 clocks, 1000 if not said
`timescale 1ns / 1ps

// What both modules are built with, their streams, and what the trace looks at in them.
`define SIZES \
  .UNITS(UNITS), .CHANNELS(CHANNELS), .PRE_LAYERS(PRE_LAYERS), .POST_LAYERS(POST_LAYERS), \
  .PREDICTION_LAYERS(PREDICTION_LAYERS), .INPUTS(INPUTS), .HIDDEN(HIDDEN), \
  .PREDICTION_HIDDEN(PREDICTION_HIDDEN), .JOINT(JOINT), .CLASSES(CLASSES), .SYMBOLS(SYMBOLS), \
  .RUNNING_SYMBOLS(RUNNING_SYMBOLS), .ACC_WIDTH(ACC_WIDTH), .OPERAND_WIDTH(OPERAND_WIDTH), \
  .SIZE_WIDTH(SIZE_WIDTH), .ACT_STRIDE(ACT_STRIDE), .CELL_STRIDE(CELL_STRIDE), \
  .WEIGHT_WORDS(WEIGHT_WORDS), .BIAS_WORDS(BIAS_WORDS), .EMBED_BASE(EMBED_BASE), \
  .JOINT_BASE(JOINT_BASE), .LAYERS("layers.hex"), .BIASES("biases.hex"), .EMBEDDING("embedding.hex")
`define STREAMS \
  .clk_i(clk), .rst_ni(rst_n), .x_valid_i(x_valid), .x_ready_o(x_ready), .x_data_i(x_data), \
  .x_last_i(x_last), .x_begin_i(x_begin), .x_mute_i(x_mute), .token_valid_o(token_valid), \
  .token_ready_i(token_ready), .token_data_o(token), .token_channel_o(token_channel)
`define WATCH(TRANSDUCER) \
  assign start = TRANSDUCER.start; \
  assign done = TRANSDUCER.done; \
  assign computing = TRANSDUCER.state_q != TRANSDUCER.LOAD && TRANSDUCER.state_q != TRANSDUCER.EMIT; \
  assign layer = int'(TRANSDUCER.layer_q); \
  assign channel = int'(TRANSDUCER.channel); \
  assign h_valid = TRANSDUCER.h_valid; \
  assign h = int'(TRANSDUCER.h); \
  assign c = int'(TRANSDUCER.c); \
  assign row_valid = TRANSDUCER.row_valid; \
  assign row = (layer == TRANSDUCER.OUTPUT_LAYER) ? int'(TRANSDUCER.row) : int'($signed(TRANSDUCER.projected)); \
  assign a_valid = TRANSDUCER.state_q == TRANSDUCER.JOIN && TRANSDUCER.pasted; \
  assign a_channel = int'(TRANSDUCER.channel_q); \
  assign a = int'(TRANSDUCER.a);

module transducer_bench #(
    parameter int UNITS = 8,
    parameter int CHANNELS = 1,
    parameter int MEMORY_CLOCKS = 2,
    parameter int WEIGHT_LATENCY = 2,
    parameter int PRE_LAYERS = 1,
    parameter int POST_LAYERS = 1,
    parameter int PREDICTION_LAYERS = 1,
    parameter int INPUTS = 240,
    parameter int HIDDEN = 16,
    parameter int PREDICTION_HIDDEN = 8,
    parameter int JOINT = 16,
    parameter int CLASSES = 21,
    parameter int SYMBOLS = 30,
    parameter int RUNNING_SYMBOLS = 0,
    parameter int ACC_WIDTH = 24,
    parameter int OPERAND_WIDTH = 12,
    parameter int SIZE_WIDTH = 12,
    parameter int ACT_STRIDE = 1024,
    parameter int CELL_STRIDE = 64,
    parameter int WEIGHT_WORDS = 16384,
    parameter int BIAS_WORDS = 256,
    parameter int EMBED_BASE = 0,
    parameter int JOINT_BASE = 0,
    parameter int LOADED = 0,  // 1: the weights come over a stream; 2: they stay outside
    parameter int FILL_WIDTH = 32  // with LOADED 2: bits of a beat
);
  localparam int CHANNEL_WIDTH = (CHANNELS > 1) ? $clog2(CHANNELS) : 1;
  localparam int CLASS_WIDTH = $clog2(CLASSES);
  localparam int WEIGHT_ADDR = $clog2(WEIGHT_WORDS);
  localparam int BLANK = CLASSES - 1;
  localparam int LAYER_COUNT = PRE_LAYERS + POST_LAYERS + PREDICTION_LAYERS + 3;

  logic clk = 0, rst_n = 0;
  logic x_valid = 0, x_ready, x_last = 0, x_begin = 0, x_mute = 0, token_valid, token_ready = 0;
  logic [7:0] x_data = 0;
  logic [CLASS_WIDTH-1:0] token;
  logic [CHANNEL_WIDTH-1:0] token_channel;

  logic start, done, computing, h_valid, row_valid, a_valid;
  int layer, channel, h, c, row, a_channel, a;

  localparam int WORD = 32 * UNITS;
  logic [WORD-1:0] image[0:WEIGHT_WORDS-1];
  int beats;
  logic waits;

  if (LOADED == 2) begin : g_outside
    localparam int BEATS = WORD / FILL_WIDTH;  // of a word
    logic fetch_valid, fetch_ready = 0, fill_valid = 0;
    logic [WEIGHT_ADDR-1:0] fetch_addr;
    logic [SIZE_WIDTH-1:0] fetch_words;
    logic [FILL_WIDTH-1:0] fill_data = 0;
    int at, left = 0, phase = 0;

    rill_external #(
        .FILL_WIDTH(FILL_WIDTH),
        `SIZES
    ) dut (
        `STREAMS,
        .fetch_valid_o(fetch_valid),
        .fetch_ready_i(fetch_ready),
        .fetch_addr_o(fetch_addr),
        .fetch_words_o(fetch_words),
        .fill_valid_i(fill_valid),
        .fill_data_i(fill_data)
    );

    `WATCH(dut.transducer)

    initial $readmemh("weights.hex", image);

    // A memory that answers one request after another.
    always @(negedge clk) begin
      fill_valid = 0;
      fill_data = {FILL_WIDTH{1'bx}};
      phase = phase + beats;
      if (phase >= 1000) begin
        phase = phase - 1000;
        if (left != 0 && (!waits || $urandom % 3 == 0)) begin
          fill_valid = 1;
          fill_data = image[at/BEATS][FILL_WIDTH*(at%BEATS)+:FILL_WIDTH];
          at = at + 1;
          left = left - 1;
        end
      end
      fetch_ready = left == 0 && !fill_valid && (!waits || $urandom % 3 == 0);
      if (fetch_valid && fetch_ready) begin
        at = int'(fetch_addr) * BEATS;
        left = int'(fetch_words) * BEATS;
      end
    end
  end else begin : g_beside
    logic weight_ready = 0, weight_next, weight_start, loaded;
    logic [WEIGHT_ADDR-1:0] weight_addr, weight_base;
    logic [SIZE_WIDTH-1:0] weight_words, weight_groups;
    logic [WORD-1:0] weight_data, weight_word;

    rill_transducer #(
        .MEMORY_CLOCKS(MEMORY_CLOCKS),
        .WEIGHT_LATENCY(WEIGHT_LATENCY),
        `SIZES
    ) dut (
        `STREAMS,
        .weight_ready_i(weight_ready),
        .weight_next_o(weight_next),
        .weight_addr_o(weight_addr),
        .weight_data_i(weight_data),
        .weight_start_o(weight_start),
        .weight_base_o(weight_base),
        .weight_words_o(weight_words),
        .weight_groups_o(weight_groups)
    );

    `WATCH(dut)

    always @(negedge clk) weight_ready <= loaded && (!waits || $urandom % 10 == 0);

    // Weights that answer as late as block RAM does, or later.
    localparam int LATE = WEIGHT_LATENCY - 2;
    logic [WORD*(LATE+1)-1:0] late_q;
    wire [WORD*(LATE+2)-1:0] words = {late_q, weight_word};

    always @(posedge clk) late_q <= words[WORD*(LATE+1)-1:0];

    assign weight_data = words[WORD*LATE+:WORD];

    if (LOADED == 0) begin : g_rom
      assign loaded = 1'b1;
      rill_rom #(
          .WIDTH(WORD),
          .DEPTH(WEIGHT_WORDS),
          .FILE("weights.hex")
      ) weights (
          .clk_i(clk),
          .raddr_i(weight_addr),
          .rdata_o(weight_word)
      );
    end else begin : g_stream
      logic load_valid = 0, load_ready;
      logic [7:0] load_data = 0;

      rill_weights #(
          .UNITS(UNITS),
          .WORDS(WEIGHT_WORDS)
      ) weights (
          .clk_i(clk),
          .rst_ni(rst_n),
          .load_valid_i(load_valid),
          .load_ready_o(load_ready),
          .load_data_i(load_data),
          .ready_o(loaded),
          .raddr_i(weight_addr),
          .rdata_o(weight_word)
      );

      initial begin
        $readmemh("weights.hex", image);
        wait (rst_n);
        for (int n = 0; n < 4 * UNITS * WEIGHT_WORDS; n++) begin
          while ($urandom % 3 == 0) @(negedge clk);
          load_data = image[n/(4*UNITS)][8*(n%(4*UNITS))+:8];
          load_valid = 1;
          #1;
          while (!load_ready) begin
            @(negedge clk);
            #1;
          end
          @(negedge clk);
          load_valid = 0;
        end
      end
    end
  end

  always #5 clk = !clk;

  string path;
  int x_file, trace_file, got, value, limit;
  int chunks = 0, sent = 0, tokens = 0, clocks = 0, now = 0, begun = 0;
  int layer_clocks[0:LAYER_COUNT-1];  // of the last run of each layer
  logic idle, stall, every;

  // A line has the number of the layer, or fd for a, fe for a token or blank; the channel; the value; and c.
  task automatic trace(input int kind, input int channel, input int value, input int c);
    $fwrite(trace_file, "%h %h %h %h\n", 8'(kind), 8'(channel), value, 16'(c));
  endtask

  always @(negedge clk) token_ready <= rst_n && (!stall || $urandom % 100 == 0);

  always @(posedge clk)
    if (rst_n) begin
      now <= now + 1;
      if (now == limit) $fatal(1, "not done after %0d clocks", limit);
      if (start) begun <= now;
      if (done) layer_clocks[layer] <= now - begun;
      if (computing) clocks <= clocks + 1;  // waiting for x, or for the sink, is not
      if (every && h_valid !== 1'b0) trace(layer, channel, h, c);
      if (every && row_valid !== 1'b0) trace(layer, channel, row, 0);
      if (every && a_valid) trace('hfd, a_channel, a, 0);
      if (token_valid !== 1'b0 && token_ready) begin
        trace('hfe, int'(token_channel), int'(token), 0);
        if (int'(token) == BLANK) chunks <= chunks + 1;
        else tokens <= tokens + 1;
      end
    end

  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    idle = $test$plusargs("idle");
    stall = $test$plusargs("stall");
    waits = $test$plusargs("wait");
    every = !$test$plusargs("tokens");
    if (!$value$plusargs("beats=%d", beats)) beats = 1000;
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    repeat ((WEIGHT_LATENCY > 3) ? WEIGHT_LATENCY + 1 : 4) @(negedge clk);  // what is in the pipeline goes
    rst_n = 1;
    got = $fscanf(x_file, "%h", value);
    while (got == 1) begin
      while (idle && $urandom % 3 != 0) @(negedge clk);
      x_valid = 1;
      x_data = 8'(value);
      x_last = value[8];
      x_begin = value[9];
      x_mute = value[10];
      #1;
      while (!x_ready) begin
        @(negedge clk);
        #1;
      end
      if (x_last) sent = sent + 1;
      @(negedge clk);
      x_valid = 0;
      got = $fscanf(x_file, "%h", value);
    end
    while (chunks != sent) @(negedge clk);
    repeat (20) @(negedge clk);
    $display("%0d chunks, %0d tokens, %0d clocks", chunks, tokens, clocks);
    $display("%0d clocks in all", now);
    for (int n = 0; n < LAYER_COUNT; n++) $display("layer %0d: %0d clocks", n, layer_clocks[n]);
    $fclose(trace_file);
    $finish;
  end
endmodule
