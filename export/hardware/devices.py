"""Devices that models are sized for: cells, multipliers, memory on the chip and beside it, and a clock to plan with.

Figures are those of data sheets, but for clocks marked as measured: of our gateware, placed and routed. A board decides its
external bandwidth; here it is what such boards usually have.
"""

from __future__ import annotations

from typing import NamedTuple

MBIT, GIGA = 1e6, 1e9


class Device(NamedTuple):
    """A chip.

    Attributes:
        name: as `--device` takes it.
        cells: look-up tables for logic, of four inputs (Lattice) or six.
        multipliers: hard ones.
        products: products of int8 of each in a cycle.
        memory: on the chip, bits.
        bandwidth: of external memory, bytes a second; 0: there is none.
        clock: Hz.
        source: of the figures.
    """

    name: str
    cells: int
    multipliers: int
    products: int
    memory: float
    bandwidth: float
    clock: float
    source: str


DEVICES = {
    device.name: device
    for device in (
        Device("ice40up5k", 5_280, 8, 1, 1.1 * MBIT, 0.012 * GIGA, 25e6, "Lattice; clock half of the 52 MHz measured; SPI flash, 4 bits at 25 MHz"),
        Device("ecp5-25", 24_288, 28, 1, 1.0 * MBIT, 0.3 * GIGA, 90.6e6, "Lattice; clock measured: 90.6 MHz, a whole model for 8 streams with 16 lanes; SDRAM"),
        Device("ecp5-45", 43_848, 72, 1, 1.9 * MBIT, 0.3 * GIGA, 88e6, "Lattice; clock measured: 88 MHz, a whole model for 20 streams with 32 lanes; SDRAM"),
        Device("ecp5-85", 83_640, 156, 1, 3.7 * MBIT, 0.3 * GIGA, 89.8e6, "Lattice; clock measured: 89.8 MHz, a whole model for 50 streams with 32 lanes; SDRAM"),
        Device("artix7-100t", 63_400, 240, 1, 4.9 * MBIT, 1.6 * GIGA, 150e6, "AMD DS180; DDR3"),
        Device("zynq-7020", 53_200, 220, 1, 4.9 * MBIT, 4.2 * GIGA, 150e6, "AMD DS190; DDR3, 32 bits"),
        Device("zynq-7045", 218_600, 900, 1, 19.2 * MBIT, 4.2 * GIGA, 200e6, "AMD DS190; DDR3, 32 bits"),
        Device("kria-k26", 117_120, 1248, 2, 23.1 * MBIT, 19.2 * GIGA, 300e6, "AMD; two products of int8 a DSP48E2; DDR4"),
        Device("zu9eg", 274_080, 2520, 2, 32.1 * MBIT, 19.2 * GIGA, 281e6, "AMD; clock of AMD's own network processor on it; DDR4"),
        Device("alveo-u50", 731_000, 5352, 2, 227 * MBIT, 316 * GIGA, 250e6, "AMD; multipliers left to the user; HBM2"),
        Device("alveo-u250", 1_341_000, 11520, 2, 460 * MBIT, 77 * GIGA, 250e6, "AMD; multipliers left to the user; DDR4, 4 channels"),
        Device("alveo-v80", 2_574_000, 10848, 3, 673 * MBIT, 460 * GIGA, 300e6, "AMD; three products of int8 a DSP58; HBM2e"),
        Device("speedster7t", 692_000, 2560, 16, 190 * MBIT, 512 * GIGA, 500e6, "Achronix DS015; 16 products of int8 an MLP; GDDR6"),
    )
}  # fmt: skip
