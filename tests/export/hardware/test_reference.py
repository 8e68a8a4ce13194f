"""The C reference of hardware bundles: every value of every vector, compiled strictly and with sanitisers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.hardware.bundle import write_bundle
from hwckpt.hardware_bundle import Bundle, read_array
from stream.bundled import model_path, recordings
from stream.model.network import open_model
from tests.export.hardware.compilers import NATIVE, TARGETS, Target
from tests.export.hardware.models import MODELS, small_network

BundleOf = Callable[[str], Bundle]
NOT_DUMPED = {"joints"}  # what belongs to the vectors alone


def compared(bundle: Bundle, dumped: Path) -> int:
    """Compare all that was dumped with the vectors; return the number of arrays."""
    count = 0
    for case in bundle.manifest.cases:
        want = bundle.vectors(case)
        for entry in case.arrays:
            absent = case.kind == "projection" and entry.name == "acc"
            if entry.name in (*case.given, *NOT_DUMPED) or absent or not want[entry.name].size:
                continue
            got = read_array(dumped / case.name, entry)
            assert np.array_equal(got, want[entry.name]), f"{case.name}: {entry.name}"
            count += 1
    return count


def check(bundle: Bundle, target: Target, folder: Path) -> None:
    target.require()
    dump = target.build(bundle.folder, ("rill_dump.c",), folder / "dump")
    subprocess.run([*dump, str(bundle.folder), str(folder / "out")], check=True)
    assert compared(bundle, folder / "out") > 200


@pytest.mark.parametrize("model", MODELS)
def test_the_reference_computes_every_vector(
    model: str, bundle_of: BundleOf, tmp_path: Path
) -> None:
    check(bundle_of(model), NATIVE, tmp_path)


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "gcc"])
def test_other_compilers_and_machines_compute_every_vector(
    target: str, bundle_of: BundleOf, tmp_path: Path
) -> None:
    check(bundle_of("bundled-like"), TARGETS[target], tmp_path)


def test_the_reference_takes_only_memcpy_of_the_c_library(
    bundle_of: BundleOf, tmp_path: Path
) -> None:
    NATIVE.require()
    command = ["gcc", "-std=c99", "-O1", "-ffreestanding", "-fno-tree-loop-distribute-patterns"]
    compiled = tmp_path / "rill.o"
    folder = bundle_of("bundled-like").folder
    subprocess.run([*command, "-c", "rill.c", "-o", str(compiled)], cwd=folder, check=True)
    listed = subprocess.run(["nm", "-u", str(compiled)], capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) - {"U", "_GLOBAL_OFFSET_TABLE_"} <= {"memcpy"}


def test_the_reference_has_no_floating_point(bundle_of: BundleOf, tmp_path: Path) -> None:
    NATIVE.require()
    # gcc refuses every use of a float where it may not use the registers for them.
    command = ["gcc", "-std=c99", "-mgeneral-regs-only", "-c", "rill.c"]
    folder = bundle_of("bundled-like").folder
    subprocess.run([*command, "-o", str(tmp_path / "rill.o")], cwd=folder, check=True)


def test_transcribe_prints_text_and_tokens(bundle_of: BundleOf, tmp_path: Path) -> None:
    NATIVE.require()
    bundle = bundle_of("bundled-like")
    case = next(case for case in bundle.manifest.cases if case.name == "babble")
    values = bundle.vectors(case)
    sources = ("rill.c", "rill_transcribe.c")
    program = NATIVE.build(bundle.folder, sources, tmp_path / "transcribe")
    pcm, tokens = values["pcm"].tobytes(), values["tokens"].tolist()
    text = subprocess.run(program, input=pcm, capture_output=True, check=True).stdout.decode()
    assert text.strip() == small_network("bundled-like").vocabulary.decode(tokens)
    numbers = subprocess.run([*program, "-"], input=pcm, capture_output=True, check=True).stdout
    pairs = np.array(numbers.split(), np.int64).reshape(-1, 2)
    assert pairs[:, 0].tolist() == tokens
    assert pairs[:, 1].tolist() == values["steps"].tolist()


@pytest.mark.slow
def test_the_reference_says_the_tokens_of_the_bundled_model(tmp_path: Path) -> None:
    NATIVE.require()
    audio = {
        utterance.audio.stem: np.rint(utterance.read() * 32768.0).astype(np.int16)
        for utterance in recordings()
    }
    write_bundle(open_model(model_path()), tmp_path / "bundle", audio)
    target = NATIVE._replace(sanitisers=False)
    dump = target.build(tmp_path / "bundle", ("rill_dump.c",), tmp_path / "dump", optimise="-O2")
    subprocess.run([*dump, str(tmp_path / "bundle"), str(tmp_path / "out")], check=True)
    assert compared(Bundle(tmp_path / "bundle"), tmp_path / "out") > 300
