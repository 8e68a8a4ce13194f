// The element unit: four gate inputs and a cell to the cell and hidden state after them (rule 3), in nine clocks.
//
//   z_i ─►│clamp│ i ─┐
//                    ├─►│ × │─┐
//   z_g ─►│clamp│ g ─┘        ├►│ + │►│round│►│clamp│──┬─────────────────────────────► c_o
//   c_i ─────────────┐        │                        └►│clamp│─┐
//                    ├─►│ × │─┘                                  ├─►│ × │►│round│►│clamp│─► h_o
//   z_f ─►│clamp│ f ─┘                                           │
//   z_o ─►│clamp│ o ─────────────────────────────────────────────┘
//
// A gate is clamp(z + 1/2, 0, 1): z/8 in Q15 is z in Q12. There is a register before and behind each multiplier.
module rill_cell #(
    parameter int Z_WIDTH = 25
) (
    input logic clk_i,
    input logic rst_ni,
    input logic valid_i,
    input logic signed [Z_WIDTH-1:0] z_i,  // Q12, before saturation
    input logic signed [Z_WIDTH-1:0] z_f,
    input logic signed [Z_WIDTH-1:0] z_g,
    input logic signed [Z_WIDTH-1:0] z_o,
    input logic signed [15:0] c_i,  // Q12
    output logic valid_o,
    output logic signed [15:0] c_o,  // Q12
    output logic signed [7:0] h_o  // Q7
);
  localparam int CLOCKS = 9;

  // 0 to 32768, Q15; 32768 is 1, and kept: a forget gate of 1 holds the cell.
  function automatic logic signed [16:0] gate(input logic signed [Z_WIDTH-1:0] z);
    if (z >= 16384) gate = 17'sd32768;
    else if (z <= -16384) gate = 17'sd0;
    else gate = 17'(z) + 17'sd16384;
  endfunction

  function automatic logic signed [13:0] one(input logic signed [15:0] c);  // to -1 .. 1, Q12
    if (c >= 4096) one = 14'sd4096;
    else if (c <= -4096) one = -14'sd4096;
    else one = 14'(c);
  endfunction

  logic [CLOCKS-1:0] valid_q;
  logic signed [16:0] i_q, f_q, o_q[0:5];
  logic signed [13:0] g_q, tanh_q;
  logic signed [15:0] before_q, c_q[0:4];
  logic signed [31:0] fc_q, ig_q, p_q, p_round_q;  // Q27
  logic signed [30:0] u_q, u_round_q;  // Q27
  wire signed [16:0] p_whole = 17'(p_round_q >>> 15);
  wire signed [10:0] u_whole = 11'(u_round_q >>> 20);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[CLOCKS-2:0], valid_i};

    i_q <= gate(z_i);
    f_q <= gate(z_f);
    o_q[0] <= gate(z_o);
    if (z_g >= 4096) g_q <= 14'sd4096;
    else if (z_g <= -4096) g_q <= -14'sd4096;
    else g_q <= 14'(z_g);
    before_q <= c_i;

    fc_q <= f_q * before_q;
    ig_q <= i_q * g_q;
    p_q <= fc_q + ig_q;
    p_round_q <= p_q + 32'sd16383 + 32'(p_q[15]);
    if (p_whole > 32767) c_q[0] <= 16'sh7fff;
    else if (p_whole < -32768) c_q[0] <= 16'sh8000;
    else c_q[0] <= 16'(p_whole);
    for (int n = 1; n < 6; n++) o_q[n] <= o_q[n-1];
    for (int n = 1; n < 5; n++) c_q[n] <= c_q[n-1];

    tanh_q <= one(c_q[0]);
    u_q <= 31'(o_q[5] * tanh_q);
    u_round_q <= u_q + 31'sd524287 + 31'(u_q[20]);
    h_o <= (u_whole > 127) ? 8'sd127 : 8'(u_whole);  // -1 is -128: nothing falls below
  end

  assign valid_o = valid_q[CLOCKS-1];
  assign c_o = c_q[4];
endmodule
