// Writes and reads `rill_ram`, and reads `rill_rom`, a word a clock each.
//
//   words.hex     what lies in the rom
//   +x=FILE       a line a clock: whether a word is written, where, the word; where both are read, in hexadecimal
//   +trace=FILE   a line a clock: what the ram and the rom answer to the address CLOCKS before
//   +limit=N      stop after so many clocks
`timescale 1ns / 1ps
module memory_bench #(
    parameter int DEPTH = 16,
    parameter int CLOCKS = 2
);
  localparam int ADDR = $clog2(DEPTH);

  logic clk = 0, write = 0;
  logic [ADDR-1:0] waddr = 0, raddr = 0;
  logic [7:0] wdata = 0, ram, rom;

  rill_ram #(
      .DEPTH (DEPTH),
      .CLOCKS(CLOCKS)
  ) dut_ram (
      .clk_i(clk),
      .write_i(write),
      .waddr_i(waddr),
      .wdata_i(wdata),
      .raddr_i(raddr),
      .rdata_o(ram)
  );

  rill_rom #(
      .DEPTH(DEPTH),
      .CLOCKS(CLOCKS),
      .FILE("words.hex")
  ) dut_rom (
      .clk_i(clk),
      .raddr_i(raddr),
      .rdata_o(rom)
  );

  always #5 clk = !clk;

  string path;
  int x_file, trace_file, got, limit;
  int clocks = 0;

  always @(posedge clk) begin
    clocks <= clocks + 1;
    if (clocks == limit) $fatal(1, "not done after %0d clocks", limit);
    if (clocks >= CLOCKS) $fwrite(trace_file, "%h %h\n", ram, rom);
  end

  // Everything changes at the falling edge.
  initial begin
    if (!$value$plusargs("limit=%d", limit)) limit = -1;
    if (!$value$plusargs("x=%s", path)) $fatal(1, "+x=FILE is missing");
    x_file = $fopen(path, "r");
    if (!$value$plusargs("trace=%s", path)) $fatal(1, "+trace=FILE is missing");
    trace_file = $fopen(path, "w");
    got = $fscanf(x_file, "%h %h %h %h", write, waddr, wdata, raddr);
    while (got == 4) begin
      @(negedge clk);
      got = $fscanf(x_file, "%h %h %h %h", write, waddr, wdata, raddr);
    end
    write = 0;
    repeat (CLOCKS) @(negedge clk);
    $display("%0d clocks in all", clocks);
    $fclose(trace_file);
    $finish;
  end
endmodule
