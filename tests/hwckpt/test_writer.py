from __future__ import annotations

import dataclasses
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from hwckpt.layout import Format
from hwckpt.reader import CheckpointError, network_of, read, read_checkpoint
from hwckpt.writer import from_network, inexpressible, write_checkpoint
from stream.front_end.log_mel import CARD_FLOOR
from stream.model.network import Network, NgramFile
from stream.model.quantisation import Quantisation
from tests.tiny import tiny_network

FORMATS: list[Format] = ["1.4", "1.14"]
SOFT = {
    "activation": "soft",
    "alpha": 0.0,
    "initial_padding": True,
    "final_padding": 3840,
    "symbol_counter": "running",
}


def model(format: Format, **specification: Any) -> Network:
    own = {} if format == "1.4" else SOFT
    return tiny_network(**{**own, "floor": CARD_FLOOR, **specification})


@pytest.mark.parametrize("format", FORMATS)
def test_a_model_written_and_read_is_the_same_model(format: Format, tmp_path: Path) -> None:
    network = model(format, pre_layers=2, window=320)
    path = tmp_path / "f.hw.pt"
    write_checkpoint(from_network(network, format), path)
    again = read(path)
    assert again.specification == network.specification
    assert again.tokenizer == network.tokenizer
    assert all(
        again.arrays[name].tobytes() == array.tobytes() for name, array in network.arrays.items()
    )


@pytest.mark.parametrize("specification", [{"number_format": "bfp16"}, {"activation": "soft"}])
def test_generation_1_4_keeps_number_format_and_activation(specification: dict[str, Any]) -> None:
    network = model("1.4", **specification)
    assert network_of(from_network(network, "1.4")).specification == network.specification


@pytest.mark.parametrize("version", ["1.4.0", "1.14.0"])
def test_a_golden_file_rewritten_in_its_generation_is_equal(
    golden: Path, tmp_path: Path, version: str
) -> None:
    checkpoint = read_checkpoint(golden / f"hwckpt_v{version}.pt")
    write_checkpoint(checkpoint, tmp_path / "f.pt")
    assert read_checkpoint(tmp_path / "f.pt").differences(checkpoint) == []


@pytest.mark.parametrize("version", ["1.4.0", "1.14.0"])
def test_a_golden_file_made_anew_from_its_network_differs_in_the_configuration_only(
    golden: Path, version: str
) -> None:
    checkpoint = read_checkpoint(golden / f"hwckpt_v{version}.pt")
    assert checkpoint.rnnt_config is not None
    again = from_network(
        network_of(checkpoint),
        "1.4" if version == "1.4.0" else "1.14",
        epoch=checkpoint.epoch,
        step=checkpoint.step,
        best_wer=checkpoint.best_wer,
        tokenizer=checkpoint.rnnt_config["tokenizer"]["sentpiece_model"],
    )
    # The made configuration has our default dither, learning-rate factor and lengths.
    assert again.differences(checkpoint) == ["rnnt_config"]
    for section, keys in checkpoint.rnnt_config.items():
        assert keys.keys() == again.rnnt_config[section].keys()  # type: ignore[index]


@pytest.mark.parametrize("version", ["1.4.0", "1.14.0"])
def test_torch_finds_the_same_in_a_rewritten_golden_file(
    golden: Path, tmp_path: Path, version: str
) -> None:
    torch = pytest.importorskip("torch")
    path = golden / f"hwckpt_v{version}.pt"
    write_checkpoint(read_checkpoint(path), tmp_path / "f.pt")
    wanted = torch.load(path, weights_only=False)
    got = torch.load(tmp_path / "f.pt", weights_only=version == "1.4.0")
    assert list(got) == list(wanted)
    state, wanted_state = got.pop("state_dict"), wanted.pop("state_dict")
    assert type(state) is type(wanted_state)
    assert list(state) == list(wanted_state)
    assert list(state._metadata.items()) == list(wanted_state._metadata.items())
    assert len({t.data_ptr() for t in state.values()}) == 35
    for key, tensor in wanted_state.items():
        assert torch.equal(state[key], tensor)
        assert state[key].stride() == tensor.stride()
    for key in ("melmeans", "melvars"):
        assert torch.equal(got.pop(key), wanted.pop(key))
    assert got == wanted


@pytest.mark.parametrize(("format", "protocol"), [("1.4", 2), ("1.14", 5)])
def test_the_pickle_is_of_its_generation_s_protocol(
    format: Format, protocol: int, tmp_path: Path
) -> None:
    write_checkpoint(from_network(model(format), format), tmp_path / "f.pt")
    with zipfile.ZipFile(tmp_path / "f.pt") as file:
        data = file.read("archive/data.pkl")
    assert data[:2] == bytes([0x80, protocol])
    if protocol == 5:  # one frame, to the end
        assert data[2:11] == b"\x95" + struct.pack("<Q", len(data) - 11)


@pytest.mark.parametrize(
    ("format", "names"),
    [
        ("1.4", ["data.pkl", "data/0", "version"]),
        ("1.14", ["data.pkl", "byteorder", "data/0", "version", ".data/serialization_id"]),
    ],
)
def test_records_are_stored_and_aligned(format: Format, names: list[str], tmp_path: Path) -> None:
    path = tmp_path / "f.pt"
    write_checkpoint(from_network(model(format), format), path)
    raw = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        entries = file.infolist()
    found = [entry.filename.removeprefix("archive/") for entry in entries]
    assert [name for name in found if not name.startswith("data/") or name == "data/0"] == names
    for entry in entries:
        name, extra = struct.unpack_from("<HH", raw, entry.header_offset + 26)
        assert (entry.header_offset + 30 + name + extra) % 64 == 0
        assert entry.compress_type == zipfile.ZIP_STORED


