from __future__ import annotations

import msgspec
import numpy as np
import pytest

from hwckpt import configuration, layout
from hwckpt.torch_file.allowed import CONSTRUCTORS
from stream.model.specification import Specification
from tests.places import REPOSITORY
from tests.tiny import tiny_network

BASE = Specification(
    vocabulary=8703,
    hidden=1024,
    pre_layers=2,
    post_layers=6,
    prediction_hidden=512,
    prediction_layers=2,
    joint=768,
)


@pytest.mark.parametrize(
    ("text", "version"), [("1.0.0", (1, 0, 0)), ("1.14.0", (1, 14, 0)), ("1.6", (1, 6, 0))]
)
def test_versions_are_three_numbers(text: str, version: layout.Version) -> None:
    assert layout.parse_version(text) == version


@pytest.mark.parametrize("text", ["", "2.0.0", "0.9.0", "v1.4", "one"])
def test_other_versions_are_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=f"version is '{text}', wants 1.x.y"):
        layout.parse_version(text)


def test_every_array_of_a_network_has_one_key_in_the_file() -> None:
    specification = tiny_network(pre_layers=2).specification
    names = layout.names(specification)
    assert sorted(names.values()) == sorted(
        name for name in specification.shapes() if not name.startswith("normaliser.")
    )


@pytest.mark.parametrize(
    ("size", "parameters", "tensors"),
    [("testing", 49_006_080, 35), ("base", 84_690_432, 47), ("large", 195_590_400, 47)],
)
def test_the_sizes_that_myrtle_ships_have_its_parameter_counts(
    size: str, parameters: int, tensors: int
) -> None:
    specification = msgspec.structs.replace(BASE, **layout.SIZES[size])
    shapes = specification.shapes()
    names = layout.names(specification)
    assert len(names) == tensors
    assert sum(int(np.prod(shapes[name])) for name in names.values()) == parameters


@pytest.mark.parametrize(
    ("key", "original"),
    [
        ("encoder.pre_rnn.lstm.layers.1.bias_hh", "encoder.pre_rnn.lstm.bias_hh_l1"),
        ("joint_fc.weight", "joint_net.2.weight"),
        ("encoder.pre_rnn.lstm.bias_hh_l1", None),
        ("joint_net.2.weight", None),
    ],
)
def test_second_names_of_tensors_are_known(key: str, original: str | None) -> None:
    assert layout.aliases(key) == original


def test_the_full_configuration_says_what_the_reduced_one_and_the_version_keep() -> None:
    config = configuration.full_config(BASE, "x.model")
    reduced = configuration.reduced_config(config)
    assert [len(part) for part in reduced["input_val"].values()] == [8, 2]
    assert len(reduced["rnnt"]) == 8
    assert reduced["tokenizer"]["sentpiece_model"] == "x.model"
    assert configuration.unknown_keys(config) == []
    again = layout.card_specification((1, 4, 0), config, 0.001, {"vocabulary": 8703})
    assert (again.window, again.activation, again.number_format) == (400, "hard", "float32")


def test_unknown_keys_are_found_by_path() -> None:
    config = {"rnnt": {"enc_n_hidd": 1}, "tokeniser": {}, "user_tokens": {"any": 1}}
    assert configuration.unknown_keys(config) == ["rnnt.enc_n_hidd", "tokeniser"]


def test_the_page_about_the_format_names_every_field_tensor_and_global() -> None:
    page = (REPOSITORY / "docs" / "hwckpt-format.md").read_text(encoding="utf-8")
    wanted = [field.name for field in layout.FIELDS]
    wanted += [".".join(name) for name in CONSTRUCTORS] + list(layout.STACKS)
    wanted += [key for key in layout.OTHERS if key.endswith("weight")]
    assert [name for name in wanted if name not in page] == []
