"""The integer vectors reach every tie and bound of the rules, and no mutant of the reference passes.

Both are shown of the shipped set and of one of another seed, whose sizes are others.
"""

from __future__ import annotations

import shutil
import types
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwckpt.conformance import comparison, integer_transducer
from hwckpt.conformance import integer as subject
from hwckpt.conformance.models import network_file
from stream.integer import fixed
from stream.integer import network as integer
from tests.hwckpt.conformance.vector_files import failures, passes
from tests.places import VECTORS

FILES = {
    name: make
    for kind in (*subject.KINDS, *integer_transducer.KINDS)
    for name, make in kind.files.items()
}
NAMES = tuple(FILES)
ANOTHER_SEED = 11
JOINT = "integer_joint.npz"  # logits are not shifted


@pytest.fixture(scope="module", params=["shipped", "another seed"])
def vectors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("integer")
    if request.param == "shipped":
        for name in NAMES:
            shutil.copy(VECTORS / name, folder)
        return folder
    elsewhere = tmp_path_factory.mktemp("checkpoint")
    shutil.copy(VECTORS / network_file("1.4"), elsewhere)
    for name in NAMES:
        rng = np.random.default_rng([ANOTHER_SEED, zlib.crc32(name.encode())])
        np.savez_compressed(folder / name, **FILES[name](rng, elsewhere))
    return folder


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return {key: file[key].astype(np.int64) if file[key].dtype.kind == "i" else file[key]
                for key in file.files}  # fmt: skip


def test_both_sets_pass_and_are_of_different_sizes(vectors: Path) -> None:
    assert not list(failures(vectors))
    with np.load(vectors / NAMES[-1]) as made, np.load(VECTORS / NAMES[-1]) as shipped:
        same = made["specification"] == shipped["specification"]
    same_set = (vectors / NAMES[-1]).read_bytes() == (VECTORS / NAMES[-1]).read_bytes()
    assert same == same_set


def ties(name: str, a: Any, shift: int) -> Counter[str]:
    """Count rounding ties by the parity of the quotient and by the sign."""
    found: Counter[str] = Counter()
    if shift:
        tie = a[(a % (1 << shift)) == 1 << (shift - 1)]
        for value in tie.ravel().tolist():
            parity = "odd" if value >> shift & 1 else "even"
            found[f"{name}: tie, {parity}, {'positive' if value > 0 else 'negative'}"] += 1
    return found


def wanted_ties(name: str, signs: tuple[str, ...] = ("positive", "negative")) -> set[str]:
    return {f"{name}: tie, {parity}, {sign}" for parity in ("even", "odd") for sign in signs}


def count(name: str, **masks: Any) -> Counter[str]:
    return Counter({f"{name}: {event}": int(np.sum(mask)) for event, mask in masks.items()})


def test_every_tie_and_bound_of_a_layer_is_reached(vectors: Path) -> None:
    found: Counter[str] = Counter()
    wanted: set[str] = set()
    for path in sorted(vectors.glob("integer_lstm_*.npz")):
        z = arrays(path)
        shift = int(z["shift"])
        found += count("layer", unshifted=shift == 0, shift_x=z["shift_x"] > 0,
                       shift_h=z["shift_h"] > 0)  # fmt: skip
        gates = zip(
            "ifgo", np.split(z["acc"], 4, axis=-1), np.split(z["z"], 4, axis=-1), strict=True
        )
        for gate, acc, inner in gates:
            found += ties(f"z of {gate}", acc, shift)
            found += count(f"z of {gate}", above=acc > 32768 << shift, below=acc < -32769 << shift)
            bound = 4096 if gate == "g" else 16384
            for at in (-bound - 1, -bound, -bound + 1, bound - 1, bound, bound + 1):
                found += Counter({f"z of {gate}: {at}": int(np.sum(inner == at))})
                wanted.add(f"z of {gate}: {at}")
            wanted |= wanted_ties(f"z of {gate}") | {f"z of {gate}: above", f"z of {gate}: below"}
        found += ties("p", z["p"], 15) + ties("u", z["u"], 20)
        found += count(
            "c",
            above=z["p"] > 32768 << 15,
            below=z["p"] < -32769 << 15,
            most=z["c"] == 32767,
            least=z["c"] == -32768,
        )
        found += count(
            "h",
            above=(z["u"] > 127 << 20) & (z["h"] == 127),
            exactly_127=(z["u"] == 127 << 20) & (z["h"] == 127),
            exactly_least=(z["u"] == -128 << 20) & (z["h"] == -128),
        )
    wanted |= wanted_ties("p") | wanted_ties("u")
    wanted |= {f"layer: {name}" for name in ("unshifted", "shift_x", "shift_h")}
    wanted |= {f"c: {name}" for name in ("above", "below", "most", "least")}
    wanted |= {f"h: {name}" for name in ("above", "exactly_127", "exactly_least")}
    assert len(wanted) == 66
    assert not {event for event in wanted if not found[event]}


