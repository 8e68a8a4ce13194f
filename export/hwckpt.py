"""export.hwckpt: any model -> a hardware checkpoint, verified by running it.

1. The format is the generation whose arithmetic is the model's: 1.4 for hard activations and EWMA,
   1.14 for soft ones and global statistics. Another is refused, unless --convert asks for it and
   --manifest says on what to measure it; then the word error rate before and after is printed.
2. The format has no log floor: the card's is 1e-20. A model of another floor gives a warning with
   the word error rate under both, on --manifest or on the bundled recordings.
3. What was written is read back and compared, and both are run on random input: equal logits, bit
   for bit, or the file is deleted and the exit status is 1.
4. The format has no gate of the statistics, no gain control and no muting: a model that has them is
   written without, with a warning where that will cost words.
5. A model in which a later sample changes an earlier output is refused at start.

    python -m export.hwckpt --ckpt best.pt --output best.hw.pt
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hwckpt.layout import FINAL_PADDING, Format
from hwckpt.reader import HardwareCheckpoint, network_of, read_checkpoint
from hwckpt.writer import from_network, inexpressible, write_checkpoint
from stream.backends import Backend, load_backend
from stream.bundled import recordings
from stream.causality import CausalityError, check_causal, check_features_causal
from stream.errors import ArgumentError, DifferenceError
from stream.front_end.log_mel import BINS, CARD_FLOOR
from stream.front_end.stacking import STACK
from stream.manifest import Utterance, read_manifest
from stream.model.network import Network, open_model
from stream.model.specification import ModelError, Specification
from stream.process import reports_errors, run_main
from stream.validation import validate

__all__ = ["Refusal", "VerificationError", "build_parser", "main", "target", "verify"]

CHUNKS, ROWS, SYMBOLS = 4, 2, 4  # of the random input that both models are run on
ALPHA = 0.001  # of a model converted to 1.4, unless --melalpha says


# What a card does not have: it hears every frame, at the level it comes.
_NO_ROOMS: dict[str, Any] = {
    "gain_control": None,
    "gate": None,
    "mute_chunks": 0,
    "sound_chunks": 0,
}


class Refusal(ArgumentError):
    """An export that would change the model's arithmetic without having been asked to."""


class VerificationError(DifferenceError):
    """What was written is not what should have been written."""


@dataclass(frozen=True)
class Plan:
    """What to write: the format, the model in it, and whether its arithmetic is another."""

    format: Format
    network: Network
    converted: bool


def target(
    network: Network, format: Format | None, *, convert: bool = False, alpha: float | None = None
) -> Plan:
    """Decide on the format, and what the model becomes in it.

    Args:
        network: the model.
        format: None: the one whose arithmetic is the model's.
        convert: whether the arithmetic may change.
        alpha: weight of a new frame in the running statistics; None: the model's, or 0.001 where a
            model with global statistics is converted to 1.4.
    Raises:
        Refusal: the format has another arithmetic and convert is false, there is no such alpha, or the
            model has a CTC head.
        ModelError: the model has networks of another family than the LSTM.
    """
    specification = network.specification
    specification.require_lstm("a hardware checkpoint")
    if "ctc" in specification.decoders:
        raise Refusal(f"decoder is {specification.decoder}; hardware checkpoints have no ctc")
    native = specification.generation
    if native is not None and inexpressible(specification, native):
        native = None
    chosen = format or native
    if chosen is None:
        raise Refusal(
            f"{_arithmetic(specification)}: neither generation computes this. 1.4 is hard with "
            "EWMA, 1.14 soft with global statistics. Name a --format, with --convert --manifest M"
        )
    if chosen != native and not convert:
        raise Refusal(
            f"{_arithmetic(specification)}; generation {chosen} computes something else. "
            + (
                f"Leave out --format: it is {native}, or"
                if native
                else "To convert it all the same,"
            )
            + " add --convert --manifest M, which prints the word error rate under both"
        )
    if alpha is not None and (not 0.0 <= alpha < 1.0 or (chosen == "1.14" and alpha != 0.0)):
        wanted = "0 (global statistics)" if chosen == "1.14" else "at least 0 and below 1"
        raise Refusal(f"--melalpha is {alpha}; generation {chosen} wants {wanted}")
    # The format has no word for them; the weights of a quantised model are floats like any.
    changes: dict[str, Any] = {"word_delay": None, "quantisation": None, **_NO_ROOMS}
    if chosen != native:
        changes |= {
            "activation": "hard" if chosen == "1.4" else "soft",
            "initial_padding": chosen == "1.14",
            "final_padding": FINAL_PADDING if chosen == "1.14" else 0,
            "alpha": (specification.alpha or ALPHA) if chosen == "1.4" else 0.0,
        }
        if chosen == "1.14":
            changes["number_format"] = "float32"
    if alpha is not None:
        changes["alpha"] = alpha
    changed = msgspec.structs.replace(specification, **changes)
    ngram = network.ngram if chosen == "1.14" else None
    changed_network = replace(network, specification=changed, ngram=ngram)
    return Plan(chosen, changed_network, chosen != native)


