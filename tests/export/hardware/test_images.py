from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.hardware.__main__ import main
from export.hardware.images import (
    acc_width,
    embedding_banks,
    hex_lines,
    layer_biases,
    layer_words,
    transducer_images,
)
from hwckpt.hardware_bundle import Bundle

BundleOf = Callable[[str], Bundle]


def test_words_of_an_lstm_layer_have_the_gates_of_a_unit_side_by_side(bundle_of: BundleOf) -> None:
    bundle = bundle_of("plain")
    words = layer_words(bundle, bundle.layer("encoder.pre.0"), units=4)
    of_x, of_h = (bundle.array(f"encoder.pre.0.weight_{part}") for part in ("ih", "hh"))
    assert words.shape == (4 * (240 + 16), 16)
    # Group 1, input 7: lane 4 * 2 + 3 is gate o of unit 4 + 2.
    assert words[256 + 7, 11] == of_x[3 * 16 + 6, 7]
    assert words[256 + 240 + 5, 11] == of_h[3 * 16 + 6, 5]
    biases = layer_biases(bundle, bundle.layer("encoder.pre.0"), units=4)
    assert biases[6].tolist() == bundle.array("encoder.pre.0.bias")[6::16].tolist()


def test_rows_of_zeros_fill_the_last_group_of_a_linear_layer(bundle_of: BundleOf) -> None:
    bundle = bundle_of("plain")
    layer = bundle.layer("joint.output")
    words, weight = layer_words(bundle, layer, units=2), bundle.array("joint.output.weight")
    assert layer.outputs == 21 and words.shape == (3 * 16, 8)
    assert words[2 * 16 + 9].tolist() == [*weight[16:, 9].tolist(), 0, 0, 0]
    assert len(layer_biases(bundle, layer, units=2)) == 6


def test_hexadecimal_words_have_the_first_value_in_the_lowest_bits() -> None:
    assert hex_lines(np.array([[1, -1], [-128, 127]]), 8) == "ff01\n7f80\n"
    assert hex_lines(np.array([[1, -1]]), 22) == "fffffc00001\n"


def test_an_accumulator_holds_the_largest_bound_and_a_sign(bundle_of: BundleOf) -> None:
    layers = bundle_of("plain").manifest.layers
    width = acc_width(layers)
    assert max(layer.bound for layer in layers) < 2 ** (width - 1)


def test_memories_have_the_sizes_of_the_parameters(bundle_of: BundleOf) -> None:
    images = transducer_images(bundle_of("card-like"), units=8)
    for name, file in (("WEIGHT_WORDS", "weights.hex"), ("BIAS_WORDS", "biases.hex")):
        assert len(images.files[file].splitlines()) == images.parameters[name]
    assert len(images.files["layers.hex"].splitlines()) == 2 + 3 + 2 + 3
    assert len(images.files["embedding.hex"].splitlines()) == 21 * 24


def test_an_embedding_of_several_block_rams_has_a_byte_of_each_in_a_word() -> None:
    embedding = np.random.default_rng(0).integers(-128, 128, (153, 32), np.int8)
    words = embedding_banks(embedding)
    assert words.shape == (2048, 3)
    assert np.array_equal(words[:, 1], embedding.reshape(-1)[2048:4096])
    assert np.array_equal(words[:800, 2], embedding.reshape(-1)[4096:])


def test_the_command_writes_memories_and_parameters(
    bundle_of: BundleOf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(bundle_of("plain").folder)
    command = ["images", "--bundle", bundle, "--output", str(tmp_path / "images"), "--units", "2"]
    assert main(command) == 0
    written = {path.name for path in (tmp_path / "images").iterdir()}
    assert written == {
        "weights.hex",
        "biases.hex",
        "embedding.hex",
        "layers.hex",
        "parameters.txt",
    }
    assert "UNITS=2\n" in (tmp_path / "images" / "parameters.txt").read_text()
    assert "words of 8 weights" in capsys.readouterr().out


def test_units_that_do_not_divide_a_layer_are_refused(
    bundle_of: BundleOf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["images", "--bundle", str(bundle_of("plain").folder), "--output", str(tmp_path)]
    assert main([*command, "--units", "3"]) == 2
    assert "encoder.pre.0: 16 units are no whole groups of 3" in capsys.readouterr().err
