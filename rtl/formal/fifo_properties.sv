// What rill_fifo promises, whatever both of its neighbours do: no word is lost, doubled, changed or overtaken.
//
// From any moment on one word is watched: those ahead of it are counted, and when they have left it comes itself.
module fifo_properties #(
    parameter int WIDTH = 1,
    parameter int DEPTH = 2
) (
    input logic clk_i,
    input logic rst_ni,
    input logic valid_i,
    input logic ready_i,
    input logic [WIDTH-1:0] data_i,
    input logic watch_i
);
  logic ready, valid, empty;
  logic [WIDTH-1:0] data;

  rill_fifo #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH)
  ) dut (
      .clk_i(clk_i),
      .rst_ni(rst_ni),
      .valid_i(valid_i),
      .ready_o(ready),
      .data_i(data_i),
      .valid_o(valid),
      .ready_i(ready_i),
      .data_o(data),
      .empty_o(empty)
  );

  wire enters = valid_i && ready;
  wire leaves = valid && ready_i;

  logic begun_q = 1'b0, stalled_q = 1'b0, watching_q = 1'b0;
  logic [7:0] inside_q, ahead_q;
  logic [WIDTH-1:0] watched_q, data_q;

  always_ff @(posedge clk_i) begin
    begun_q <= 1'b1;
    stalled_q <= rst_ni && valid && !ready_i;
    data_q <= data;
    if (!rst_ni) begin
      inside_q <= '0;
      watching_q <= 1'b0;
    end else begin
      inside_q <= inside_q + 8'(enters) - 8'(leaves);
      if (watching_q) begin
        if (leaves) ahead_q <= ahead_q - 1'b1;
        if (leaves && ahead_q == '0) watching_q <= 1'b0;
      end else if (enters && watch_i) begin
        watching_q <= 1'b1;
        watched_q <= data_i;
        ahead_q <= inside_q - 8'(leaves);
      end
    end
  end

  always_comb begin
    if (!begun_q) assume (!rst_ni);
    if (begun_q && rst_ni) begin
      assert (inside_q <= DEPTH + 1);
      assert (empty == (inside_q == 0));
      if (inside_q == 0) assert (!valid);
      if (inside_q < DEPTH) assert (ready);
      if (stalled_q) assert (valid && data == data_q);
      if (watching_q && leaves && ahead_q == 0) assert (data == watched_q);
    end
  end
endmodule
