"""`python -m export.random`: a model directory with random weights, for measuring speed.

It has the shape of a real model and emits tokens at a real model's rate, so that it costs what that
would; its text is nonsense. Random weights alone emit nothing or run in circles of tokens, whatever the
bias of blank. So a few units beat time, and the rest is random:

With a Conformer it is a direction of its output that changes its sign (`export.crossing`); with LSTMs:

1. Units 0 and 1 of the last encoder layer turn: each step rotates (h0, h1) by an angle and lengthens
   it, the clip of the hard activation keeps it at 1. h0 changes its sign at the rate that is wanted.
2. Unit 0 of the last prediction layer changes its sign with every token.
3. Units 0 and 1 of the joint are positive where the two signs differ one way or the other; then
   blank's logit falls below all others, else it is above them.

Which token it is depends on the audio and the tokens before it. Pieces are made-up syllables. int8 graphs are
written without checks: a random model has no accuracy to lose. torch is not needed.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.calibration import Calibration
from export.crossing import emit_at_crossings
from hwckpt.layout import SIZES
from stream.backends.numpy import NumpyBackend
from stream.bundled import model_path, recordings
from stream.errors import InputError
from stream.manifest import Utterance, read_manifest
from stream.model import directory
from stream.model.network import Network, open_model
from stream.model.specification import Specification
from stream.process import reports_errors, run_main
from stream.stage import Floats
from train.config.file import load_config
from train.config.named import NAMED
from train.text.pieces import write_pieces

# NUMERICS 3.5, with the arithmetic of the bundled model where the shape leaves it open.
SHAPES = {
    "base": Specification(**SIZES["base"]),
    "testing": Specification(window=320, **SIZES["testing"]),
}
BUNDLED = "bundled"
CONFORMERS = tuple(name for name in NAMED if name.startswith("conformer"))
GAIN = 2.0  # of the LSTMs' weights: with less, a hard LSTM forgets its input
OPEN = 8.0  # bias of a gate that is always 1; its negative, of one that is always 0
LENGTHENING, KICK = 1.1, 0.05  # of the turning units: a step, and at the start
FALL = 2000.0  # of blank's logit, per unit of the joint
ABOVE = 40.0  # blank's logit where no token is due
ALLOWED = 0.25  # deviation from the rate
STEP_SECONDS = 0.06
CONSONANTS, VOWELS = "bcdfghjklmnprstvwz", "aeiou"


def pieces(count: int) -> bytes:
    """Return a SentencePiece model of so many pieces, `<unk>` and made-up syllables."""
    syllables = [c + v for c in CONSONANTS for v in VOWELS]
    words = ("".join(parts) for n in (1, 2, 3) for parts in itertools.product(syllables, repeat=n))
    marked = (piece for word in words for piece in (f"▁{word}", word))
    return write_pieces((piece, -10.0) for piece in itertools.islice(marked, count - 1))


def random_network(
    specification: Specification,
    statistics: Network,
    rate: float,
    seed: int = 0,
    utterances: Sequence[Utterance] = (),
) -> Network:
    """Return a network of random weights.

    Args:
        specification: its shape; the activation is hard.
        statistics: a network whose normaliser's statistics it takes, so that speech is normalised as
            for a trained one.
        rate: tokens a second, 1 to 8.
        seed: of the weights.
        utterances: recordings on which a Conformer is set to the rate.
    """
    rng = np.random.default_rng(seed)
    arrays: dict[str, Floats] = {}
    for name, shape in specification.shapes().items():
        if name.startswith("normaliser."):
            arrays[name] = statistics.arrays[name]
        elif len(shape) == 1:
            arrays[name] = np.full(shape, float(name.endswith("scale")), np.float32)
        else:
            gain = GAIN if "weight_" in name else 1.0
            scale = 1.0 if name.endswith("embedding") else gain / np.sqrt(math.prod(shape[1:]))
            arrays[name] = rng.standard_normal(shape, np.float32) * np.float32(scale)
    notes = {"corpus": "none: random weights, for measuring speed", "seed": seed}
    network = Network(specification, arrays, pieces(specification.vocabulary), notes)
    if specification.encoder.family == "lstm":
        _beat(arrays, specification, rate)
    else:
        heard = Calibration(network, NumpyBackend(network), utterances)
        emit_at_crossings(arrays, specification, heard.outputs(), heard.seconds, rate)
    return network


def _beat(arrays: dict[str, Floats], specification: Specification, rate: float) -> None:
    """Make the units of the rules above of random ones, in place."""
    angle = np.pi * rate * STEP_SECONDS  # half a turn a token
    turn = LENGTHENING * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    encoder = f"encoder.post.{specification.post_layers - 1}"
    _plain_units(arrays, encoder, specification.hidden, turn, KICK)
    prediction = f"prediction.lstm.{specification.prediction_layers - 1}"
    _plain_units(arrays, prediction, specification.prediction_hidden, np.array([[-4.0]]), 1.0)
    sides = np.array([1.0, -1.0], np.float32)
    for part, sign in (("encoder", 1.0), ("prediction", -1.0)):
        weight = arrays[f"joint.{part}.weight"]
        weight[:2] = 0.0
        weight[:2, 0] = sign * sides
    arrays["joint.encoder.bias"][:2] = -1.0  # signs that agree leave nothing after the ReLU
    output = arrays["joint.output.weight"]
    output[:, :2] = 0.0
    output[-1] = 0.0
    output[-1, :2] = -FALL
    arrays["joint.output.bias"][-1] = ABOVE


def _plain_units(
    arrays: dict[str, Floats], layer: str, hidden: int, weight: NDArray[np.float64], kick: float
) -> None:
    """Make h = clip(weight h + kick) of the first units of a layer, which then have no other input."""
    units = len(weight)
    for gate, bias in enumerate((OPEN, -OPEN, 0.0, OPEN)):  # i, f, g, o
        rows = slice(gate * hidden, gate * hidden + units)
        arrays[f"{layer}.weight_ih"][rows] = 0.0
        arrays[f"{layer}.weight_hh"][rows] = 0.0
        arrays[f"{layer}.bias_ih"][rows] = bias
    candidate = slice(2 * hidden, 2 * hidden + units)
    arrays[f"{layer}.weight_hh"][candidate, :units] = weight
    arrays[f"{layer}.bias_ih"][2 * hidden] = kick


def shape(name: str, bundled: Specification) -> Specification:
    """Return the specification of a shape; that of the bundled model becomes hard."""
    if name in CONFORMERS:
        config = load_config(name, ["data.train=['-']", "data.dev='-'"])
        return config.specification(config.data.pieces)
    return SHAPES.get(name, msgspec.structs.replace(bundled, activation="hard"))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.random",
        description="Write a model directory with random weights, for measuring speed.",
        epilog="example: python -m export.random --shape base --tokens-per-second 4 --output m/base",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--shape",
        choices=[*SHAPES, *CONFORMERS, BUNDLED],
        default="base",
        help="sizes of the layers (default: base)",
    )
    parser.add_argument(
        "--tokens-per-second",
        type=float,
        default=4.0,
        metavar="R",
        help="tokens a second of recording, 1 to 8, held within 25 %% (default: 4)",
    )
    parser.add_argument(
        "--manifest",
        metavar="JSONL",
        help="recordings that the rate is checked and the ranges of int8 are measured on "
        "(default: the bundled sentences)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the weights (default: 0)"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="model directory to write")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    rate, output = arguments.tokens_per_second, Path(arguments.output)
    if not 1.0 <= rate <= 8.0:
        parser.error(f"--tokens-per-second is {rate}; want 1 to 8")
    from export.build import build, calibrating

    bundled = open_model(model_path())
    if arguments.manifest:
        utterances = read_manifest(Path(arguments.manifest))
    else:
        utterances = [each for each in recordings() if " " in each.text]
    specification = shape(arguments.shape, bundled.specification)
    network = random_network(specification, bundled, rate, arguments.seed, utterances)
    calibration = Calibration(network, calibrating(network), utterances)
    found, ranges = calibration.rate(), calibration.ranges()
    if abs(found - rate) > ALLOWED * rate:
        raise InputError(f"--tokens-per-second {rate}: the model emits {found:.2f}")
    network = replace(network, notes={**network.notes, "tokens_per_second": round(found, 2)})
    directory.write(network, output, build(network, ranges=ranges))
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    print(f"{output}: {size:.0f} MB, {found:.2f} tokens a second of {len(utterances)} recordings")
    return 0


if __name__ == "__main__":
    run_main(main)
