"""Faults that are planted in the C reference, as an engineer makes them, are found and named."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from hwckpt.conformance.__main__ import main
from hwckpt.conformance.board.differences import compare_board
from hwckpt.conformance.board.guess import guess
from hwckpt.hardware_bundle import Bundle
from tests.export.hardware.models import small_bundle

CASES = ("babble", "muted-speech")  # streams; and all single steps


class Fault(NamedTuple):
    """An edit of a file, and what is to be said of it: the array, and the guess's beginning."""

    old: str
    new: str
    array: str
    guess: str
    file: str = "rill.c"


Z = "clamp(rhe(acc, layer->shift), -32768, 32767)"
CELL = "clamp(rhe(f * c[unit] + i * g, 15), -32768, 32767)"
HIDDEN = "clamp(rhe(o * clamp(cell, -4096, 4096), 20), -128, 127)"
X = "clamp(rhe(up(d * root, k), 36 - RILL_INPUT_EXPONENT), -128, 127)"
PROJECTED = "clamp(rhe(acc, layer->shift_out), -32768, 32767)"
A = "(uint8_t)smaller(rhe(larger((int64_t)e[i] + g[i], 0), 6), 255)"
FAULTS = {
    "shift of z": Fault(Z, Z.replace("shift)", "shift + 1u)"), "z", "shift of z"),
    "z rounded half up": Fault(
        Z,
        "clamp(layer->shift ? down(acc + (1 << (layer->shift - 1)), layer->shift) : acc, -32768, 32767)",
        "z",
        "rounding of z: half up",
    ),
    "c rounded down": Fault(CELL, CELL.replace("rhe(", "down("), "c", "rounding of c: down"),
    "c rounded to zero": Fault(
        CELL,
        CELL.replace("rhe(f * c[unit] + i * g, 15)", "(f * c[unit] + i * g) / 32768"),
        "c",
        "rounding of c: to zero",
    ),
    "c wraps": Fault(
        CELL, "(int16_t)rhe(f * c[unit] + i * g, 15)", "c", "saturation of c: it wraps"
    ),
    "h rounded half up": Fault(
        HIDDEN,
        HIDDEN.replace(
            "rhe(o * clamp(cell, -4096, 4096), 20)",
            "down(o * clamp(cell, -4096, 4096) + 524288, 20)",
        ),
        "h",
        "rounding of h: half up",
    ),
    "h wraps": Fault(
        HIDDEN, "rhe(o * clamp(cell, -4096, 4096), 20)", "h", "saturation of h: it wraps"
    ),
    "cell not clamped": Fault(
        HIDDEN, HIDDEN.replace("clamp(cell, -4096, 4096)", "cell"), "h", "saturation of the cell"
    ),
    "gates i g f o": Fault(
        "f = clamp(gate(layer, unit + units, x, h) + 16384, 0, 32768);\n        int64_t g = clamp(gate(layer, unit + 2 * units",
        "f = clamp(gate(layer, unit + 2 * units, x, h) + 16384, 0, 32768);\n        int64_t g = clamp(gate(layer, unit + units",
        "c",
        "order of gates: rows taken as i g f o",
    ),
    "a gate of 1 cut": Fault(
        "f = clamp(gate(layer, unit + units, x, h) + 16384, 0, 32768)",
        "f = clamp(gate(layer, unit + units, x, h) + 16384, 0, 32767)",
        "c",
        "saturation of gates: 1 is 32767",
    ),
    "bias subtracted": Fault(
        "+ layer->bias[row];\n    int64_t z",
        "- layer->bias[row];\n    int64_t z",
        "acc",
        "sign of the bias",
    ),
    "weights unsigned": Fault(
        "sum += weight[i] * x[i];",
        "sum += (uint8_t)weight[i] * x[i];",
        "acc",
        "sign of the weights",
    ),
    "shift of x": Fault(
        ", layer->shift_x)\n", ", layer->shift_x + 1u)\n", "acc", "shift of the product with x"
    ),
    "h written while it is read": Fault(
        "after[unit] = (int8_t)", "after[unit] = h[unit] = (int8_t)", "acc", ""
    ),
    "c of zeros": Fault(
        "f * c[unit] + i * g", "f * 0 + i * g", "c", "state: c before is taken as zeros"
    ),
    "newer frame first": Fault(
        "pair + i * RILL_HIDDEN",
        "pair + (1 - i) * RILL_HIDDEN",
        "encoder.post.0.c",
        "order of a pair",
    ),
    "e rounded half away": Fault(
        PROJECTED,
        "clamp(acc < 0 ? -down(-acc + (1 << (layer->shift_out - 1)), layer->shift_out)"
        " : down(acc + (1 << (layer->shift_out - 1)), layer->shift_out), -32768, 32767)",
        "e",
        "rounding of e: half away",
    ),
    "e wraps": Fault(PROJECTED, "rhe(acc, layer->shift_out)", "e", "saturation of e: it wraps"),
    "a rounded down": Fault(A, A.replace("rhe(", "down("), "a", "rounding of a: down"),
    "a saturates at 127": Fault(A, A.replace("255)", "127)"), "a", "saturation of a: at 127"),
    "no ReLU": Fault(
        A, A.replace("larger((int64_t)e[i] + g[i], 0)", "e[i] + g[i]"), "a", "sign: sums below 0"
    ),
    "a signed": Fault(
        "sum += weight[i] * a[i];",
        "sum += weight[i] * (int8_t)a[i];",
        "logits",
        "sign of a: taken as signed",
    ),
    "logits without bias": Fault("+ rill_joint_output.bias[row]", "", "logits", "bias: missing"),
    "a tone from the threshold on": Fault(
        "- sum > RILL_TONE", "- sum >= RILL_TONE", "peak", "threshold of a tone"
    ),
    "gain without bounds": Fault(
        "0, RILL_GAIN_MOST)",
        "INT32_MIN, INT32_MAX)",
        "gain",
        "saturation of the gain",
    ),
    "lift rounded down": Fault(
        "lift = rhe(gain, 10)", "lift = down(gain, 10)", "frames", "rounding of lift: down"
    ),
    "tones let through": Fault(
        "frame[bin] = tone ? RILL_FLOOR : ", "frame[bin] = ", "frames", "tones: they are not"
    ),
    "level rounded down": Fault(
        "s->level += (int32_t)rhe(",
        "s->level += (int32_t)down(",
        "level",
        "rounding of level: down",
    ),
    "speech from the margin on": Fault(
        "if (s->level > (int64_t)",
        "if (s->level >= (int64_t)",
        "frames_left",
        "threshold of speech",
    ),
    "no gate": Fault(
        "if (!is_open(s, frame))", "if (!is_open(s, frame) && 0)", "mean", "state: the gate"
    ),
    "mean rounded half up": Fault(
        "rhe(alpha * difference, 20)",
        "down(alpha * difference + (1 << 19), 20)",
        "mean",
        "rounding of mean: half up",
    ),
    "statistics not updated": Fault(
        "int64_t alpha = RILL_ALPHA;", "int64_t alpha = 0;", "mean", "state: the statistics"
    ),
    "shift of x in the normaliser": Fault(X, X.replace("36 -", "37 -"), "x", "shift of x"),
    "x wraps": Fault(
        X, X.replace("clamp(", "(").replace(", -128, 127", ""), "x", "saturation of x: it wraps"
    ),
    "old statistics": Fault(
        "d = rhe(l - s->mean[bin], 10); /* 10.16 */", "d = rhe(difference, 10);", "x", ""
    ),
    "samples in the other byte order": Fault(
        "rill_push(&stream, samples, count);",
        "for (unsigned n = 0; n < count; n++) {\n"
        "            samples[n] = (int16_t)((uint16_t)samples[n] << 8 | (uint16_t)samples[n] >> 8);\n"
        "        }\n"
        "        rill_push(&stream, samples, count);",
        "log2_mel",
        "endianness: the bytes of the samples",
        "rill_dump.c",
    ),
    "arrays in the other byte order": Fault(
        "value >> (8 * byte)",
        "value >> (8 * (size - 1 - byte))",
        "background",
        "endianness: the bytes of each value",
        "rill_dump.c",
    ),
    "no pre-emphasis": Fault(
        "- (int64_t)31785 * pcm[i]", "", "log2_mel", "order: there is no pre-emphasis"
    ),
    "state kept at a new segment": Fault("zero(s->pre, sizeof s->pre);", "", "encoder.pre.0.c", ""),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose list of cases has few streams, so that a board computes no others."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("board")
    whole = small_bundle("bundled-like", folder)
    cases = folder / "bundled-like" / "vectors" / "cases.txt"
    lines = cases.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("stream") or line.split()[1] in CASES]
    cases.write_text("".join(kept))
    return whole


