from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from hwckpt.reader import (
    CheckpointError,
    HardwareCheckpoint,
    network_of,
    read,
    read_checkpoint,
    recognises,
)
from hwckpt.torch_file.container import MAGIC
from hwckpt.writer import from_network, write_checkpoint
from stream.front_end.log_mel import CARD_FLOOR
from stream.model.network import open_model
from stream.model.specification import ModelError
from tests.tiny import tiny_network

CARD: dict[str, Any] = {"floor": CARD_FLOOR}
SOFT: dict[str, Any] = {
    "activation": "soft",
    "alpha": 0.0,
    "initial_padding": True,
    "final_padding": 3840,
    **CARD,
}


def hard_checkpoint(**changes: Any) -> HardwareCheckpoint:
    return dataclasses.replace(from_network(tiny_network(**CARD), "1.4", step=5), **changes)


def soft_checkpoint(**changes: Any) -> HardwareCheckpoint:
    return dataclasses.replace(from_network(tiny_network(**SOFT), "1.14", step=5), **changes)


def written(checkpoint: HardwareCheckpoint, folder: Path) -> Path:
    path = folder / "f.hw.pt"
    write_checkpoint(checkpoint, path)
    return path


def with_config(checkpoint: HardwareCheckpoint, section: str, **values: Any) -> HardwareCheckpoint:
    config = dict(checkpoint.rnnt_config or {})
    config[section] = {**config[section], **values}
    return dataclasses.replace(checkpoint, rnnt_config=config)


def with_arrays(checkpoint: HardwareCheckpoint, **arrays: Any) -> HardwareCheckpoint:
    changed = {key.replace("__", "."): value for key, value in arrays.items()}
    return dataclasses.replace(checkpoint, state_dict={**checkpoint.state_dict, **changed})


@pytest.mark.parametrize("name", ["hwckpt_v1.4.0.pt", "hwckpt_v1.14.0.pt"])
def test_a_golden_file_is_read_as_the_model_it_was(golden: Path, name: str) -> None:
    path = golden / name
    assert recognises(path)
    network = open_model(path)
    reference = np.load(
        golden / ("transducer_v1.4.0_hard.npz" if "1.4.0" in name else "transducer_v1.14.0.npz")
    )
    assert network.specification.generation == ("1.4" if "1.4.0" in name else "1.14")
    assert network.specification.floor == CARD_FLOOR
    assert reference["logits"].shape[-1] == network.specification.vocabulary + 1
    assert network.notes["version"] in name


def test_the_front_end_follows_from_the_version(golden: Path) -> None:
    old, new = (read(golden / f"hwckpt_v{v}.pt").specification for v in ("1.4.0", "1.14.0"))
    assert (old.window, old.initial_padding, old.final_padding, old.alpha) == (320, False, 0, 0.001)
    assert (new.window, new.initial_padding, new.final_padding, new.alpha) == (400, True, 3840, 0.0)


@pytest.mark.parametrize(
    ("version", "activation", "initial_padding", "final_padding"),
    [
        ("1.2.0", "hard", False, 0),
        ("1.5.0", "hard", False, 0),
        ("1.6.0", "soft", False, 0),
        ("1.7.1", "soft", False, 0),
        ("1.8.0", "soft", True, 0),
        ("1.11.0", "soft", True, 0),
        ("1.12.0", "soft", True, 3840),
        ("1.13.0", "soft", True, 3840),
        ("1.15.2", "soft", True, 3840),
    ],
)
def test_each_version_has_its_activations_and_paddings(
    version: str, activation: str, initial_padding: bool, final_padding: int
) -> None:
    got = network_of(hard_checkpoint(version=version)).specification
    assert (got.activation, got.initial_padding, got.final_padding) == (
        activation,
        initial_padding,
        final_padding,
    )


@pytest.mark.parametrize(
    ("version", "counter"),
    [("1.4.0", UNSET), ("1.11.0", UNSET), ("1.12.0", "running"), ("1.14.0", "running")],
)
def test_the_version_says_how_the_card_counts_tokens(
    version: str, counter: str | UnsetType
) -> None:
    got = network_of(hard_checkpoint(version=version)).specification
    assert got.symbol_counter == counter


@pytest.mark.parametrize(
    ("custom", "hard", "activation"),
    [(True, True, "hard"), (True, False, "soft"), (False, True, "soft")],
)
def test_hard_activations_need_the_custom_lstm(custom: bool, hard: bool, activation: str) -> None:
    checkpoint = with_config(
        hard_checkpoint(), "rnnt", custom_lstm=custom, hard_activation_functions=hard
    )
    assert network_of(checkpoint).specification.activation == activation


