"""The YAML configuration inside hardware checkpoints: made for a model, reduced, its keys checked.

Versions 1.2 to 1.5 keep the whole YAML of the training as `rnnt_config`, later ones the part that
`REDUCED` names. What a model does not record (dropout, augmentation) has Myrtle's defaults, since the
card does not read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream.encoders.lstm import PAIR
from stream.front_end.log_mel import BINS, FFT, HOP, SAMPLE_RATE
from stream.front_end.stacking import STACK
from stream.model.specification import Specification

# Values of the configuration that the arithmetic knows no other of: path -> value.
FIXED: dict[tuple[str, ...], float] = {
    ("input_val", "filterbank_features", "sample_rate"): SAMPLE_RATE,
    ("input_val", "filterbank_features", "window_stride"): HOP / SAMPLE_RATE,
    ("input_val", "filterbank_features", "n_fft"): FFT,
    ("input_val", "filterbank_features", "n_filt"): BINS,
    ("input_val", "frame_splicing", "frame_stacking"): STACK,
    ("input_val", "frame_splicing", "frame_subsampling"): STACK,
    ("rnnt", "in_feats"): BINS * STACK,
    ("rnnt", "enc_stack_time_factor"): PAIR,
    ("rnnt", "enc_batch_norm"): False,
    ("rnnt", "pred_batch_norm"): False,
}

LABELS = [" ", *"abcdefghijklmnopqrstuvwxyz", "'"]


def _filterbank(specification: Specification) -> dict[str, Any]:
    return {
        "normalize": "per_feature",
        "sample_rate": SAMPLE_RATE,
        "window_size": specification.window / SAMPLE_RATE,
        "window_stride": HOP / SAMPLE_RATE,
        "window": "hann",
        "n_fft": FFT,
        "n_filt": BINS,
        "dither": 1e-5,
    }


def _sizes(specification: Specification) -> dict[str, int]:
    return {
        "in_feats": BINS * STACK,
        "enc_n_hid": specification.hidden,
        "enc_pre_rnn_layers": specification.pre_layers,
        "enc_post_rnn_layers": specification.post_layers,
        "enc_stack_time_factor": PAIR,
        "pred_n_hid": specification.prediction_hidden,
        "pred_rnn_layers": specification.prediction_layers,
        "joint_n_hid": specification.joint,
    }


def full_config(specification: Specification, tokenizer: str) -> dict[str, Any]:
    """Return the whole YAML of generation 1.4 for a model; what the model does not record has defaults.

    Args:
        tokenizer: file name of the SentencePiece model.
    """
    audio = {"sample_rate": SAMPLE_RATE, "normalize_transcripts": False}
    splicing = {"frame_stacking": STACK, "frame_subsampling": STACK}
    hard = specification.activation == "hard"
    speed = {"min_rate": 0.85, "max_rate": 1.15, "p": 1.0}
    return {
        "tokenizer": {"sentpiece_model": tokenizer, "labels": list(LABELS)},
        "input_val": {
            "audio_dataset": {**audio, "trim_silence": False},
            "filterbank_features": _filterbank(specification),
            "frame_splicing": dict(splicing),
        },
        "input_train": {
            "audio_dataset": {
                **audio,
                "trim_silence": True,
                "max_duration": 20.0,
                "max_transcript_len": 450,
                "speed_perturbation": speed,
            },
            "filterbank_features": _filterbank(specification),
            "frame_splicing": dict(splicing),
            "spec_augment": {
                "freq_masks": 2,
                "min_freq": 0,
                "max_freq": 20,
                "time_masks": 10,
                "min_time": 0,
                "max_time": 0.03,
            },
        },
        "rnnt": {
            **_sizes(specification),
            "enc_dropout": 0.1,
            "enc_batch_norm": False,
            "pred_dropout": 0.3,
            "pred_batch_norm": False,
            "joint_dropout": 0.3,
            "joint_net_lr_factor": 0.343,
            "forget_gate_bias": 1.0,
            "custom_lstm": hard or specification.number_format == "bfp16",
            "hard_activation_functions": hard,
            "quantize": specification.number_format == "bfp16",
        },
    }


REDUCED = {
    "filterbank_features": tuple(_filterbank(Specification(vocabulary=1))),
    "frame_splicing": ("frame_stacking", "frame_subsampling"),
    "rnnt": tuple(_sizes(Specification(vocabulary=1))),
    "tokenizer": ("labels", "sentpiece_model"),
}


def reduced_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a full configuration that versions from 1.6 on keep.

    Raises:
        KeyError: a part of it is missing.
    """

    def part(section: Mapping[str, Any], name: str) -> dict[str, Any]:
        return {key: section[name][key] for key in REDUCED[name]}

    return {
        "input_val": {
            name: part(config["input_val"], name)
            for name in ("filterbank_features", "frame_splicing")
        },
        "rnnt": part(config, "rnnt"),
        "tokenizer": part(config, "tokenizer"),
    }


def _keys(names: str) -> dict[str, None]:
    return dict.fromkeys(names.split())


_AUDIO = _keys(
    "sample_rate trim_silence normalize_transcripts standardize_wer replacements remove_tags "
    "error_rate max_duration max_transcript_len min_duration"
)
_FEATURES = dict.fromkeys([*REDUCED["filterbank_features"], "stats_path"])
_SPLICING = dict.fromkeys(REDUCED["frame_splicing"])

# Keys of a version 1.14 YAML; None: a value of any kind. That version's export refuses others.
CONFIG_KEYS: dict[str, Any] = {
    "user_tokens": None,
    "tokenizer": _keys("sentpiece_model labels sampling"),
    "input_val": {
        "audio_dataset": _AUDIO,
        "filterbank_features": _FEATURES,
        "frame_splicing": _SPLICING,
    },
    "input_train": {
        "audio_dataset": {
            **_AUDIO,
            "standardize_text": None,
            "speed_perturbation": _keys("min_rate max_rate p"),
        },
        "filterbank_features": _FEATURES,
        "frame_splicing": _SPLICING,
        "spec_augment": _keys(
            "freq_masks min_freq max_freq time_masks min_time max_time noise_magnitude"
        ),
    },
    "rnnt": _keys(
        "in_feats enc_n_hid enc_pre_rnn_layers enc_post_rnn_layers enc_stack_time_factor "
        "enc_dropout enc_batch_norm enc_freeze pred_n_hid pred_rnn_layers pred_dropout "
        "pred_batch_norm joint_n_hid joint_dropout joint_net_lr_factor joint_apex_transducer "
        "joint_apex_relu_dropout forget_gate_bias custom_lstm hard_activation_functions "
        "quantize enc_rw_dropout pred_rw_dropout hidden_hidden_bias_scale weights_init_scale "
        "enc_lr_factor pred_lr_factor joint_enc_lr_factor joint_pred_lr_factor "
        "gpu_unavailable"
    ),
    "grad_noise_scheduler": _keys("noise_level decay_const start_step"),
    "ngram": _keys("ngram_path scale_factor"),
}


def unknown_keys(
    config: Mapping[str, Any], known: Mapping[str, Any] = CONFIG_KEYS, where: str = ""
) -> list[str]:
    """Return the paths of a configuration's keys that version 1.14 does not know."""
    found: list[str] = []
    for key, value in config.items():
        path = f"{where}{key}"
        if key not in known:
            found.append(path)
        elif known[key] is not None and isinstance(value, Mapping):
            found += unknown_keys(value, known[key], f"{path}.")
    return found
