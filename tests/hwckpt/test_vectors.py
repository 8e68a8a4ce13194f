"""Vectors are a function of seed and name, hold edges, and every value in them counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwckpt import vectors
from hwckpt.conformance.__main__ import run
from hwckpt.conformance.comparison import VectorError
from hwckpt.vectors import write_vectors
from stream.bundled import model_path
from stream.encoders.lstm_layer import lstm_stack
from tests.places import VECTORS

pytest.importorskip("torch")

TRAINING = (
    "norm_v1.14.0.npz",
    "schedules.npz",
    "train_grad_v1.14.0.npz",
    "train_grad_v1.4.0_hard.npz",
)
# Steps around which nothing happens, so that another one changes nothing.
IDLE = {"norm_ratio_steps"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    write_vectors(folder, (model_path() / "tokenizer.model").read_bytes(), seed=0)
    return folder


def arrays(name: str) -> dict[str, Any]:
    with np.load(VECTORS / name) as file:
        return {key: file[key] for key in file.files}


def passes(folder: Path) -> bool:
    try:
        return all(line.row.verdict != "FAIL" for line in run(folder))
    except VectorError:
        return False


def alike(a: Any, b: Any) -> bool:
    """Whether contents are equal, but for floats: other CPUs round otherwise."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, abs=1e-5)
    return bool(a == b)


@pytest.mark.slow
def test_the_shipped_set_is_that_of_seed_0(written: Path) -> None:
    shipped = {path.name for path in VECTORS.iterdir()} - {"README.md"}
    assert {path.name for path in written.iterdir()} == shipped
    for path in sorted(written.glob("*.json")):
        assert alike(
            json.loads(path.read_text("utf-8")), json.loads((VECTORS / path.name).read_text())
        )
    for path in sorted(written.glob("*.npz")):
        with np.load(path) as new, np.load(VECTORS / path.name) as old:
            assert set(new.files) == set(old.files)
            for key in new.files:
                if new[key].dtype.kind == "f":  # other CPUs round otherwise
                    np.testing.assert_allclose(new[key], old[key], rtol=1e-4, atol=1e-4)
                else:
                    np.testing.assert_array_equal(new[key], old[key])


@pytest.mark.slow
def test_another_seed_gives_other_vectors_that_pass_too(tmp_path: Path, written: Path) -> None:
    write_vectors(tmp_path, (model_path() / "tokenizer.model").read_bytes(), seed=7)
    for name, key in (("ewma_a0.05.npz", "out_a"), ("train_grad_v1.14.0.npz", "logits")):
        with np.load(tmp_path / name) as new, np.load(written / name) as old:
            assert not np.array_equal(new[key], old[key])
    for name in ("text_v1.4.0.json", "text_v1.14.0.json"):
        assert (tmp_path / name).read_bytes() != (written / name).read_bytes()
    failed = [line for line in run(tmp_path) if line.row.verdict == "FAIL"]
    assert not failed


@pytest.mark.slow
def test_without_torch_a_file_is_the_same_and_training_is_left_out(
    tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "installed", lambda package: False)
    files = write_vectors(tmp_path, (model_path() / "tokenizer.model").read_bytes(), seed=0)
    left_out = {path.name for path in written.iterdir()} - {path.name for path in files}
    assert left_out >= {"loss_single.npz", "schedules.npz", *TRAINING, "text_v1.4.0.json"}
    for path in tmp_path.glob("*.npz"):
        assert path.read_bytes() == (written / path.name).read_bytes(), path.name