def test_a_file_of_version_1_0_has_neither_version_nor_configuration(tmp_path: Path) -> None:
    plain = {k: a for k, a in hard_checkpoint().state_dict.items() if ".layers." not in k}
    path = written(hard_checkpoint(version=None, rnnt_config=None, state_dict=plain), tmp_path)
    got = read(path).specification
    assert (got.window, got.activation, got.alpha) == (320, "hard", 0.001)
    assert (got.hidden, got.joint, got.prediction_hidden, got.vocabulary) == (16, 16, 8, 20)


def test_quantize_is_block_floating_point() -> None:
    checkpoint = with_config(hard_checkpoint(), "rnnt", quantize=True)
    assert network_of(checkpoint).specification.number_format == "bfp16"


def test_half_precision_tensors_become_float32() -> None:
    weight = np.ones((21, 16), np.float16)
    network = network_of(with_arrays(soft_checkpoint(), joint_net__2__weight=weight))
    assert network.arrays["joint.output.weight"].dtype == np.float32


def test_bfloat16_tensors_become_float32(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = written(hard_checkpoint(), tmp_path)
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {k: t.bfloat16() for k, t in content["state_dict"].items()}
    torch.save(content, path)
    got = read(path).arrays["joint.output.weight"]
    wanted = content["state_dict"]["joint_net.2.weight"].float().numpy()
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "2.0.0"}, "version is '2.0.0', wants 1.x.y"),
        ({"rnnt_config": None}, "1.4.0 but has no rnnt_config"),
        ({"melalpha": "0.001"}, "melalpha is a str"),
        ({"epoch": 1.5}, "epoch is a float, wants int"),
        ({"sentpiece_model": "text"}, "sentpiece_model is a str, wants bytes"),
        ({"melmeans": np.zeros(40, np.float32)}, r"melmeans is float32 \(40,\), wants .*80"),
        ({"melvars": np.zeros(80, np.float64)}, "melvars is float64"),
        ({"state_dict": {}}, "state_dict is empty"),
    ],
)
def test_entries_of_a_wrong_kind_are_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "f.pt"
    with pytest.raises(CheckpointError, match=message):
        write_checkpoint(hard_checkpoint(**change), path)  # reads back what it wrote
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hard_checkpoint(melalpha=1.0), "alpha is 1.0"),
        (
            lambda: hard_checkpoint(sentpiece_model=b"no model"),
            "sentpiece_model: not a SentencePiece",
        ),
        (lambda: hard_checkpoint(sentpiece_model=b""), "sentpiece_model"),
        (lambda: hard_checkpoint(melvars=np.zeros(80, np.float32)), "not positive"),
        (lambda: hard_checkpoint(melmeans=np.full(80, np.nan, np.float32)), r"not finite at \[0\]"),
        (lambda: with_config(hard_checkpoint(), "rnnt", joint_n_hid=17), "joint_n_hid is 17.* 16"),
        (
            lambda: with_config(hard_checkpoint(), "rnnt", enc_batch_norm=True),
            "enc_batch_norm is True",
        ),
        (
            lambda: with_config(
                hard_checkpoint(), "input_val", frame_splicing={"frame_stacking": 4}
            ),
            "frame_stacking is 4",
        ),
        (
            lambda: with_config(
                hard_checkpoint(), "input_val", filterbank_features={"window_size": 0.02001}
            ),
            "window_size is 0.02001 s",
        ),
        (
            lambda: with_config(hard_checkpoint(), "input_val", filterbank_features={}),
            "no 'window_size'",
        ),
        (
            lambda: with_arrays(hard_checkpoint(), joint_pred__bias=np.zeros(3, np.float32)),
            r"joint_pred.bias is \(3,\).*\(16,\)",
        ),
        (
            lambda: with_arrays(hard_checkpoint(), joint_pred__bias=np.full(16, np.pi)),
            "joint_pred.bias is float64 with numbers that float32 cannot hold",
        ),
        (
            lambda: with_arrays(hard_checkpoint(), extra=np.zeros(3, np.float32)),
            "extra: no such tensor",
        ),
    ],
)
def test_contradictions_are_named(make: Callable[[], HardwareCheckpoint], message: str) -> None:
    checkpoint = make()
    with pytest.raises(ModelError, match=message):
        network_of(checkpoint)


