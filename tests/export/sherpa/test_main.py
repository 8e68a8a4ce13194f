"""`python -m export.sherpa`: what it writes, what it refuses, and what sherpa-onnx makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

import onnx

from export.sherpa import directory as module
from export.sherpa import graph as sherpa_graphs
from export.sherpa.__main__ import main
from stream.audio import read_audio
from stream.bundled import model_path, recordings
from stream.encoders.conformer import Conformer
from stream.front_end.filterbank import Filterbank
from stream.model import directory
from stream.model.network import Network, open_model
from stream.model.specification import ModelError
from stream.prediction.stateless import Stateless
from stream.recogniser import Recogniser
from tests.tiny import talking_ctc, tiny_network

FILES = {"encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt", "bpe.vocab"}
TAIL = 0.8  # s of zeros that sherpa-onnx' server puts behind a stream


@pytest.fixture(autouse=True)
def two_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify on two of the bundled recordings, for speed."""
    monkeypatch.setattr(module, "recordings", lambda: recordings()[:2])


def source(path: Path, network: Network) -> str:
    """Write a model directory without graphs, which `--ckpt` takes as it takes anything."""
    directory.write(network, path, {})
    return str(path)


@pytest.mark.parametrize(
    "specification", [{}, {"activation": "soft"}, {"alpha": 0.0}, {"floor": 1e-3}]
)
def test_the_command_writes_what_says_the_same_tokens(
    tmp_path: Path, specification: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given = source(tmp_path / "given", tiny_network(**specification))
    output = tmp_path / "new" / "sherpa"
    assert main(["--ckpt", given, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "tokens are the model's" in printed and "verified: 0 tokens" not in printed
    assert {file.name for file in output.iterdir()} == FILES
    assert [path.name for path in output.parent.iterdir()] == ["sherpa"]


def test_tokens_are_listed_with_blank_last(tmp_path: Path) -> None:
    network = tiny_network()
    assert main(["--ckpt", source(tmp_path / "m", network), "--output", str(tmp_path / "s")]) == 0
    lines = (tmp_path / "s" / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == f"<blk> {len(network.vocabulary)}"
    assert [line.split() for line in lines[:-1]] == [
        [piece, str(n)] for n, piece in enumerate(network.vocabulary.pieces)
    ]


def test_pieces_are_listed_with_their_scores(tmp_path: Path) -> None:
    network = tiny_network()
    assert main(["--ckpt", source(tmp_path / "m", network), "--output", str(tmp_path / "s")]) == 0
    lines = (tmp_path / "s" / "bpe.vocab").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == list(network.vocabulary.pieces)
    assert all(float(line.split("\t")[1]) <= 0.0 for line in lines)


def test_the_encoder_has_every_integer_without_which_sherpa_onnx_ends(tmp_path: Path) -> None:
    given = source(tmp_path / "m", tiny_network(prediction_layers=2))
    assert main(["--ckpt", given, "--output", str(tmp_path / "s")]) == 0
    model = onnx.load(tmp_path / "s" / "encoder.onnx")
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    assert metadata.pop("normalize_type") == "NA"
    assert {key: int(value) for key, value in metadata.items()} == {
        "vocab_size": 20,
        "window_size": 6,
        "chunk_shift": 6,
        "subsampling_factor": 6,
        "pred_rnn_layers": 2,
        "pred_hidden": 8,
        "cache_last_channel_dim1": 1,
        "cache_last_channel_dim2": 1,
        "cache_last_channel_dim3": 64,
        "cache_last_time_dim1": 1,
        "cache_last_time_dim2": 2,
        "cache_last_time_dim3": 80,
    }


def test_a_wrong_export_is_caught_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = source(tmp_path / "m", tiny_network())
    monkeypatch.setattr(sherpa_graphs, "LEAST_VARIANCE", 10.0)
    assert main(["--ckpt", given, "--output", str(tmp_path / "s")]) == 1
    assert "tokens are [" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(
    "specification", [{"window": 320}, {"initial_padding": True}, {"floor": 1e-20}]
)
def test_features_that_sherpa_onnx_has_not_are_refused(
    tmp_path: Path, specification: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given = source(tmp_path / "m", tiny_network(**specification))
    assert main(["--ckpt", given, "--output", str(tmp_path / "s")]) == 3
    assert "sherpa-onnx' front end has a window of 400" in capsys.readouterr().err


def test_learned_filters_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = source(tmp_path / "m", tiny_network(filterbank=Filterbank(mel="learned")))
    assert main(["--ckpt", given, "--output", str(tmp_path / "s")]) == 3
    assert "a directory for sherpa-onnx wants frames of the fixed mel" in capsys.readouterr().err


def test_int8_wants_a_directory_that_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = source(tmp_path / "m", tiny_network())
    assert main(["--ckpt", given, "--output", str(tmp_path / "s"), "--int8"]) == 3
    assert "has no int8 graphs" in capsys.readouterr().err


@pytest.mark.parametrize("signed", [False, True])
def test_int8_is_exact_on_every_cpu_unless_signed_weights_are_asked_for(
    tmp_path: Path, signed: bool
) -> None:
    output = tmp_path / "s"
    argv = ["--ckpt", str(model_path()), "--output", str(output), "--int8"]
    assert main([*argv, *["--signed-weights"] * signed]) == 0
    models = [onnx.load(output / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")]
    kinds = {array.data_type for model in models for array in model.graph.initializer}
    assert (onnx.TensorProto.INT8 in kinds) == signed


def test_signed_weights_go_with_int8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--ckpt", "m", "--output", str(tmp_path / "s"), "--signed-weights"])
    assert raised.value.code == 2
    assert "--signed-weights goes with --int8" in capsys.readouterr().err


def test_what_stands_at_the_output_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = source(tmp_path / "m", tiny_network())
    assert main(["--ckpt", given, "--output", given]) == 3
    assert "not an empty folder" in capsys.readouterr().err
    open_model(given)


def conformer(**specification: Any) -> Network:
    """Return a random Conformer whose tokens change with what is heard."""
    sizes = Conformer(
        depth=2, size=16, feed_forward=24, channels=3, kernel=4, mamba_every=2, mamba_heads=4,
        mamba_state=5, chunk_ms=240, chunks_ms=(80, 240),
    )  # fmt: skip
    return tiny_network(1, other_encoder=sizes, **specification)


@pytest.mark.parametrize("head", ["transducer", "ctc"])
def test_a_conformer_is_written_with_either_head(
    tmp_path: Path, head: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network = talking_ctc(conformer(decoder="both"))
    given = source(tmp_path / "m", network)
    assert main(["--ckpt", given, "--output", str(tmp_path / "s"), "--head", head]) == 0
    assert "verified: 0 tokens" not in capsys.readouterr().out
    files = {"model.onnx", "tokens.txt", "bpe.vocab"} if head == "ctc" else FILES
    assert {file.name for file in (tmp_path / "s").iterdir()} == files


@pytest.mark.parametrize("ms", [80, 240])
def test_a_length_of_chunk_is_chosen(tmp_path: Path, ms: int) -> None:
    given = source(tmp_path / "m", conformer())
    assert main(["--ckpt", given, "--output", str(tmp_path / "s"), "--chunk-ms", str(ms)]) == 0
    encoder = onnx.load(tmp_path / "s" / "encoder.onnx")
    metadata = {each.key: each.value for each in encoder.metadata_props}
    assert metadata["window_size"] == metadata["chunk_shift"] == str(ms // 10)


def test_a_length_that_the_model_is_not_trained_with_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = source(tmp_path / "m", conformer())
    assert main(["--ckpt", given, "--output", str(tmp_path / "s"), "--chunk-ms", "60"]) == 2
    assert "trained with chunks of 80, 240 ms" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_ctc_head_of_lstms_is_written_too(tmp_path: Path) -> None:
    network = talking_ctc(tiny_network(decoder="ctc"))
    assert module.export(network, tmp_path / "s") > 0


def test_a_prediction_network_that_sherpa_onnx_has_not_is_refused_by_name(tmp_path: Path) -> None:
    network = conformer(other_prediction=Stateless(8), decoder="both")
    with pytest.raises(ModelError, match="an LSTM for prediction network, .* family 'stateless'"):
        module.export(network, tmp_path / "s")
    assert module.export(talking_ctc(network), tmp_path / "s", head="ctc") > 0


@pytest.mark.parametrize(("head", "ms"), [("transducer", 240), ("ctc", 240), ("ctc", 80)])
def test_sherpa_onnx_loads_a_conformer_and_hears_something(
    tmp_path: Path, head: Any, ms: int
) -> None:
    path = tmp_path / "s"
    network = talking_ctc(conformer(decoder="both", alpha=0.0))
    module.export(network.with_chunk(ms), path, head=head)
    theirs = loaded(path)
    stream = theirs.create_stream()
    stream.accept_waveform(16_000, padded(read_audio(recordings()[0].audio)))
    stream.input_finished()
    while theirs.is_ready(stream):
        theirs.decode_stream(stream)
    assert len(theirs.get_result(stream)) > 3


@pytest.fixture(scope="module", params=["onnx", "int8"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The bundled model for sherpa-onnx, float32 or int8, and the backend that it should equal."""
    path = tmp_path_factory.mktemp("sherpa") / request.param
    module.export(open_model(model_path()), path, int8=request.param == "int8")
    return path, request.param


def loaded(path: Path, **search: Any) -> Any:
    """Return sherpa-onnx' recogniser, of a transducer with frames cut as Rill's are."""
    sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="needs: pip install sherpa-onnx")
    tokens = str(path / "tokens.txt")
    if (model := path / "model.onnx").exists():
        return sherpa_onnx.OnlineRecognizer.from_nemo_ctc(tokens, str(model), num_threads=1)
    files = {name: str(path / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}
    return sherpa_onnx.OnlineRecognizer.from_transducer(
        **files, tokens=tokens, num_threads=1, snip_edges=True, **search
    )


def padded(audio: Any) -> Any:
    return np.concatenate([audio, np.zeros(int(TAIL * 16_000), np.float32)])


def test_sherpa_onnx_says_what_rill_says(written: tuple[Path, str]) -> None:
    path, backend = written
    theirs, ours = loaded(path), Recogniser(open_model(model_path()), backend)
    streams, wanted = [], []
    for recording in recordings():
        audio = padded(read_audio(recording.audio))
        wanted.append(ours.transcribe(audio)[0])
        streams.append(theirs.create_stream())
        streams[-1].accept_waveform(16_000, audio)
        streams[-1].input_finished()
    # Together in one batch, of which streams leave as they end.
    while ready := [stream for stream in streams if theirs.is_ready(stream)]:
        theirs.decode_streams(ready)
    said = [theirs.get_result(stream).strip() for stream in streams]
    # Frames differ in their last bits, which int8 may round the other way.
    assert sum(a != b for a, b in zip(said, wanted, strict=True)) <= (backend == "int8")
    assert all(wanted)


def test_sherpa_onnx_takes_hotwords_in_a_beam_search(written: tuple[Path, str]) -> None:
    path, _ = written
    (hotwords := path.parent / "hotwords.txt").write_text("three :8.0\n")
    said = []
    for more in ({}, {"hotwords_file": str(hotwords), "modeling_unit": "bpe"}):
        if more:
            more["bpe_vocab"] = str(path / "bpe.vocab")
        theirs = loaded(path, decoding_method="modified_beam_search", **more)
        streams = []
        for recording in recordings()[:2]:
            streams.append(theirs.create_stream())
            streams[-1].accept_waveform(16_000, padded(read_audio(recording.audio)))
            streams[-1].input_finished()
        while ready := [stream for stream in streams if theirs.is_ready(stream)]:
            theirs.decode_streams(ready)
        said.append(" ".join(theirs.get_result(stream) for stream in streams))
    plain, boosted = said
    assert "five" in plain
    assert boosted.split().count("three") > plain.split().count("three")
