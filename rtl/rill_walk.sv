// The order of a layer's results: groups of units, in each group all channels, in each channel the units.
//
//   for group            index = UNITS * group + unit       what the memory of biases counts, and of cells
//     for channel
//       for unit         of a linear layer
//         for lane       four rows each: row = 4 * index + lane
//
// `next_i` takes it one result on. Where it stands before the first and after the last one is the same place.
module rill_walk #(
    parameter int UNITS = 8,
    parameter int CHANNEL_WIDTH = 1,
    parameter int SIZE_WIDTH = 12
) (
    input logic clk_i,
    input logic rst_ni,
    input logic next_i,
    input logic linear_i,
    input logic [SIZE_WIDTH-1:0] groups_i,
    input logic [CHANNEL_WIDTH-1:0] first_channel_i,
    input logic [CHANNEL_WIDTH-1:0] last_channel_i,
    output logic [SIZE_WIDTH-1:0] index_o,
    output logic [1:0] lane_o,
    output logic [CHANNEL_WIDTH-1:0] channel_o,
    output logic last_unit_o,  // the last result of this group and channel
    output logic last_o
);
  logic [SIZE_WIDTH-1:0] group_q, base_q, unit_q;
  logic [CHANNEL_WIDTH-1:0] ahead_q;  // channels after the first
  wire last_lane = !linear_i || lane_o == 2'd3;
  wire last_unit = last_lane && unit_q == SIZE_WIDTH'(UNITS - 1);
  wire last_channel = channel_o == last_channel_i;

  assign index_o = base_q + unit_q;
  assign channel_o = first_channel_i + ahead_q;
  assign last_unit_o = last_unit;
  assign last_o = last_unit && last_channel && group_q == groups_i - 1'b1;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || (next_i && last_o)) begin
      group_q <= '0;
      base_q <= '0;
      unit_q <= '0;
      lane_o <= '0;
      ahead_q <= '0;
    end else if (next_i) begin
      lane_o <= last_lane ? 2'd0 : lane_o + 1'b1;
      if (last_lane) unit_q <= last_unit ? '0 : unit_q + 1'b1;
      if (last_unit) ahead_q <= last_channel ? '0 : ahead_q + 1'b1;
      if (last_unit && last_channel) begin
        group_q <= group_q + 1'b1;
        base_q <= base_q + SIZE_WIDTH'(UNITS);
      end
    end
  end
endmodule