def test_repeated_tensors_are_dropped_if_equal_and_an_error_if_not() -> None:
    checkpoint = hard_checkpoint()
    key = "encoder.post_rnn.lstm.layers.0.bias_ih"
    assert key in checkpoint.state_dict
    network_of(checkpoint)
    other = {**checkpoint.state_dict, key: checkpoint.state_dict[key] + 1}
    with pytest.raises(
        CheckpointError, match=r"layers\.0\.bias_ih repeats .*bias_ih_l0 but differs"
    ):
        network_of(dataclasses.replace(checkpoint, state_dict=other))


def test_a_missing_tensor_is_named() -> None:
    state_dict = dict(soft_checkpoint().state_dict)
    del state_dict["joint_enc.bias"]
    with pytest.raises(CheckpointError, match="state_dict has no joint_enc.bias"):
        network_of(soft_checkpoint(state_dict=state_dict))


@pytest.mark.parametrize("version", ["1.4.0", "1.14.0"])
def test_a_training_checkpoint_of_myrtles_is_told_apart(golden: Path, version: str) -> None:
    path = golden / f"train_ckpt_v{version}.pt"
    assert recognises(path)
    with pytest.raises(CheckpointError, match="no melmeans, melvars.*python -m hwckpt.convert"):
        read(path)


def test_a_bare_tensor_is_no_checkpoint(golden: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a Tensor"):
        read(golden / "melmeans_v1.4.0.pt")


def test_our_own_training_checkpoints_are_left_to_their_reader(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "ours.pt"
    torch.save({"rill_checkpoint": 1, "state_dict": {}}, path)
    assert not recognises(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert not recognises(path)


def test_folders_and_other_files_are_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("state_dict melmeans")
    (tmp_path / "empty").touch()
    assert not any(recognises(path) for path in (tmp_path, *tmp_path.iterdir()))


class Calls:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("container", ["zip", "legacy"])
@pytest.mark.parametrize("protocol", range(6))
def test_a_checkpoint_that_calls_os_system_is_recognised_refused_and_never_run(
    tmp_path: Path, protocol: int, container: str
) -> None:
    trace, path = tmp_path / "ran", tmp_path / "evil.pt"
    content = pickle.dumps({"state_dict": Calls(f"touch {trace}"), "melmeans": 0}, protocol)
    if container == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", content)
    else:
        parts: list[Any] = [MAGIC, 1001, {}]
        head = [pickle.dumps(part, protocol) for part in parts]
        path.write_bytes(b"".join(head) + content + pickle.dumps([], protocol))
    assert recognises(path)
    with pytest.raises(
        CheckpointError, match=rf"evil.pt: .*refused.*{os.system.__module__}.system"
    ):
        open_model(path)
    assert not trace.exists()


def test_a_truncated_checkpoint_is_recognised_and_refused(tmp_path: Path) -> None:
    path = written(soft_checkpoint(), tmp_path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        starts = [entry.header_offset for entry in file.infolist()]
    for length in [*(start + 5 for start in starts[1:]), *starts[1:], len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert recognises(path)
        with pytest.raises(CheckpointError, match="not a readable torch file"):
            read(path)


def test_any_flipped_bit_in_an_entry_is_noticed(tmp_path: Path) -> None:
    path = written(soft_checkpoint(), tmp_path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path) as file:
        entries = file.infolist()
    for entry in entries[:-2]:  # the last two, version and serialization_id, mean nothing to us
        start = entry.header_offset + 30 + len(entry.filename) + len(entry.extra)
        size = entry.file_size
        flipped = bytearray(whole)
        flipped[start + int(rng.integers(size))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            read(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["1.4", "1.14"]), st.data())
def test_a_pickle_changed_anywhere_raises_nothing_but_model_error(
    tmp_path: Path, generation: str, data: st.DataObject
) -> None:
    path = written(hard_checkpoint() if generation == "1.4" else soft_checkpoint(), tmp_path)
    with zipfile.ZipFile(path) as file:
        records = {name: file.read(name) for name in file.namelist()}
    content = bytearray(records["archive/data.pkl"])
    # Within the description of tensors, or the configuration; the tokenizer lies between them.
    place = data.draw(st.integers(0, 2000) | st.integers(len(content) - 700, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    with zipfile.ZipFile(path, "w") as file:
        for name, record in (records | {"archive/data.pkl": bytes(content)}).items():
            file.writestr(name, record)
    assert recognises(path)
    with contextlib.suppress(ModelError):
        read(path)


def test_unknown_keys_are_kept_by_name(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = written(hard_checkpoint(), tmp_path)
    torch.save({**torch.load(path, weights_only=True), "colour": "blue"}, path)
    assert read_checkpoint(path).unknown == ("colour",)