def _arithmetic(specification: Specification) -> str:
    statistics = (
        f"EWMA, alpha {specification.alpha}" if specification.alpha else "global statistics"
    )
    padding = "with" if specification.initial_padding else "without"
    return (
        f"the model has {specification.activation} activations, {statistics}, {padding} padding, "
        f"{specification.number_format}"
    )


def verify(
    written: Path, checkpoint: HardwareCheckpoint, network: Network, seed: int = 0
) -> Network:
    """Read a hardware checkpoint back, compare its entries, and run it against the model.

    Args:
        written: the file.
        checkpoint: what it should hold.
        network: the model that was written.
        seed: of the random features, tokens and chunks.
    Returns:
        The model as read back, with the card's front end.
    Raises:
        VerificationError: an entry or a logit differs.
    """
    read = read_checkpoint(written)
    differences = read.differences(checkpoint)
    again = network_of(read)
    differences += [
        name
        for name in network.arrays
        if not np.array_equal(network.arrays[name], again.arrays[name])
    ]
    if differences:
        raise VerificationError(f"reads back differently: {', '.join(differences)}")
    ours = _logits(load_backend("numpy", network), seed)
    theirs = _logits(load_backend("numpy", again), seed)
    if not np.isfinite(ours).all() or not np.array_equal(ours, theirs):
        largest = float(np.max(np.abs(ours - theirs)))
        raise VerificationError(f"computes other logits than the model, by up to {largest:g}")
    return again


def _logits(backend: Backend, seed: int) -> NDArray[np.float32]:
    """Run random features and tokens in chunks: (ROWS, CHUNKS * SYMBOLS, classes)."""
    rng = np.random.default_rng(seed)
    encoder, prediction = backend.initial_state(ROWS)
    logits = []
    for _ in range(CHUNKS):
        x = rng.normal(size=(ROWS, 2, BINS * STACK)).astype(np.float32)
        f, encoder = backend.encode(x, encoder)
        for _ in range(SYMBOLS):
            tokens = rng.integers(0, backend.specification.vocabulary + 1, ROWS)
            g, prediction = backend.predict(tokens, prediction)
            logits.append(backend.join(f[:, 0], g))
    return np.stack(logits, axis=1)


def _encoder(backend: Backend) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return lambda x: backend.encode(x, backend.initial_state(len(x))[0])[0]


def _provenance(network: Network) -> dict[str, Any]:
    """Return what the model's notes tell of its training."""
    wanted: dict[str, tuple[type, ...]] = {
        "epoch": (int,),
        "step": (int,),
        "best_wer": (float, int),
    }
    return {
        key: network.notes[key]
        for key, types in wanted.items()
        if type(network.notes.get(key)) in types
    }


def _error_rate(network: Network, utterances: list[Utterance]) -> float:
    return validate(network, utterances, backend="numpy", reset_stats=True).wer