def board(bundle: Bundle, folder: Path, fault: Fault | None = None) -> Path:
    """Build a board with a fault, run it, and return the folder of its arrays."""
    for name in ("rill.c", "rill.h", "rill_model.h", "rill_dump.c"):
        shutil.copyfile(bundle.folder / name, folder / name)
    if fault:
        source = folder / fault.file
        text = source.read_text()
        assert text.count(fault.old) >= 1, fault.old
        source.write_text(text.replace(fault.old, fault.new, 1))
    subprocess.run(["gcc", "-std=c99", "-w", "rill_dump.c", "-o", "dump"], cwd=folder, check=True)
    subprocess.run([folder / "dump", bundle.folder, folder / "out"], check=True)
    return folder / "out"


def test_a_board_without_faults_differs_nowhere(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dumped = board(bundle, tmp_path)
    assert main([str(bundle.folder), "--against", str(dumped)]) == 0
    assert "0 cases differ" in capsys.readouterr().err


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_named(name: str, bundle: Bundle, tmp_path: Path) -> None:
    fault = FAULTS[name]
    first = compare_board(bundle, board(bundle, tmp_path, fault)).first
    assert first is not None
    reasons = guess(bundle, first)
    assert first.array == fault.array, first.describe()
    assert any(reason.startswith(fault.guess) for reason in reasons or [""]), (
        reasons,
        first.describe(),
    )