def test_equal_checkpoints_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_checkpoint(from_network(model("1.14"), "1.14"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_repeated_tensors_share_a_record_and_equal_ones_do_not(tmp_path: Path) -> None:
    network = model("1.4")
    write_checkpoint(from_network(network, "1.4"), tmp_path / "f.pt")
    with zipfile.ZipFile(tmp_path / "f.pt") as file:
        storages = [name for name in file.namelist() if name.startswith("archive/data/")]
    assert len(storages) == len(network.arrays)


@pytest.mark.parametrize(
    ("format", "specification", "named"),
    [
        ("1.4", {"initial_padding": True}, "initial_padding is true"),
        ("1.14", {"activation": "hard"}, "activation is hard"),
        ("1.14", {"alpha": 0.01}, "alpha is 0.01"),
        ("1.14", {"initial_padding": False}, "initial_padding is false"),
        ("1.14", {"number_format": "bfp16"}, "number_format is bfp16"),
    ],
)
def test_what_a_generation_cannot_say_is_refused_by_name(
    format: Format, specification: dict[str, Any], named: str
) -> None:
    network = model(format, **specification)
    assert len(inexpressible(network.specification, format)) == 1
    with pytest.raises(CheckpointError, match=f"not a model of generation {format}: {named}"):
        from_network(network, format)


def test_an_ngram_belongs_to_1_14(tmp_path: Path) -> None:
    ngram = NgramFile(bytes(range(256)) * 3, 0.05)
    with pytest.raises(CheckpointError, match="n-gram"):
        from_network(dataclasses.replace(model("1.4"), ngram=ngram), "1.4")
    network = dataclasses.replace(model("1.14"), ngram=ngram)
    write_checkpoint(from_network(network, "1.14"), tmp_path / "f.pt")
    assert read(tmp_path / "f.pt").ngram == ngram


def test_of_an_ngram_the_weight_alone_is_recorded_and_the_rest_is_noted(tmp_path: Path) -> None:
    ngram = NgramFile(b"lm", 0.05, word_bonus=0.5)
    made = from_network(dataclasses.replace(model("1.14"), ngram=ngram), "1.14")
    write_checkpoint(made, tmp_path / "f.pt")
    assert read(tmp_path / "f.pt").ngram == NgramFile(b"lm", 0.05)
    assert (
        "has word_bonus 0.5, unknown_penalty 0 and internal_weight 0, which the file cannot"
        in made.notes[-1]
    )


def test_sizes_that_the_card_does_not_load_are_noted() -> None:
    assert "base and large only" in from_network(model("1.14"), "1.14").notes[0]
    assert from_network(model("1.4"), "1.4").notes == ()


def test_a_padding_that_the_file_cannot_say_is_noted() -> None:
    notes = from_network(model("1.14", final_padding=0), "1.14").notes
    assert "final_padding 0 samples" in notes[1]


def test_a_counter_of_tokens_that_the_file_cannot_say_is_noted() -> None:
    by_frame = model("1.14", symbol_counter=UNSET)
    assert "after so many tokens only" in from_network(by_frame, "1.14").notes[-1]
    assert not any("tokens" in note for note in from_network(model("1.14"), "1.14").notes)
    noted = from_network(model("1.4", symbol_counter="running"), "1.4").notes
    assert "at every encoder frame" in noted[-1]


def test_a_cap_of_tokens_that_the_file_cannot_say_is_noted() -> None:
    noted = from_network(model("1.4", symbols_per_step=2), "1.4").notes
    assert "symbols_per_step 2, which the file cannot record" in noted[-1]


def test_numbers_of_every_size_come_back(tmp_path: Path) -> None:
    checkpoint = from_network(model("1.4"), "1.4")
    for step in (0, 255, 256, -1, 2**31 - 1, 2**31, -(2**40), 2**70):
        write_checkpoint(dataclasses.replace(checkpoint, step=step), tmp_path / "f.pt")
        assert read_checkpoint(tmp_path / "f.pt").step == step


def test_arrays_of_other_layouts_come_back(tmp_path: Path) -> None:
    wide = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "turned": wide.T,
        "whole": wide,
        "part": wide[1:, ::2],
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "half": wide.astype(np.float16),
    }
    checkpoint = dataclasses.replace(from_network(model("1.4"), "1.4"), state_dict=arrays)
    write_checkpoint(checkpoint, tmp_path / "f.pt")
    got = read_checkpoint(tmp_path / "f.pt").state_dict
    for key, array in arrays.items():
        np.testing.assert_array_equal(got[key], array)
        assert got[key].shape == array.shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state_dict": {"x": np.zeros(3, np.complex64)}}, "an array of complex64"),
        ({"rnnt_config": {"x": {1, 2}}}, "a set has no place"),
    ],
)
def test_what_has_no_place_leaves_no_file_and_keeps_the_old_one(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "f.pt"
    path.write_bytes(b"old")
    checkpoint = dataclasses.replace(from_network(model("1.4"), "1.4"), **change)
    with pytest.raises(CheckpointError, match=message):
        write_checkpoint(checkpoint, path)
    assert [p.name for p in tmp_path.iterdir()] == ["f.pt"]
    assert path.read_bytes() == b"old"


def test_the_file_cannot_say_that_a_model_is_for_integers() -> None:
    network = model("1.4", quantisation=Quantisation(joint=4))
    checkpoint = from_network(network, "1.4")
    assert any("its quantisation" in note for note in checkpoint.notes)
    assert network_of(checkpoint).specification == model("1.4").specification
