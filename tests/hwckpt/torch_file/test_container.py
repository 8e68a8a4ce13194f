from __future__ import annotations

import contextlib
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwckpt.torch_file.allowed import Tensor
from hwckpt.torch_file.container import MAGIC, CheckpointError, TorchFile, is_torch_file

NUMBERS = np.arange(6, dtype=np.float32)
# {"a": a (2, 3) view of storage 0, which has 6 float32}, as torch.save writes it, protocol 2.
HEAD = b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n"
HEAD += (
    b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06"
)
TAIL = b"K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtRs."
PICKLE = HEAD + b"tQK\x00" + TAIL
LEGACY_PICKLE = HEAD + b"NtQK\x00" + TAIL


def write_zip(path: Path, records: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as container:
        for name, data in records.items():
            container.writestr(name, data)
    return path


def records(data: bytes = PICKLE, root: str = "archive", **others: bytes) -> dict[str, bytes]:
    return {
        f"{root}/data.pkl": data,
        f"{root}/data/0": NUMBERS.tobytes(),
        f"{root}/version": b"3\n",
        **{f"{root}/{name}": value for name, value in others.items()},
    }


def legacy(data: bytes = LEGACY_PICKLE, protocol: int = 2) -> bytes:
    parts = [MAGIC, 1001, {"little_endian": True, "protocol_version": 1001}]
    head = b"".join(pickle.dumps(part, protocol) for part in parts)
    return head + data + pickle.dumps(["0"], protocol) + struct.pack("<q", 6) + NUMBERS.tobytes()


def array(path: Path) -> np.ndarray[Any, Any]:
    with TorchFile(path) as file:
        tensor = file.content.get("a") if isinstance(file.content, dict) else None
        if not isinstance(tensor, Tensor):
            raise CheckpointError("has no tensor a", path)
        return file.array(tensor)


@pytest.mark.parametrize("root", ["archive", "RNN-T_best_checkpoint", "a/b"])
def test_a_zip_is_read_whatever_its_root_is_called(tmp_path: Path, root: str) -> None:
    path = write_zip(tmp_path / "f.pt", records(root=root))
    assert is_torch_file(path)
    np.testing.assert_array_equal(array(path), NUMBERS.reshape(2, 3))


def test_arrays_are_writable_and_share_memory_where_their_storage_is_shared(tmp_path: Path) -> None:
    with TorchFile(write_zip(tmp_path / "f.pt", records())) as file:
        first, second = file.array(file.content["a"]), file.array(file.content["a"])
    first[0, 0] = 9.0
    assert second[0, 0] == 9.0


def test_big_endian_storages_are_turned_round(tmp_path: Path) -> None:
    content = records(byteorder=b"big") | {"archive/data/0": NUMBERS.astype(">f4").tobytes()}
    np.testing.assert_array_equal(
        array(write_zip(tmp_path / "f.pt", content)), NUMBERS.reshape(2, 3)
    )


@pytest.mark.parametrize("protocol", range(6))
def test_a_legacy_file_is_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "f.pt"
    path.write_bytes(legacy(protocol=protocol))
    assert is_torch_file(path)
    np.testing.assert_array_equal(array(path), NUMBERS.reshape(2, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"archive/data/0": NUMBERS.tobytes()[:-1]}, "23 bytes.*6 of float32"),
        ({"archive/data/0": NUMBERS.tobytes() * 2}, "48 bytes.*6 of float32"),
        ({"archive/byteorder": b"middle"}, "byteorder is b'middle'"),
        ({"b/data.pkl": PICKLE}, "2 records"),
        ({"archive/data.pkl": PICKLE.replace(b"tQK\x00", b"tQK\x01")}, "needs element 6"),
        ({"archive/data.pkl": PICKLE.replace(b"K\x03K\x01\x86", b"K\xffK\xff\x86")}, "needs elem"),
        (
            {"archive/data.pkl": PICKLE.replace(b"K\x02K\x03\x86K\x03", b"K\xffK\xff\x86K\x00")},
            "needs element",
        ),
        ({"archive/data.pkl": PICKLE.replace(b"FloatS", b"QInt8S")}, "refused.*torch.QInt8Storage"),
    ],
)
def test_records_that_contradict_each_other_are_refused(
    tmp_path: Path, change: dict[str, bytes], message: str
) -> None:
    path = write_zip(tmp_path / "f.pt", records() | change)
    with pytest.raises(CheckpointError, match=message) as caught:
        array(path)
    assert caught.value.path == path


