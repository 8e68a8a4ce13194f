from __future__ import annotations

import contextlib
import io
import os
import pickle
import pickletools
import struct
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hwckpt.torch_file.unpickler import unpickle

PROTOCOLS = range(6)
PLAIN: dict[str, Any] = {
    "none": None,
    "truth": [True, False],
    "numbers": [0, -1, 255, 65_535, 2**31, -(2**40), 10**30, 0.25, -1e-300],
    "texts": ["", "a", "straße ▁", "x" * 300],
    "nested": {"tuple": (1, (2, (3,)), ()), 7: [[], {}]},
}


def read(data: bytes) -> Any:
    return unpickle(io.BytesIO(data)).value


class Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_come_back_from_every_protocol(protocol: int) -> None:
    data = pickle.dumps(PLAIN, protocol)
    assert read(data) == PLAIN
    assert unpickle(io.BytesIO(data)).protocol == (protocol if protocol > 1 else 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bytes_come_back_from_every_protocol(protocol: int) -> None:
    assert read(pickle.dumps([bytes(range(256))], protocol)) == [bytes(range(256))]


def test_an_ordered_dict_keeps_its_order_and_its_metadata() -> None:
    value: OrderedDict[str, int] = OrderedDict(b=1, a=2)
    vars(value)["_metadata"] = OrderedDict(x={"version": 1})
    got = read(pickle.dumps(value, 2))
    assert list(got) == ["b", "a"]
    assert got._metadata == {"x": {"version": 1}}


def test_several_pickles_in_a_row_are_read_one_by_one() -> None:
    stream = io.BytesIO(pickle.dumps(1, 2) + pickle.dumps("two", 2))
    assert [unpickle(stream).value, unpickle(stream).value] == [1, "two"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_calls_os_system_is_refused_and_runs_nothing(
    protocol: int, tmp_path: Any
) -> None:
    trace = tmp_path / "ran"
    data = pickle.dumps({"state_dict": Runs(os.system, f"touch {trace}")}, protocol)
    with pytest.raises(ValueError, match=rf"refused.*{os.system.__module__}\.system.*nothing"):
        read(data)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"cbuiltins\neval\n(V1+1\ntR.", "builtins.eval"),
        (b"(ios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nVls\no.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.", "OrderedDict.__init__"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"ccollections\nOrderedDict\n}X\x01\x00\x00\x00xK\x01sb.", "sets attributes"),
        (b"ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x01sb.", "sets attributes"),
        (b"ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage"),
        (b"ccollections\nOrderedDict\n(]tR.", "with arguments"),
        (b"c_codecs\nencode\n(V\nVzip\ntR.", "zip"),
        (b"V('storage',)\nQ.", "persistent id"),
    ],
)
def test_whatever_else_could_run_is_refused_by_name(data: bytes, named: str) -> None:
    with pytest.raises(ValueError, match=named.replace(".", r"\.")):
        read(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "STOP|exhausted"),
        (b".", "empty stack"),
        (b"]a.", "empty stack"),
        (b"t.", "mark"),
        (b"h\x05.", "memo has no entry 5"),
        (b"K\x01K\x02.", "left on the stack"),
        (b"K\x01K\x02a.", "appends to a int"),
        (b"K\x01(K\x02u.", "sets 1 items"),
        (b"}(K\x02u.", "sets 1 items"),
        (b"}](K\x01es.", "empty stack|key"),
        (b"}]K\x01s.", "key is list"),
        (b"}\x8a\x09" + (2**64).to_bytes(9, "little") + b"K\x01s.", "key is int"),
        (b"X\xff\xff\xff\xffabc.", "expected|remain"),
        (b"\x8d" + struct.pack("<Q", 2**62) + b"abc.", "expected|remain"),
        (b"\x80\x06N.", "protocol 6"),
    ],
)
def test_malformed_pickles_are_value_errors(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(data)


def test_a_string_with_a_bad_escape_is_an_error_and_no_warning() -> None:
    with pytest.raises(ValueError, match="broken string"):
        read(b"S'\\ '\n.")


def test_a_small_pickle_cannot_make_a_large_tree() -> None:
    with pytest.raises(ValueError, match="nodes"):
        read(_laughs(40))


def _laughs(levels: int) -> bytes:
    """A list of two of the list before, and so on: linear in the file, exponential when walked."""
    data = b"\x80\x02(]q\x00"
    for n in range(levels):
        data += b"](" + b"h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1])
    return data + b"l."


def test_a_list_that_holds_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="deep"):
        read(b"\x80\x02]q\x00h\x00a.")


def test_deep_nesting_is_refused_without_recursion() -> None:
    with pytest.raises(ValueError, match="deep"):
        read(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")


def test_too_many_opcodes_are_refused() -> None:
    with pytest.raises(ValueError, match="opcodes"):
        read(b"N0" * 600_000 + b"N.")


GOOD = pickle.dumps(PLAIN, 2)


@settings(deadline=None)
@given(st.binary(max_size=60))
@example(b"\x80\x02")
def test_no_bytes_raise_anything_but_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        read(data)


OPCODES = st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes])


@settings(deadline=None)
@given(st.lists(st.one_of(OPCODES, st.binary(max_size=3)), max_size=30))
def test_no_opcodes_raise_anything_but_value_error(parts: list[bytes]) -> None:
    with contextlib.suppress(ValueError):
        read(b"".join(parts) + b".")


@settings(deadline=None)
@given(st.integers(0, len(GOOD) * 8 - 1), st.integers(0, len(GOOD)))
def test_flipped_and_cut_pickles_raise_nothing_but_value_error(bit: int, cut: int) -> None:
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    for data in (bytes(flipped), GOOD[:cut]):
        with contextlib.suppress(ValueError):
            read(data)
