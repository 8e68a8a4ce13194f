"""The figure of docs/rtl.md is drawn from a dump of values."""

from __future__ import annotations

from tests.rtl.waveform import FIGURE, SIGNALS, read_vcd

DUMP = """
$scope module bench $end
$scope module dut $end
$var reg 1 ! valid $end
$scope module layer $end
$var reg 4 # word_q [3:0] $end
$upscope $end
$upscope $end
$upscope $end
#0
0!
bx #
#5
b10 #
#15
1!
b11 #
#25
0!
"""


def test_values_are_those_before_each_rising_edge() -> None:
    found = read_vcd(DUMP, ["valid", "layer.word_q"], period=10)
    assert found == {"valid": ["0", "0", "1"], "layer.word_q": ["x", "10", "11"]}


def test_the_figure_has_every_signal() -> None:
    text = FIGURE.read_text()
    assert all(f">{label}</text>" in text for label in SIGNALS.values())
