"""Assembly of a run: what its configuration names is read, checked and put together."""

from __future__ import annotations

from stream.audio import read_audio
from stream.vocabulary import Vocabulary
from train.config.file import resolve
from train.config.run import Config
from train.data.rows import Rows
from train.run.start import Material, Start
from train.run.training_set import spelt_utterances, training_set
from train.text.spellings import Spellings


def material_of(config: Config, start: Start) -> Material:
    """Read the recordings and transcripts that a run learns from and is scored on.

    Raises:
        ConfigError: the configuration does not fit the recordings.
        ManifestError, AudioError: a manifest or a recording cannot be used.
    """
    data, vocabulary = config.data, Vocabulary(start.tokenizer)
    dev = spelt_utterances(data.dev_source, data, vocabulary)
    noise = sorted(resolve(data.noise).iterdir()) if data.noise else []
    rows = Rows(
        [read_audio(path) for path in noise],
        config.batches,
        config.augmentation,
        config.seed,
        _spellings(config, start.tokenizer),
    )
    dev_audio = [u.read() for u in dev]
    train = training_set(config, rows, start.tokenizer)
    return Material(train.batches, dev, dev_audio, train.hours, train.workers, train.skip_limit)


def _spellings(config: Config, tokenizer: bytes) -> Spellings | None:
    """Return what tokens are drawn from, where the configuration has more than one spelling."""
    if config.augmentation.spellings == 1:
        return None
    return Spellings(tokenizer, config.augmentation.spellings, config.augmentation.spelling_alpha)
