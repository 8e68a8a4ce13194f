"""The specification: what it refuses, and how files name the families of the two networks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream.encoders import FAMILIES, Encoder
from stream.encoders.lstm import LSTM
from stream.front_end.filterbank import MEL, Filterbank
from stream.front_end.gate import Gate
from stream.model.network import Network
from stream.model.specification import ModelError, Specification, read_specification
from stream.prediction.lstm import PredictionLSTM
from tests.tiny import quantised, tiny_network


class Echo(
    Encoder, msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="echo", tag_field="family"
):
    """A family that only this file knows."""

    size: int = 8
    stack = 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"encoder.echo.weight": (self.size, self.inputs)}

    def layers(self) -> tuple[str, ...]:
        return ("encoder.echo",)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "echo", Echo)


@pytest.mark.parametrize(
    ("key", "value"),
    [("window", 160), ("floor", 0.0), ("alpha", 1.0), ("hidden", 0), ("final_padding", -1)],
)
def test_a_specification_out_of_range_names_its_key(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=key):
        Specification(vocabulary=4, **{key: value})  # type: ignore[arg-type]


def test_filters_and_normaliser_are_written_only_where_they_are_not_the_usual_ones() -> None:
    usual = Specification(vocabulary=4, filterbank=Filterbank(), normaliser="statistics")
    assert msgspec.to_builtins(usual) == msgspec.to_builtins(Specification(vocabulary=4))
    assert not {"front_end", "normaliser"} & msgspec.to_builtins(usual).keys()
    content = {"vocabulary": 4, "front_end": {"mel": "learned"}, "normaliser": "layer"}
    other = read_specification(content)
    assert other.filterbank == Filterbank(mel="learned") and other.front_end.learned
    assert read_specification(msgspec.to_builtins(other)) == other
    assert other.shapes()[MEL] == (80, 257)
    assert not any(name.startswith("normaliser.") for name in other.shapes())


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"filterbank": Filterbank(mel="learned")}, "the mel is learned"),
        ({"filterbank": Filterbank(spectrum="magnitude")}, "the mel is of the magnitude spectrum"),
        ({"normaliser": "layer"}, "normaliser is layer"),
    ],
)
def test_frames_that_a_target_has_not_are_named_in_a_sentence(
    changes: dict[str, Any], what: str
) -> None:
    specification = Specification(vocabulary=4, **changes)
    with pytest.raises(
        ModelError, match=f"^a card wants frames of the fixed mel .*; in this model {what}$"
    ):
        specification.require_common_features("a card")
    assert specification.generation is None
    Specification(vocabulary=4).require_common_features("a card")


def test_a_gate_wants_statistics() -> None:
    with pytest.raises(ValueError, match="gate is set, and normaliser is none"):
        Specification(vocabulary=4, gate=Gate(), normaliser="none")


def test_a_negative_weight_of_learned_filters_is_refused() -> None:
    network = tiny_network(filterbank=Filterbank(mel="learned"))
    bank = network.arrays[MEL].copy()
    bank[2, 5] = -1.0
    with pytest.raises(ModelError, match=rf"{MEL} is -1 at \[2, 5\]"):
        Network(network.specification, {**network.arrays, MEL: bank}, network.tokenizer)


def test_the_generation_is_that_of_the_arithmetic() -> None:
    assert Specification(vocabulary=4).generation == "1.4"
    soft = Specification(vocabulary=4, activation="soft", alpha=0.0, initial_padding=True)
    assert soft.generation == "1.14"
    assert Specification(vocabulary=4, alpha=0.0).generation is None


def test_a_specification_without_a_family_has_lstms_of_its_own_sizes() -> None:
    specification = read_specification(
        {
            "vocabulary": 4,
            "pre_layers": 1,
            "hidden": 8,
            "prediction_hidden": 6,
            "activation": "soft",
        }
    )
    assert specification.encoder == LSTM(1, 2, 8, "soft", "float32")
    assert specification.prediction == PredictionLSTM(1, 6, "soft", "float32")


def test_lstms_are_written_as_they_were_before_there_were_families() -> None:
    assert list(msgspec.to_builtins(Specification(vocabulary=4))) == [
        "window", "floor", "initial_padding", "final_padding", "alpha", "pre_layers", "post_layers",
        "hidden", "prediction_layers", "prediction_hidden", "joint", "vocabulary", "activation",
        "number_format", "gain_control", "gate", "mute_chunks", "word_delay", "sound_chunks",
        "quantisation",
    ]  # fmt: skip


def test_another_family_is_read_as_it_was_written() -> None:
    specification = Specification(vocabulary=4, other_encoder=Echo(5))
    content = msgspec.to_builtins(specification)
    assert content["encoder"] == {"family": "echo", "size": 5}
    assert read_specification(content) == specification
    assert specification.shapes()["joint.encoder.weight"] == (256, 5)
    assert specification.layer_names[0] == "encoder.echo"


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"family": "rnn"}, "encoder is of the family 'rnn', wants .* or echo"),
        ({"size": 8}, 'encoder is no table with its family, "lstm" or '),
        ({"family": "echo", "width": 8}, "unknown field `width`"),
    ],
)
def test_an_unknown_family_or_key_is_named(encoder: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        read_specification({"vocabulary": 4, "encoder": encoder})


def test_what_computes_lstm_layers_only_refuses_other_families_by_name() -> None:
    specification = Specification(vocabulary=4, other_encoder=Echo())
    with pytest.raises(ModelError, match="hwckpt is for LSTM layers, and .* the family 'echo'"):
        specification.require_lstm("hwckpt")
    Specification(vocabulary=4).require_lstm("hwckpt")
    with pytest.raises(ValueError, match=r"bfp16 is for LSTM layers, .* the family 'echo'"):
        Specification(vocabulary=4, other_encoder=Echo(), number_format="bfp16")
    chosen = quantised(tiny_network()).specification.quantisation
    with pytest.raises(ValueError, match=r"a quantisation is for LSTM layers, .* 'echo'"):
        Specification(vocabulary=4, other_encoder=Echo(), quantisation=chosen)


def test_a_specification_that_names_no_decoder_is_a_transducer_and_is_written_without_one() -> None:
    plain = Specification(vocabulary=4)
    assert plain.heads == ("transducer",)
    assert read_specification({"vocabulary": 4, "decoder": "transducer"}) == plain
    assert b"decoder" not in msgspec.json.encode(plain)
    assert "ctc.weight" not in plain.shapes()


@pytest.mark.parametrize(
    ("decoder", "decoders"), [("ctc", ("ctc",)), ("both", ("transducer", "ctc"))]
)
def test_the_decoder_says_which_arrays_there_are(decoder: str, decoders: tuple[str, ...]) -> None:
    specification = read_specification({"vocabulary": 4, "joint": 6, "decoder": decoder})
    assert specification.heads == decoders
    assert read_specification(msgspec.to_builtins(specification)) == specification
    shapes = specification.shapes()
    assert shapes["ctc.weight"] == (5, 6)
    parts = ("prediction.embedding", "joint.prediction.weight", "joint.output.bias")
    assert [part in shapes for part in parts] == [decoder == "both"] * 3
    assert ("joint.output" in specification.layer_names) == (decoder == "both")
    assert "joint.encoder.weight" in shapes


def test_integers_refuse_a_model_with_a_ctc_head() -> None:
    with pytest.raises(ValueError, match="decoder is both, integers have no ctc"):
        quantised(tiny_network(decoder="both"))
