// What rill_lstm_layer promises at its ports, whatever its neighbours do: each step of x gives the h and c of every
// unit, once; a result that waits stays as it is. Neighbours pause for at most a clock at a time; so all is there after CLOCKS.
//
// What the multipliers compute is cut off: the promises hold for any products.
module lstm_layer_properties #(
    parameter int INPUTS = 1,
    parameter int HIDDEN = 2,
    parameter int UNITS = 1,
    parameter int CHANNELS = 1,
    parameter int STEPS = 1,
    parameter int RESET = 4,  // clocks, which empty the pipeline
    parameter int CLOCKS = 55
) (
    input logic clk_i,
    input logic rst_ni,
    input logic x_valid_i,
    input logic [7:0] x_data_i,
    input logic x_fresh_i,
    input logic h_ready_i
);
  logic x_ready, h_valid;
  logic [7:0] h;
  logic [15:0] c;

  rill_lstm_layer #(
      .INPUTS(INPUTS),
      .HIDDEN(HIDDEN),
      .UNITS(UNITS),
      .CHANNELS(CHANNELS),
      .ACC_WIDTH(18)
  ) dut (
      .clk_i(clk_i),
      .rst_ni(rst_ni),
      .x_valid_i(x_valid_i),
      .x_ready_o(x_ready),
      .x_data_i(x_data_i),
      .x_fresh_i(x_fresh_i),
      .load_i(1'b0),
      .load_channel_i('0),
      .load_unit_i('0),
      .load_h_i(8'd0),
      .load_c_i(16'd0),
      .h_valid_o(h_valid),
      .h_ready_i(h_ready_i),
      .h_data_o(h),
      .c_data_o(c)
  );

  localparam int GIVEN = STEPS * CHANNELS * INPUTS;
  localparam int WANTED = CHANNELS * HIDDEN;

  logic begun_q = 1'b0, paused_x_q = 1'b0, paused_h_q = 1'b0, stalled_q = 1'b0;
  logic [7:0] clocks_q = '0, given_q, results_q;
  logic [7:0] h_q;
  logic [15:0] c_q;

  always_ff @(posedge clk_i) begin
    begun_q <= clocks_q >= RESET - 1;
    paused_x_q <= begun_q && !x_valid_i;
    paused_h_q <= begun_q && !h_ready_i;
    stalled_q <= begun_q && h_valid && !h_ready_i;
    h_q <= h;
    c_q <= c;
    clocks_q <= clocks_q + 1'b1;
    given_q <= rst_ni ? given_q + 8'(x_valid_i && x_ready) : '0;
    results_q <= rst_ni ? results_q + 8'(h_valid && h_ready_i) : '0;
  end

  always_comb begin
    assume (rst_ni == begun_q);
    if (begun_q) begin
      if (given_q == GIVEN) assume (!x_valid_i);
      else if (paused_x_q) assume (x_valid_i);
      if (paused_h_q) assume (h_ready_i);
      // No result before its step is complete, none of a step before those of the step before it.
      assert (results_q + 8'(h_valid) <= given_q / (CHANNELS * INPUTS) * WANTED);
      if (stalled_q) assert (h_valid && h == h_q && c == c_q);
      if (clocks_q == CLOCKS) assert (results_q == STEPS * WANTED);
    end
  end
endmodule
