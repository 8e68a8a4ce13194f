// A buffer between rill_transducer and weights outside: two groups, of which one is read while the next one comes.
//
//             start_i: words, groups                       next_i: all channels are done with the group
//                  │                                          │
//             ┌────▼────┐   fill    ┌─────────┐┌─────────┐    ▼
//   fetch ◄───┤ next    │  ────────►│ group n ││ n + 1   │──────► data_o, three clocks after addr_i
//             │ group   │           └─────────┘└─────────┘
//             └─────────┘
//
// fetch asks for the words of a group; they come as beats of FILL_WIDTH bits, the lowest lanes first, in any clocks, and
// are always taken. Only then the next group is asked for, if there is a place for it. ready_o, made for weight_ready_i,
// says that the group to be read has come whole. A layer's first group is waited for; which layer runs next may depend on
// a token.
module rill_weight_buffer #(
    parameter int UNITS = 8,
    parameter int GROUP_WORDS = 768,  // of the largest group, 2 at least
    parameter int FILL_WIDTH = 128,  // divides the 32 UNITS bits of a word
    parameter int SIZE_WIDTH = 12,
    parameter int WEIGHT_ADDR = 17
) (
    input logic clk_i,
    input logic rst_ni,

    // From and to rill_transducer.
    input logic start_i,
    input logic [WEIGHT_ADDR-1:0] base_i,  // of a layer
    input logic [SIZE_WIDTH-1:0] words_i,  // of a group
    input logic [SIZE_WIDTH-1:0] groups_i,
    output logic ready_o,
    input logic next_i,
    /* verilator lint_off UNUSEDSIGNAL */  // only places within both groups count
    input logic [WEIGHT_ADDR-1:0] addr_i,
    /* verilator lint_on UNUSEDSIGNAL */
    output logic [32*UNITS-1:0] data_o,

    // From and to the memory.
    output logic fetch_valid_o,
    input logic fetch_ready_i,
    output logic [WEIGHT_ADDR-1:0] fetch_addr_o,  // of a word of 4 UNITS bytes
    output logic [SIZE_WIDTH-1:0] fetch_words_o,
    input logic fill_valid_i,
    input logic [FILL_WIDTH-1:0] fill_data_i
);
  localparam int WIDTH = 32 * UNITS;
  localparam int BEATS = WIDTH / FILL_WIDTH;
  localparam int BEAT_WIDTH = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam int ADDR = $clog2(2 * GROUP_WORDS);
  localparam logic [ADDR-1:0] SECOND = ADDR'(GROUP_WORDS);

  logic [SIZE_WIDTH-1:0] words_q, left_q;  // groups to be asked for

  // ---- The group that comes ------------------------------------------------------------------------------------

  logic [1:0] full_q;
  logic filling_q, fill_second_q, write_q;  // second: it lies in the second half
  logic [BEAT_WIDTH-1:0] beat_q;
  logic [SIZE_WIDTH-1:0] come_q;
  logic [WIDTH-1:0] word_q;
  wire fetch = fetch_valid_o && fetch_ready_i;
  wire last_beat = beat_q == BEAT_WIDTH'(BEATS - 1);
  wire whole = write_q && come_q == words_q - 1'b1;

  assign fetch_valid_o = left_q != '0 && !filling_q && !full_q[fill_second_q];
  assign fetch_words_o = words_q;

  if (BEATS > 1) begin : g_beats
    always_ff @(posedge clk_i) if (fill_valid_i) word_q <= {fill_data_i, word_q[WIDTH-1:FILL_WIDTH]};
  end else begin : g_beat
    always_ff @(posedge clk_i) word_q <= fill_data_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      left_q <= '0;
      filling_q <= 1'b0;
      fill_second_q <= 1'b0;
      beat_q <= '0;
      come_q <= '0;
      write_q <= 1'b0;
    end else begin
      write_q <= fill_valid_i && last_beat;
      if (fill_valid_i) beat_q <= last_beat ? '0 : beat_q + 1'b1;
      if (write_q) come_q <= whole ? '0 : come_q + 1'b1;
      if (start_i) begin
        words_q <= words_i;
        left_q <= groups_i;
        fetch_addr_o <= base_i;
      end
      if (fetch) begin
        filling_q <= 1'b1;
        left_q <= left_q - 1'b1;
        fetch_addr_o <= fetch_addr_o + WEIGHT_ADDR'(words_q);
      end
      if (whole) begin
        filling_q <= 1'b0;
        fill_second_q <= !fill_second_q;
      end
    end
  end

  // ---- The group that is read ----------------------------------------------------------------------------------

  logic second_q, next_q;
  logic [ADDR-1:0] origin_q, raddr_q;  // origin: the address, in its lowest bits, of what lies at 0

  assign ready_o = full_q[second_q];

  always_ff @(posedge clk_i) begin
    raddr_q <= ADDR'(addr_i) - origin_q;
    if (!rst_ni) begin
      full_q <= '0;
      second_q <= 1'b0;
      next_q <= 1'b0;
    end else begin
      next_q <= next_i;  // the address of a group's last word comes a clock after next_i
      if (whole) full_q[fill_second_q] <= 1'b1;
      if (next_i) begin
        full_q[second_q] <= 1'b0;
        second_q <= !second_q;
      end
      if (start_i) origin_q <= ADDR'(base_i) - (second_q ? SECOND : '0);
      else if (next_q) origin_q <= origin_q + ADDR'(words_q) + (second_q ? -SECOND : SECOND);
    end
  end

  rill_ram #(
      .WIDTH(WIDTH),
      .DEPTH(2 * GROUP_WORDS)
  ) groups (
      .clk_i,
      .write_i(write_q),
      .waddr_i(ADDR'(come_q) + (fill_second_q ? SECOND : '0)),
      .wdata_i(word_q),
      .raddr_i(raddr_q),
      .rdata_o(data_o)
  );
endmodule