def test_every_tie_and_bound_of_the_other_rules_is_reached(vectors: Path) -> None:
    found: Counter[str] = Counter()
    wanted = wanted_ties("e") | wanted_ties("a", ("positive",))
    for path in sorted(vectors.glob("integer_projection_*.npz")):
        z = arrays(path)
        shift = int(z["shift_out"])
        found += ties("e", z["acc"], shift)
        found += count(
            "e",
            above=z["acc"] > 32768 << shift,
            below=z["acc"] < -32769 << shift,
            shift_in=z["shift_in"] > 0,
            unshifted=shift == 0,
        )
    wanted |= {f"e: {name}" for name in ("above", "below", "shift_in", "unshifted")}
    z = arrays(vectors / JOINT)
    total = z["e"] + z["g"]
    best = (z["logits"] == z["logits"].max(axis=1, keepdims=True)).sum(axis=1)
    found += ties("a", total[total > 0], 6)
    found += count("a", above=total > 256 << 6, just_above=total == (255 << 6) + 32,
                   relu=total < -32, wide=np.abs(total) > 32768)  # fmt: skip
    found += count("logits", equal=best > 1, different=best == 1)
    wanted |= {f"a: {name}" for name in ("above", "just_above", "relu", "wide")}
    wanted |= {"logits: equal", "logits: different"}
    z = arrays(vectors / "integer_input.npz")
    for n in range(int(z["num"])):
        scaled = z[f"z_{n}"].astype(np.float64) * 2.0 ** z[f"exponent_{n}"]
        found += ties("x", (2 * scaled[2 * scaled == np.rint(2 * scaled)]).astype(np.int64), 1)
        found += count("x", above=scaled > 127.5, below=scaled < -128.5, tie_above=scaled == 127.5,
                       tie_below=scaled == -128.5)  # fmt: skip
    wanted |= wanted_ties("x") | {f"x: {n}" for n in ("above", "below", "tie_above", "tie_below")}
    z = arrays(vectors / "integer_weights.npz")
    for n in range(int(z["num"])):
        most = 2 ** (int(z[f"bits_{n}"]) - 1)
        scaled = z[f"weight_{n}"].astype(np.float64) * 2.0 ** z[f"exponent_{n}"]
        found += ties("q", (2 * scaled[2 * scaled == np.rint(2 * scaled)]).astype(np.int64), 1)
        found += count("q", power=scaled == most, negative_power=scaled == -most,
                       zeros=not scaled.any(), four_bits=most == 8)  # fmt: skip
    wanted |= wanted_ties("q")
    wanted |= {f"q: {name}" for name in ("power", "negative_power", "zeros", "four_bits")}
    z = arrays(vectors / "integer_transducer.npz")
    found += count("transducer", missing=~z["present"], saturated=z["a"] == 255,
                   tokens=len(z["greedy_tokens_0"]) + len(z["greedy_tokens_1"]))  # fmt: skip
    wanted |= {f"transducer: {name}" for name in ("missing", "saturated", "tokens")}
    assert not {event for event in wanted if not found[event]}


