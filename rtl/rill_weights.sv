// Weights that are loaded: bytes come over a stream once, then the memory is read as rill_rom is.
//
//   load ──► byte 0, 1, … 4 UNITS - 1 ──► word ──►┌────────┐   ┌───┐   ┌───┐
//            lane 0 first                         │ words  │──►│   │──►│   │──► rdata_o, two clocks after raddr_i
//                                       raddr_i ─►└────────┘   └───┘   └───┘
//
// ready_o, which is made for weight_ready_i of rill_layer, is high when all WORDS have come. A reset loads again. For
// memories that cannot hold anything before the first clock, such as the large ones of iCE40 UltraPlus.
module rill_weights #(
    parameter int UNITS = 8,
    parameter int WORDS = 16,
    parameter int ADDR = (WORDS > 1) ? $clog2(WORDS) : 1
) (
    input logic clk_i,
    input logic rst_ni,
    input logic load_valid_i,
    output logic load_ready_o,
    input logic [7:0] load_data_i,
    output logic ready_o,
    input logic [ADDR-1:0] raddr_i,
    output logic [32*UNITS-1:0] rdata_o
);
  localparam int LANES = 4 * UNITS;
  localparam int LANE_WIDTH = $clog2(LANES);

  logic [8*LANES-1:0] word_q;
  logic [LANE_WIDTH-1:0] lane_q;
  logic [ADDR-1:0] waddr_q;
  logic write_q;
  wire take = load_valid_i && load_ready_o;
  wire last_lane = lane_q == LANE_WIDTH'(LANES - 1);

  assign load_ready_o = !ready_o && !write_q;

  always_ff @(posedge clk_i) begin
    if (take) word_q <= {load_data_i, word_q[8*LANES-1:8]};
    if (!rst_ni) begin
      lane_q <= '0;
      waddr_q <= '0;
      write_q <= 1'b0;
      ready_o <= 1'b0;
    end else begin
      if (take) lane_q <= last_lane ? '0 : lane_q + 1'b1;
      write_q <= take && last_lane;
      if (write_q) begin
        waddr_q <= waddr_q + 1'b1;
        ready_o <= waddr_q == ADDR'(WORDS - 1);
      end
    end
  end

  rill_ram #(
      .WIDTH(8 * LANES),
      .DEPTH(WORDS)
  ) memory (
      .clk_i,
      .write_i(write_q),
      .waddr_i(waddr_q),
      .wdata_i(word_q),
      .raddr_i,
      .rdata_o
  );
endmodule
