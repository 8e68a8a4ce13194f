"""Convert Myrtle's training checkpoint, statistics, tokenizer and YAML to a hardware checkpoint.

1. The weights are the averaged ones (`ema_state_dict`), under the plain name and in their order.
2. Paths in the YAML count from the YAML's folder; the arguments replace them.
3. 1.4: the tokenizer is on the YAML line that says `sentpiece_model:`, the statistics are named by
   argument, melalpha too, and the whole YAML is kept.
4. 1.14: `tokenizer.sentpiece_model`, `input_val.filterbank_features.stats_path`/melmeans.pt,
   melvars.pt and `ngram.ngram_path`/ngram.binary; melalpha is 0, part of the YAML is kept, a key
   that version does not know is an error, and so is a run whose normalisation was still changing
   (logmel_norm_weight).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hwckpt import configuration, layout
from hwckpt.checkpoint import HardwareCheckpoint, Ngram
from hwckpt.reader import Entries, metadata_of, state_dict_of, statistics_of
from hwckpt.torch_file.container import CheckpointError, TorchFile
from hwckpt.writer import VERSIONS
from stream.files.text import TextError, read_text
from stream.stage import Floats

ALPHA = 0.001  # default of 1.4's export


def convert(
    checkpoint: Path,
    config: Path,
    format: layout.Format,
    *,
    statistics: Path | tuple[Path, Path] | None = None,
    tokenizer: Path | None = None,
    ngram: Path | None = None,
    alpha: float | None = None,
) -> HardwareCheckpoint:
    """Join a training checkpoint and the files beside it into a hardware checkpoint.

    Args:
        checkpoint: of Myrtle's training.
        config: its YAML.
        format: the generation that wrote both.
        statistics: folder with melmeans.pt and melvars.pt, or those two files; None: the YAML's
            stats_path.
        tokenizer: SentencePiece model; None: the YAML's.
        ngram: KenLM binary; None: the YAML's, where it names one.
        alpha: weight of a new frame in the running statistics, 0.001 if None; 1.14 has 0 only.
    Raises:
        CheckpointError: a part is missing, broken, or unknown to the generation.
        FileNotFoundError: a file that the YAML or an argument names is not there.
    """
    try:
        text = read_text(config)
    except TextError as error:
        raise CheckpointError(str(error), config) from error
    settings = _settings(text, config)
    if format == "1.14":
        unknown = configuration.unknown_keys(settings)
        if unknown:
            raise CheckpointError(f"unknown key {unknown[0]}; version 1.14 refuses it", config)
        if alpha:
            raise CheckpointError(f"melalpha is {alpha}; version 1.14 has 0, global statistics")
        named = _setting(settings, config, "tokenizer", "sentpiece_model")
    else:
        named = _tokenizer_line(text, config)
    if statistics is None:
        if format == "1.4":
            raise CheckpointError("names no statistics; give --statistics", config)
        where = ("input_val", "filterbank_features", "stats_path")
        statistics = config.parent / _setting(settings, config, *where)
    means, variances = read_statistics(statistics)
    with TorchFile(checkpoint) as file:
        content = _training_content(file, format)
        entry = Entries(content, checkpoint)
        return HardwareCheckpoint(
            state_dict=state_dict_of(file, "ema_state_dict"),
            epoch=entry.of("epoch", int),
            step=entry.of("step", int),
            best_wer=entry.of("best_wer", float, int),
            melmeans=means,
            melvars=variances,
            melalpha=0.0 if format == "1.14" else ALPHA if alpha is None else alpha,
            sentpiece_model=(tokenizer or config.parent / named).read_bytes(),
            version=VERSIONS[format],
            rnnt_config=settings if format == "1.4" else _reduced(settings, config),
            ngram=_ngram(settings, config, ngram) if format == "1.14" else None,
            metadata=metadata_of(content["ema_state_dict"]),
        )


def read_statistics(where: Path | tuple[Path, Path]) -> tuple[Floats, Floats]:
    """Return mean and variance of log-mel, each (80,), from statistics files.

    Args:
        where: the two files, or the folder with melmeans.pt and melvars.pt.
    Raises:
        CheckpointError: a file is not a float32 tensor of 80.
    """
    files = where if isinstance(where, tuple) else (where / "melmeans.pt", where / "melvars.pt")
    return _statistics(files[0]), _statistics(files[1])


def _statistics(path: Path) -> Floats:
    with TorchFile(path) as file:
        return statistics_of(file, file.content, "its content")


def _settings(text: str, path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CheckpointError(f"not YAML: {error}", path) from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"is a {type(settings).__name__}, wants sections", path)
    return settings


def _setting(settings: Mapping[str, Any], path: Path, *keys: str) -> str:
    value: Any = settings
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(value, str):
        raise CheckpointError(f"{'.'.join(keys)} is {value!r}, wants a path", path)
    return value


def _tokenizer_line(text: str, path: Path) -> str:
    word = "sentpiece_model:"
    values = {line.split(word, 1)[1].strip() for line in text.splitlines() if word in line}
    if len(values) != 1:
        raise CheckpointError(f"{len(values)} different lines say {word}, wants one", path)
    return _setting(_settings(f"{word} {values.pop()}", path), path, "sentpiece_model")


def _reduced(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    try:
        return configuration.reduced_config(settings)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"key {error} is missing", path) from error


def _ngram(settings: Mapping[str, Any], config: Path, given: Path | None) -> Ngram:
    section = settings.get("ngram")
    if section is None and given is None:
        return Ngram()
    scale = section.get("scale_factor") if isinstance(section, Mapping) else None
    if type(scale) not in (int, float):
        raise CheckpointError(f"ngram.scale_factor is {scale!r}, wants a number", config)
    path = (
        given or config.parent / _setting(settings, config, "ngram", "ngram_path") / "ngram.binary"
    )
    return Ngram(path.read_bytes(), scale)


def _training_content(file: TorchFile, format: layout.Format) -> dict[str, Any]:
    content = file.content
    if not isinstance(content, dict) or "ema_state_dict" not in content:
        raise CheckpointError("is not a training checkpoint: it has no ema_state_dict", file.path)
    if content["ema_state_dict"] is None:
        raise CheckpointError(
            "ema_state_dict is None: it was trained without averaging, and only averages are exported",
            file.path,
        )
    if format == "1.14" and content.get("logmel_norm_weight") != 1.0:
        raise CheckpointError(
            f"logmel_norm_weight is {content.get('logmel_norm_weight')}, wants 1.0: the model was "
            "not yet trained on global statistics alone. Train longer, or use --format 1.4",
            file.path,
        )
    return content
