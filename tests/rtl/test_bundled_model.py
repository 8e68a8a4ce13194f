"""The bundled model in `rill_transducer`: every value of whole recordings, and how many clocks they take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.hardware.bundle import write_bundle
from hwckpt.hardware_bundle import Bundle
from stream.bundled import model_path, recordings
from stream.manifest import read_manifest
from stream.model.network import open_model
from tests.rtl.simulators import SIMULATORS
from tests.rtl.test_transducer import PAUSES, check, check_frames, chunks
from tests.rtl.transducer import TransducerBench

OF_DEV = 12  # recordings, beside the bundled ones
SHORT = ("speech-commands-yes", "muted-speech", "odd-end")  # run with all pauses


@pytest.fixture(scope="module")
def bundle(long: None, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a bundle of the bundled model with recordings of dev, too.

    What writes it has compared its tokens with those of the engine on the backend `integer`.
    """
    dev = read_manifest(speech / "dev.jsonl")
    utterances = [*recordings(), *dev[:: len(dev) // OF_DEV][:OF_DEV]]
    audio = {
        f"{number:02}-{utterance.audio.stem}": np.rint(utterance.read() * 32768.0)
        .clip(-32768, 32767)
        .astype(np.int16)
        for number, utterance in enumerate(utterances)
    }
    folder = tmp_path_factory.mktemp("bundled") / "bundle"
    write_bundle(open_model(model_path()), folder, audio)
    return Bundle(folder)


@pytest.mark.slow
def test_every_value_of_whole_recordings_is_that_of_the_integer_backend(
    bundle: Bundle, tmp_path: Path
) -> None:
    bench = TransducerBench(bundle, SIMULATORS["verilator"], tmp_path, units=8)
    names = [case.name for case in bundle.manifest.cases if case.name[0].isdigit()]
    total, clocks, frames = 0, 0, 0
    for name in names:
        values, sent = chunks(bundle, name)
        (run,) = bench.run(sent)
        check(run.arrays, values)
        check_frames(run, sent, values)
        total, clocks, frames = (
            total + len(values["tokens"]),
            clocks + run.clocks,
            frames + len(sent),
        )
    assert len(names) >= 20 and total > 40
    print(
        f"{len(names)} recordings, {total} tokens; 32 lanes: {clocks / frames:.0f} clocks a chunk"
    )
    print("\n".join(f"  {name}: {clocks}" for name, clocks in run.layer_clocks.items()))


@pytest.mark.slow
def test_pauses_change_nothing(bundle: Bundle, tmp_path: Path) -> None:
    bench = TransducerBench(bundle, SIMULATORS["verilator"], tmp_path, units=32)
    clocks, frames = 0, 0
    for case in bundle.manifest.cases:
        if case.name.partition("-")[2] in SHORT or case.name in SHORT:
            values, sent = chunks(bundle, case.name)
            for pauses in PAUSES:
                (run,) = bench.run(sent, *pauses)
                check(run.arrays, values)
                check_frames(run, sent, values)
                if not pauses:
                    clocks, frames = clocks + run.clocks, frames + len(sent)
                if not pauses and len(values["tokens"]):  # every layer was run, without waiting
                    of_layers = run.layer_clocks
    print(f"128 lanes: {clocks / frames:.0f} clocks a chunk")
    print("\n".join(f"  {name}: {clocks}" for name, clocks in of_layers.items()))