def test_a_tensor_larger_than_its_storage_is_refused_though_its_strides_are_zero(
    tmp_path: Path,
) -> None:
    bomb = PICKLE.replace(b"K\x02K\x03\x86K\x03K\x01\x86", b"K\xffK\xff\x86K\x00K\x00\x86")
    with pytest.raises(CheckpointError, match=r"\(255, 255\)"):
        array(write_zip(tmp_path / "f.pt", records(bomb)))


def test_a_missing_storage_is_named(tmp_path: Path) -> None:
    content = records()
    del content["archive/data/0"]
    with pytest.raises(CheckpointError, match="storage 0 is missing"):
        array(write_zip(tmp_path / "f.pt", content))


def test_compressed_records_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "f.pt", records(), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match=r"archive/data.pkl is compressed"):
        array(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"\x00" * 100])
def test_other_files_are_no_torch_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    assert not is_torch_file(path)
    with pytest.raises(CheckpointError, match="not a readable torch file"):
        TorchFile(path)


def test_neither_a_folder_nor_another_zip_is_a_torch_file(tmp_path: Path) -> None:
    assert not is_torch_file(tmp_path)
    assert not is_torch_file(write_zip(tmp_path / "f.zip", {"model.json": b"{}"}))


KINDS = ["zip", "legacy"]


def bytes_of(kind: str, folder: Path) -> bytes:
    return write_zip(folder / "g.pt", records()).read_bytes() if kind == "zip" else legacy()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_refused(kind: str, tmp_path: Path) -> None:
    whole = bytes_of(kind, tmp_path)
    path = tmp_path / "f.pt"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="not a readable torch file"):
            array(path)


@pytest.mark.parametrize("kind", KINDS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None
)
@given(st.data())
def test_flipped_bits_raise_nothing_but_checkpoint_error(
    kind: str, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(bytes_of(kind, tmp_path))
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, len(content) * 8 - 1))
        content[bit // 8] ^= 1 << bit % 8
    path = tmp_path / "f.pt"
    path.write_bytes(content)
    is_torch_file(path)
    with contextlib.suppress(CheckpointError):
        array(path)


def torch_values(torch: Any) -> dict[str, Any]:
    whole = torch.arange(24.0).reshape(4, 6)
    return {
        "whole": whole,
        "part": whole[1:3, 2:5],
        "turned": whole.t(),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "half": whole.half(),
        "double": whole.double() / 3,
        "long": torch.tensor([-(2**40), 7]),
        "byte": torch.tensor([1, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "bfloat": torch.tensor([1.0, -2.5, 3.0e38], dtype=torch.bfloat16),
        "parameter": torch.nn.Parameter(whole),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_what_torch_saves_comes_back(tmp_path: Path, zipped: bool, protocol: int) -> None:
    torch = pytest.importorskip("torch")
    values = torch_values(torch)
    path = tmp_path / "f.pt"
    torch.save(
        {"a": values, "size": torch.Size([2, 3])},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    with TorchFile(path) as file:
        assert file.content["size"] == (2, 3)
        for name, value in values.items():
            got = file.array(file.content["a"][name])
            wanted = value.detach()
            wanted = wanted.float() if name == "bfloat" else wanted
            assert got.dtype == wanted.numpy().dtype
            assert got.shape == tuple(wanted.shape)
            np.testing.assert_array_equal(got, wanted.numpy())


def test_a_tensor_of_another_kind_of_storage_is_refused_by_name(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(torch.zeros(2, dtype=torch.complex64), tmp_path / "f.pt")
    with pytest.raises(CheckpointError, match=r"torch\.ComplexFloatStorage"):
        TorchFile(tmp_path / "f.pt")