ROUNDED = "(a + ((1 << (s - 1)) - 1) + ((a >> s) & 1)) >> s"
FIXED_MUTANTS = {
    "rounds half up": (ROUNDED, "(a + (1 << (s - 1))) >> s"),
    "rounds half down": (ROUNDED, "(a + ((1 << (s - 1)) - 1)) >> s"),
    "rounds half to odd": (ROUNDED, "(a + ((1 << (s - 1)) - 1) + (~(a >> s) & 1)) >> s"),
    "rounds half away from zero": (ROUNDED, "np.sign(a) * ((np.abs(a) + (1 << (s - 1))) >> s)"),
    "rounds towards minus infinity": (ROUNDED, "a >> s"),
    "saturates symmetrically": ("_clamp(a, -(1 <<", "_clamp(a, 1 - (1 <<"),
    "saturates one too high": ("(1 << (bits - 1)) - 1)", "(1 << (bits - 1)))"),
    "a gate of 1 is 32767": ("ONE_Q15 = 32768", "ONE_Q15 = 32767"),
    "half a gate is 16383": ("HALF_Q15 = 16384", "HALF_Q15 = 16383"),
    "half a gate is 16385": ("HALF_Q15 = 16384", "HALF_Q15 = 16385"),
    "a cell of 1 is 4095": ("ONE_Q12 = 4096", "ONE_Q12 = 4095"),
    "a cell of 1 is 4097": ("ONE_Q12 = 4096", "ONE_Q12 = 4097"),
    "a gate has 14 bits": ("GATE_BITS = 15", "GATE_BITS = 14"),
    "a gate has 16 bits": ("GATE_BITS = 15", "GATE_BITS = 16"),
    "h is shifted by 19": ("HIDDEN_SHIFT = 20", "HIDDEN_SHIFT = 19"),
    "h is shifted by 21": ("HIDDEN_SHIFT = 20", "HIDDEN_SHIFT = 21"),
    "the joint is shifted by 5": ("JOINT_SHIFT = 6", "JOINT_SHIFT = 5"),
    "the joint is shifted by 7": ("JOINT_SHIFT = 6", "JOINT_SHIFT = 7"),
    "the joint ends at 254": ("UNSIGNED_MOST = 255", "UNSIGNED_MOST = 254"),
    "the joint ends at 256": ("UNSIGNED_MOST = 255", "UNSIGNED_MOST = 256"),
    "the sigmoid begins at 1": ("z + HALF_Q15, 0,", "z + HALF_Q15, 1,"),
    "the tanh begins at -4095": ("_clamp(z, -ONE_Q12", "_clamp(z, 1 - ONE_Q12"),
    "gates are f i g o": ("z_i, z_f, z_g, z_o =", "z_f, z_i, z_g, z_o ="),
    "gates are i f o g": ("z_i, z_f, z_g, z_o =", "z_i, z_f, z_o, z_g ="),
    "the candidate is a sigmoid": ("hard_tanh(z_g)", "hard_sigmoid(z_g)"),
    "the candidate is subtracted": ("f * c + i * g", "f * c - i * g"),
    "the cell is gated by i": ("f * c + i * g", "i * c + f * g"),
    "z saturates at 15 bits": ("rhe(acc, shift), 16)", "rhe(acc, shift), 15)"),
    "z saturates at 17 bits": ("rhe(acc, shift), 16)", "rhe(acc, shift), 17)"),
    "the cell saturates at 15 bits": ("rhe(p, GATE_BITS), 16)", "rhe(p, GATE_BITS), 15)"),
    "the cell saturates at 17 bits": ("rhe(p, GATE_BITS), 16)", "rhe(p, GATE_BITS), 17)"),
    "the cell wraps": ("saturate(rhe(p, GATE_BITS), 16)", "_wide(rhe(p, GATE_BITS).astype(np.int16))"),
    "h is of the cell before": ("o * hard_tanh(after)", "o * hard_tanh(c)"),
    "h is of the cell unclamped": ("o * hard_tanh(after)", "o * after"),
    "h does not saturate": ("saturate(rhe(u, HIDDEN_SHIFT), 8)", "rhe(u, HIDDEN_SHIFT)"),
    "x is not shifted": ("(of_x << layer.shift_x)", "of_x"),
    "h is not shifted": ("(of_h << layer.shift_h)", "of_h"),
    "the shifts are swapped": ("(of_x << layer.shift_x)", "(of_x << layer.shift_h)"),
    "a layer has no bias": (" + layer.bias", ""),
    "pairs are newer first": ("[older, np.where(present[:, None], newer, 0)]",
                              "[np.where(present[:, None], newer, 0), older]"),
    "a missing half is not zero": ("np.where(present[:, None], newer, 0)", "newer"),
    "a projection is not shifted": ("(product << linear.shift_in)", "product"),
    "a linear layer has no bias": (" + linear.bias", ""),
    "e is shifted by one more": ("linear.shift_out)", "linear.shift_out + 1)"),
    "e saturates at 15 bits": ("linear.shift_out), 16)", "linear.shift_out), 15)"),
    "e saturates at 17 bits": ("linear.shift_out), 16)", "linear.shift_out), 17)"),
    "the joint has no ReLU": ("np.maximum(_wide(e) + g, 0)", "np.abs(_wide(e) + g)"),
    "the joint adds in 16 bits": ("np.maximum(_wide(e) + g, 0)",
                                  "np.maximum(_wide((_wide(e) + g).astype(np.int16)), 0)"),
    "the last of equal logits wins": ("values.argmax(axis=-1)",
                                      "values.shape[-1] - 1 - values[..., ::-1].argmax(axis=-1)"),
    "inputs are cut": ("np.rint(np.ldexp(z, exponent))", "np.trunc(np.ldexp(z, exponent))"),
    "inputs round half up": ("np.rint(np.ldexp(z, exponent))", "np.floor(np.ldexp(z, exponent) + 0.5)"),
    "inputs have 7 bits": ("(np.ldexp(z, exponent)), 8)", "(np.ldexp(z, exponent)), 7)"),
}  # fmt: skip
INTEGER_MUTANTS = {
    "a power of two is below itself": ("mantissa == 0.5", "mantissa == 2.0"),
    "zeros have the exponent 0": ("if mantissa else 0)", "if mantissa else bits - 1)"),
    "weights end one earlier": ("2 ** (bits - 1) - 1", "2 ** (bits - 1) - 2"),
    "weights reach -128": ("np.clip(scaled, -largest,", "np.clip(scaled, -largest - 1,"),
    "weights are cut": ("np.rint(np.ldexp(np.asarray(weight, np.float64), f))",
                        "np.trunc(np.ldexp(np.asarray(weight, np.float64), f))"),
    "weights round half up": ("np.rint(np.ldexp(np.asarray(weight, np.float64), f))",
                              "np.floor(np.ldexp(np.asarray(weight, np.float64), f) + 0.5)"),
    "weights have one bit less": ("f = bits - 1 - ", "f = bits - 2 - "),
    "h has the exponent 8": ("HIDDEN_EXPONENT = 7", "HIDDEN_EXPONENT = 8"),
    "c has the exponent 11": ("CELL_EXPONENT = 12", "CELL_EXPONENT = 11"),
    "e has 5 bits more": ("JOINT_HEADROOM = 6", "JOINT_HEADROOM = 5"),
    "an input reaches 127": ("SIGNED, UNSIGNED = 128, 255", "SIGNED, UNSIGNED = 127, 255"),
    "a hidden value reaches 256": ("SIGNED, UNSIGNED = 128, 255", "SIGNED, UNSIGNED = 128, 256"),
    "biases are cut": ("np.rint(np.ldexp(bias, f))", "np.trunc(np.ldexp(bias, f))"),
    "biases round half up": ("np.rint(np.ldexp(bias, f))", "np.floor(np.ldexp(bias, f) + 0.5)"),
    "biases are added in float32": ('arrays["bias_ih"].astype(np.float64) + arrays["bias_hh"]',
                                    '(arrays["bias_ih"] + arrays["bias_hh"]).astype(np.float64)'),
    "the second bias is left out": (' + arrays["bias_hh"]', ""),
    "all layers have 8 bits": ("arrays, chosen.bits(name), exponent)", "arrays, 8, exponent)"),
    "the start of a sequence is ones": ("np.zeros((1, embedding.shape[1])",
                                        "np.ones((1, embedding.shape[1])"),
}  # fmt: skip


