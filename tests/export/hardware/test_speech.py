"""The C reference says what the engine says, natively and emulated, and what it takes is counted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hwckpt.hardware_bundle import Bundle
from tests.export.hardware.compilers import TARGETS
from tests.export.hardware.models import small_network, small_recordings
from tests.export.hardware.speech import PLUGIN, counting, deepest_stack, expected, run

GRAPH = """\
graph: { title: "rill.c"
node: { title: "rill.c:put" label: "put\\nrill.c:503:13\\n40 bytes (static)" }
node: { title: "rill.c:next" label: "next\\nrill.c:271:16\\n1000 bytes (static)" }
node: { title: "rill_push" label: "rill_push\\nrill.c:580:6\\n8 bytes (static)" }
node: { title: "memcpy" label: "__builtin_memcpy\\n<built-in>" shape : ellipse }
edge: { sourcename: "rill_push" targetname: "rill.c:put" label: "rill.c:585:5" }
edge: { sourcename: "rill.c:put" targetname: "rill.c:next" label: "rill.c:520:9" }
edge: { sourcename: "rill.c:put" targetname: "memcpy" }
}
"""


def test_the_stack_is_that_of_the_deepest_chain_of_calls() -> None:
    assert deepest_stack(GRAPH) == 8 + 40 + 1000


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["arm", "thumb", "cortex-m4", "riscv64"])
def test_an_emulated_machine_says_the_tokens_of_the_engine(
    machine: str, bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    target = TARGETS[machine]
    target.require()
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    plugin = tmp_path / "count.so"
    subprocess.run(["gcc", "-shared", "-fPIC", str(PLUGIN), "-o", str(plugin)], check=True)
    sources = ("rill.c", "rill_transcribe.c")
    folder = bundle_of("bundled-like").folder
    program = target.build(folder, sources, tmp_path / "transcribe", optimise="-O2")
    pcm = small_recordings()["babble"]
    said, instructions = run(counting(program, plugin), pcm)
    assert said == expected(small_network("bundled-like"), [pcm])[0] != []
    assert instructions > 1000 * len(pcm)