def _report_rates(network: Network, plan: Plan, card: Network, manifest: Path | None) -> None:
    """Print how often the model errs, and how often it will on the card, where they may differ."""
    floor = network.specification.floor
    if floor != CARD_FLOOR:
        print(
            f"warning: the model's log floor is {floor:g}, the card's is {CARD_FLOOR:g}: digital "
            "silence looks different there",
            file=sys.stderr,
        )
    elif manifest is None:
        return
    utterances = recordings() if manifest is None else read_manifest(manifest)
    on = f"{len(utterances)} utterances of {manifest or 'the bundled recordings'}"
    print(f"WER {_error_rate(network, utterances):.2%} as it is, on {on}")
    print(f"WER {_error_rate(card, utterances):.2%} under generation {plan.format}, on the card")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m export.hwckpt`."""
    parser = argparse.ArgumentParser(
        prog="python -m export.hwckpt",
        description="Write a model as a hardware checkpoint, and verify it by running it.",
        epilog="example: python -m export.hwckpt --ckpt best.pt --output best.hw.pt",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--ckpt", type=Path, required=True, metavar="F", help="checkpoint or model directory")
    add(
        "--format",
        choices=["1.4", "1.14"],
        help="generation (default: the one whose arithmetic is the model's)",
    )
    add(
        "--melalpha",
        type=float,
        metavar="A",
        help=f"EWMA weight of a new frame (default: the model's, else {ALPHA})",
    )
    add("--output", type=Path, metavar="F", help="file to write (default: <ckpt stem>.hw.pt)")
    add("--convert", action="store_true", help="let the arithmetic change; needs --manifest")
    add("--manifest", type=Path, metavar="M", help="JSONL of utterances to measure the WER on")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Export; 0 done, 1 verification failed, 2 refused or bad command line, 3 bad input file."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.convert and arguments.manifest is None:
        parser.error("--convert needs --manifest M, utterances to measure the change on")
    source: Path = arguments.ckpt
    output: Path = arguments.output or source.with_name(f"{source.stem}.hw.pt")
    unverified = output.with_name(output.name + ".unverified")
    try:
        network = open_model(source)
        plan = target(
            network, arguments.format, convert=arguments.convert, alpha=arguments.melalpha
        )
        check_features_causal(plan.network.specification.front_end, plan.network.normaliser)
        encoder = plan.network.specification.encoder
        check_causal(_encoder(load_backend("numpy", plan.network)), encoder, str(source))
        checkpoint = from_network(plan.network, plan.format, **_provenance(network))
        write_checkpoint(checkpoint, unverified)
        card = verify(unverified, checkpoint, plan.network)
        if network.specification.quantisation is not None:
            print(
                "warning: the model is for integers (its quantisation), which the file cannot say; "
                "the card computes it in its own number format",
                file=sys.stderr,
            )
        if network.specification.gate or network.specification.gain_control:
            print(
                "warning: the model gates its statistics or controls its gain, which no card does: "
                "behind minutes of a room, and for quiet speech, it will err much more there "
                "(docs/normaliser.md has figures)",
                file=sys.stderr,
            )
        if network.ngram is not None and plan.network.ngram is None:
            print(
                f"warning: the model's n-gram model is left out: generation {plan.format} has none",
                file=sys.stderr,
            )
        for note in checkpoint.notes:
            print(f"warning: {note}", file=sys.stderr)
        _report_rates(network, plan, card, arguments.manifest)
        unverified.replace(output)
    except Refusal as error:
        raise Refusal(f"{source}: {error}") from error
    except VerificationError as error:
        raise VerificationError(f"{output}: {error}; deleted") from error
    except CausalityError as error:
        raise ModelError(str(error)) from error
    finally:
        unverified.unlink(missing_ok=True)
    print(
        f"{output}: version {checkpoint.version}, {len(checkpoint.state_dict)} tensors, "
        f"melalpha {checkpoint.melalpha:g}; read back and run: equal"
    )
    return 0


if __name__ == "__main__":
    run_main(main)
