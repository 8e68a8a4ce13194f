"""Write a model directory for ONNX Runtime, and run it before it is called done.

It has float32 graphs, int8 graphs unless they are declined, and integer graphs where the model has a
quantisation. What was written is reopened and checked against the model by `export.checks.verification`;
then recordings are streamed, and int8 and integers may lose no more words than is allowed. Only then is the
folder moved into place: if anything differs, or too much is lost, nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.calibration import Calibration
from export.checks.precision import MOST_LOSS, Baseline, Precision, Progress
from export.checks.sensitivity import int8_error, integer_error
from export.checks.verification import verify
from export.onnx.ranges import Ranges
from export.post_training import calibrated
from export.word_delay import measured
from stream.bundled import recordings
from stream.errors import ArgumentError
from stream.manifest import Utterance
from stream.model import directory
from stream.model.network import Network, open_model
from stream.model.stages import without_places
from stream.validation.record import NOTES


@dataclass(frozen=True)
class Exported:
    """What an export found.

    Attributes:
        difference: the largest from the NumPy reference, of encoder outputs and logits.
        int8, integers: what they lose; None where they were not written.
    """

    difference: float
    int8: Precision | None
    integers: Precision | None


def export(
    network: Network,
    output: Path,
    *,
    calibration: Sequence[Utterance] | None = None,
    validation: Sequence[Utterance] | None = None,
    most_loss: float = MOST_LOSS,
    int8: bool = True,
    integers: bool = False,
    float_layers: Sequence[str] = (),
    standard: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write and verify a model directory.

    Args:
        network: the model, of number format float32.
        output: folder to write; an older model directory there is replaced.
        calibration: recordings that give int8 and integers their scales; None: those of the validation.
            A model with a quantisation has scales and takes none.
        validation: recordings on which WER is measured, and the word delay where they have enough
            words (`export.word_delay`); None: the bundled ones.
        most_loss: by which WER may rise, a fraction.
        int8: whether to write int8 graphs.
        integers: whether to give a model without a quantisation one that suits it on `calibration`.
        float_layers: to keep in float32 in int8, by `Specification.layer_names`.
        standard: write int8 and integers with operators of ONNX alone.
        progress: called as recordings are streamed.
    Raises:
        PrecisionError: int8 or integers lose more; it names the layers.
        ExportError: what was written computes something else. Nothing is left behind, whatever is raised.
        CausalityError: the model looks ahead.
        ModelError: the model cannot be written as float32 graphs, or its integers may overflow.
        AudioError: a recording cannot be decoded.
        ArgumentError: the arguments contradict each other or the model.
    """
    from export.build import build, calibrating

    given = network.specification.quantisation
    quantised = integers or given is not None
    heads = network.specification.heads
    if integers and "ctc" in heads:
        raise ArgumentError("--integers: integers have no ctc, which the model has; leave it out")
    network.specification.check_layers(float_layers, "--float-layers")
    if quantised and float_layers:
        raise ArgumentError("--float-layers: the model's integers know no float; leave it out")
    if given is not None and calibration is not None:
        raise ArgumentError(
            "--calibrate: the model has a quantisation and with it scales; leave it out"
        )
    # Figures of an older export are not those of this one.
    notes = {name: value for name, value in network.notes.items() if name not in {"export", *NOTES}}
    if "training" in notes:  # paths of the machine it ran on
        notes["training"] = without_places(notes["training"])
    network = replace(network, notes=notes)
    validation = recordings() if validation is None else validation
    calibration = validation if calibration is None else calibration

    def showing(what: str) -> Callable[[int, int], None] | None:
        return progress and (lambda done, total: progress(what, done, total))

    if quantised and given is None:
        network = calibrated(network, calibration, progress=showing("calibration"))
    network = measured(network, validation, showing("word delay"))
    ranges = None
    if int8 and (chosen := network.specification.quantisation) is not None:
        ranges = Ranges.of(chosen)
    elif int8:
        ranges = Calibration(
            network, calibrating(network), calibration, showing("calibration")
        ).ranges()
    files = build(
        network, ranges=ranges, float_layers=float_layers, integers=quantised, standard=standard
    )
    with directory.writing(network, output, files) as written:
        difference = verify(network, written)
        if not int8 and not quantised:
            return Exported(difference, None, None)
        read = open_model(written)
        baseline = Baseline(read, validation, progress)
        found = of_integers = None
        if ranges is not None:
            found = baseline.compare(read, "int8", "int8")
            if not found.loss <= most_loss:
                raise int8_error(network, ranges, baseline, most_loss, found, float_layers)
        if quantised:
            of_integers = baseline.compare(read, "integer-onnx", "integers")
            if not of_integers.loss <= most_loss:
                raise integer_error(network, baseline, most_loss, of_integers)
        if baseline.words:
            found_here = {"export": {"recordings": len(validation), "wer": baseline.rates}}
            directory.note(written, lambda notes: {**notes, **found_here})
        return Exported(difference, found, of_integers)