@pytest.fixture
def references_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the graphs, which no mutant changes, out of the checks."""
    monkeypatch.setattr(comparison, "installed", lambda package: package != "onnx")


def mutant(module: types.ModuleType, old: str, new: str) -> types.ModuleType:
    """Return a module with one place of its source changed."""
    source = Path(str(module.__file__)).read_text("utf-8")
    assert source.count(old) == 1, old
    changed = types.ModuleType(module.__name__)
    exec(compile(source.replace(old, new), str(module.__file__), "exec"), changed.__dict__)
    return changed


@pytest.mark.usefixtures("references_only")
@pytest.mark.parametrize("name", FIXED_MUTANTS)
def test_a_mutant_of_the_operators_is_caught(
    name: str, vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = mutant(fixed, *FIXED_MUTANTS[name])
    monkeypatch.setattr(subject, "fixed", changed)
    monkeypatch.setattr(integer_transducer, "fixed", changed)
    assert not passes(vectors)


@pytest.mark.usefixtures("references_only")
@pytest.mark.parametrize("name", INTEGER_MUTANTS)
def test_a_mutant_of_the_quantiser_is_caught(
    name: str, vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = mutant(integer, *INTEGER_MUTANTS[name])
    monkeypatch.setattr(subject, "integer", changed)
    monkeypatch.setattr(integer_transducer, "integer", changed)
    assert not passes(vectors)


# How many cases there are, what is only told, and the exponent of the numbers of a layer by itself.
IDLE = {"num", "specification", "tokenizer", "present", "exponent"}


@pytest.mark.usefixtures("references_only")
@pytest.mark.parametrize("name", NAMES)
def test_every_array_counts(name: str, vectors: Path, tmp_path: Path) -> None:
    with np.load(vectors / name) as file:
        content = {key: file[key] for key in file.files}
    for key, value in content.items():
        if key in IDLE or key.startswith("w:normaliser") or (name, key) == (JOINT, "shift_out"):
            continue
        changed = np.roll(value, 1)
        if np.array_equal(changed, value):
            changed = value + 1
        np.savez(tmp_path / name, **{**content, key: changed})
        assert not passes(tmp_path), key
