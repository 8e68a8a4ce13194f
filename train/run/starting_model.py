"""The model that a run trains: its specification, with formats measured where it is quantised, and weights."""

from __future__ import annotations

import msgspec
import torch

from stream.model.quantisation import Quantisation, joint_exponent
from stream.model.specification import ModelError, Specification
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.checkpoints.resume import Resumed
from train.config.learning import Dropout
from train.config.run import Config, ConfigError
from train.model import Transducer
from train.run.inputs import InputFrames
from train.run.integer_formats import largest_joint, weight_bits
from train.run.material import Material
from train.run.start import Start
from train.run.transfer import Transfer

CALIBRATION_BATCHES = 8
DECODERS = ("prediction.", "embedding.", "joint_prediction.", "output.", "ctc.")  # in a state
MEL = "mel."  # of a start with a fixed bank there is none, and the one that is drawn is that bank


def starting_model(
    config: Config, start: Start, specification: Specification, dropout: Dropout
) -> tuple[Transducer, Transfer | None]:
    """Return a model with the weights that a run starts from, and what it took in part; sets torch's seed.

    Raises:
        ConfigError: nothing fits of a part that `init` asks for.
        ModelError: the weights are of another model.
    """
    model = Transducer(specification, normalised=config.quantize == "none", dropout=dropout)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    model.initialise(generator, config.loss.blank_prior)
    own = model.state_dict()
    if start.weights is not None and config.init is not None:
        vocabularies = [Vocabulary(each) for each in (start.tokenizer, start.spelling)]
        pieces = [vocabulary.pieces for vocabulary in vocabularies]
        transfer = Transfer(own, start.weights, config.init, *pieces)
        model.load_state_dict(transfer.weights)
        return model, transfer
    if start.weights is not None:
        # Decoders that the start has not stay as drawn, those that the run has not are left out.
        weights = {k: v for k, v in own.items() if k.startswith((*DECODERS, MEL))}
        weights |= {
            k: v for k, v in start.weights.items() if k in own or not k.startswith(DECODERS)
        }
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelError(f"the weights to start from do not fit: {error}") from error
    return model, None


def specification_of(
    config: Config,
    start: Start,
    material: Material,
    frames: InputFrames,
    pieces: int,
    resumed: Resumed | None,
) -> Specification:
    """Return the specification of a run's model.

    Args:
        config, start, material: of the run.
        frames: the inputs of its batches, for the formats of a quantised run.
        pieces: of its tokenizer.
        resumed: the checkpoint that it resumes from, which has these formats, or None.
    Raises:
        ConfigError: a quantised run starts from nothing.
        ModelError: the checkpoint is not of a quantised model.
    """
    specification = config.specification(pieces)
    if config.quantize != "none" and start.weights is None and resumed is None:
        raise ConfigError(f"quantize = {config.quantize} fine-tunes: name a model with --init-from")
    if config.quantize not in ("int8", "w4a8"):
        return specification
    if resumed is not None:
        before = checkpoint.specification_of(resumed.content, resumed.path).quantisation
        if before is None:
            raise ModelError("was not quantised; choose another --output", resumed.path)
        exponent = before.joint
    else:
        model, _ = starting_model(config, start, specification, Dropout(0.0, 0.0, 0.0, 0.0))
        model.eval()
        drawn = (material.batches.batch(number) for number in range(CALIBRATION_BATCHES))
        inputs = (frames.of(batch, model.front_end) for batch in drawn)
        exponent = joint_exponent(largest_joint(model, inputs))
    quantisation = Quantisation(
        joint=exponent, weight_bits=weight_bits(config.quantize, specification)
    )
    return msgspec.structs.replace(specification, quantisation=quantisation)