def test_files_have_the_arrays_of_golden_files_of_the_same_name(golden: Path) -> None:
    names = {path.name for path in VECTORS.glob("*.npz")} & {path.name for path in golden.iterdir()}
    assert len(names) > 70
    for name in sorted(names):
        with np.load(golden / name) as file:
            wanted = {
                key: (file[key].dtype.kind, file[key].ndim)
                for key in file.files
                if not key.rsplit("_", 1)[-1].isdigit()  # as many utterances as there are
            }
        ours = {key: (value.dtype.kind, value.ndim) for key, value in arrays(name).items()}
        assert {key: ours.get(key) for key in wanted} == wanted, name
    # Parts of the decoders, of the sampling of manifests, and of latencies that Rill does not have.
    missing = {
        "text_v1.4.0.json": set(),
        "text_v1.14.0.json": {"trim", "state_reset_merge", "segmenting_info", "keyword_trie"}
        | {"client_word_timestamps", "manifest_ratios"},
    }
    for name, without in missing.items():
        wanted_parts, parts = (
            json.loads((folder / name).read_text("utf-8")) for folder in (golden, VECTORS)
        )
        assert wanted_parts.keys() - parts.keys() == without


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINING)
def test_every_array_of_a_training_file_counts(name: str, tmp_path: Path) -> None:
    content = arrays(name)
    for key, value in content.items():
        flat = value.reshape(-1).copy()
        middle = flat.size // 2
        if flat.dtype.kind == "U":
            flat[middle] = "another"
        else:
            flat[middle] += 1000 if flat.dtype.kind == "i" else 0.01
        np.savez(tmp_path / name, **{**content, key: flat.reshape(value.shape)})
        assert passes(tmp_path) == (key in IDLE), key


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value that a text file wants, inputs aside."""
    if isinstance(content, dict):
        for key in content.keys() - {"input", "pairs_hyp_ref", "gt", "pred", "subwords", "frames"}:
            yield from leaves(content[key], (*path, key))
    elif isinstance(content, list):
        for index, item in enumerate(content):
            yield from leaves(item, (*path, index))
    else:
        yield path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text_v1.4.0.json", "text_v1.14.0.json"])
def test_every_part_of_a_text_file_counts(name: str, tmp_path: Path) -> None:
    text = (VECTORS / name).read_text("utf-8")
    parts: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for path in leaves(json.loads(text)):
        parts[tuple(key for key in path if isinstance(key, str))] = path
    assert len(parts) > 4
    for path in parts.values():
        content = json.loads(text)
        place = content
        for key in path[:-1]:
            place = place[key]
        value = place[path[-1]]
        # Letters of a charset stay what they are; without the last one, outputs change.
        place[path[-1]] = value[:-1] + "!" if isinstance(value, str) else value + 1
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
        assert not passes(tmp_path), path


def test_hard_files_saturate() -> None:
    for name in ("lstm_hard_saturated.npz", "lstm_hard_forget_bias.npz"):
        z = arrays(name)
        assert np.abs(z["cn"]).max() > 1.0
    z = arrays("train_grad_v1.4.0_hard.npz")
    layers = [
        {
            key: z[f"w:encoder.pre_rnn.lstm.{key}_l{n}"]
            for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        for n in range(2)
    ]
    first = layers[0]
    a = z["x"] @ first["weight_ih"].T + first["bias_ih"] + first["bias_hh"]
    assert (np.abs(a) > 4.0).any()
    stack = lstm_stack(layers, "hard", "float32")
    x = np.ascontiguousarray(z["x"].transpose(1, 0, 2))
    _, after = stack.step(x, stack.initial_state(len(x)))
    assert np.abs(after[0][1]).max() > 1.0


def test_quantiser_files_hold_ties_and_saturation() -> None:
    z = arrays("bfp16_quant.npz")
    pattern = z["bf16_in"].view(np.uint32)
    assert ((pattern & 0xFFFF) == 0x8000).any()
    blocks = z["bfp_dim1_in"].reshape(5, -1, 8)
    largest = np.abs(z["bfp_dim1_in"]).reshape(5, -1, 8).max(axis=-1, keepdims=True)
    units = blocks / 2.0 ** (np.floor(np.log2(np.maximum(largest, 2.0**-120))) - 6)
    assert (units % 1.0 == 0.5).any()
    assert (np.abs(units) > 127.0).any()
    assert (largest == 0.0).any()


def test_greedy_files_hold_tokens_of_several_kinds() -> None:
    for path in VECTORS.glob("pcm_to_tokens_*.npz"):
        z = arrays(path.name)
        tokens = [z[f"tokens_{i}"] for i in range(int(z["num"]))]
        assert len(np.unique(np.concatenate(tokens))) > 3, path.name
        assert min(float(z[f"min_margin_{i}"]) for i in range(int(z["num"]))) > 1e-3
    for name in ("transducer_v1.4.0_hard.npz", "transducer_v1.14.0.npz"):
        z = arrays(name)
        assert len(z["greedy_tokens_b0_max30"]) > 3
        assert len(z["greedy_tokens_b0_max1"]) < len(z["greedy_tokens_b0_max30"])


def test_decoder_files_hold_cases_that_differ() -> None:
    cases = json.loads((VECTORS / "beam_v1.14.0.json").read_text("utf-8"))["cases"]
    of: dict[int, dict[str, list[int]]] = {}
    for case in cases:
        of.setdefault(case["utterance"], {})[case["case"]] = case["tokens"]
    assert len({case["case"] for case in cases}) == 10
    for name in {case["case"] for case in cases} - {"w4", "w4_maxsym1", "w4_finalthresh"}:
        assert any(
            found[name] != found["w4"] for found in of.values() if {name, "w4"} <= set(found)
        )
    z = arrays("state_resets_v1.14.0.npz")
    for tag in ("s0.6_o0.18", "s0.33_o0", "off"):
        assert len(set(z[f"tokens_{tag}_0"].tolist())) > 2
    segments = [len(value) for key, value in z.items() if "segment_tokens_s0.6" in key]
    assert segments[0] < len(z["tokens_s0.6_o0.18_0"]) < sum(segments)
    assert not np.array_equal(z["tokens_s0.6_o0.18_0"], z["tokens_off_0"])


def test_short_signals_are_refused_or_give_one_frame() -> None:
    accepted = {n: int(arrays(f"logmel_v1.4_len{n}.npz")["accepted_w20"]) for n in (1, 160, 161)}
    assert accepted == {1: 0, 160: 0, 161: 1}
    assert "short_frame_w20" in arrays("logmel_v1.4_len319.npz")
    assert "short_frame_w20" not in arrays("logmel_v1.4_len320.npz")


def test_the_lattice_is_the_fast_loss() -> None:
    for name in ("loss_vanilla.npz", "loss_star_delay_eos.npz"):
        z = arrays(name)
        np.testing.assert_allclose(-z["beta"][:, 0, 0], z["loss"], atol=1e-12)
        assert not z["grad_of_mean"][z["logit_lens"].argmin(), z["logit_lens"].min() :].any()
