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
from tests.rtl.streams import CHUNK, chunk_clocks
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


@pytest.mark.slow
def test_four_streams_share_weights_outside_in_the_clocks_that_are_said(
    bundle: Bundle, tmp_path: Path
) -> None:
    units, channels, bytes_a_clock = 8, 4, 12  # DDR3 of docs/rtl.md at 80 MHz
    bench = TransducerBench(
        bundle,
        SIMULATORS["verilator"],
        tmp_path,
        units=units,
        channels=channels,
        memory_clocks=3,
        weight_latency=3,
        weights="outside",
        fill_width=128,
    )
    names = [case.name for case in bundle.manifest.cases if case.name[0].isdigit()]
    streams = [chunks(bundle, name) for name in names]
    streams = [each for each in streams if len(each[1]) >= 30 and len(each[0]["tokens"])][:channels]
    frames = 30
    runs = bench.run(
        [sent[n] for n in range(frames) for _, sent in streams],
        f"beats={1000 * bytes_a_clock // 16}",
    )
    tokens = 0
    for run, (values, _) in zip(runs, streams, strict=True):
        check(
            run.arrays,
            {
                key: rows[: len(run.arrays[key])]
                for key, rows in values.items()
                if key in run.arrays
            },
        )
        tokens += len(run.arrays["tokens"])
    rate = tokens / channels / (frames * CHUNK)
    said = chunk_clocks(bundle.manifest.layers, units, channels, bytes_a_clock, rate)
    found = runs[0].clocks / frames
    print(f"{channels} channels, {tokens} tokens: {found:.0f} clocks a chunk; said are {said:.0f}")
    assert tokens and abs(found / said - 1) < 0.03
