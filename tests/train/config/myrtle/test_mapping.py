"""Myrtle's YAML: every key mapped, checked, noted or refused; placeholders named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hwckpt.configuration import CONFIG_KEYS, FIXED, full_config
from stream.model.specification import Specification
from train.config.file import load_config
from train.config.myrtle.rules import RULES
from train.config.run import Config, ConfigError

DATA = ["data.train=['train.json']", "data.dev=dev.json"]

# The template of generation 1.14's base model, as it is before their script fills it in.
TEMPLATE = """
user_tokens:
  eos: "<EOS>"
tokenizer:
  sentpiece_model: /datasets/sentencepieces/SENTENCEPIECE.model
  labels: [" ", "a", "b", "c", "'"]
  sampling: 0.05
input_val:
  audio_dataset: &val_dataset
    sample_rate: &sample_rate 16000
    trim_silence: false
    normalize_transcripts: lowercase
    standardize_wer: true
    replacements:
    remove_tags: true
    error_rate: word
  filterbank_features: &val_features
    normalize: per_feature
    sample_rate: *sample_rate
    window_size: 0.025
    window_stride: 0.01
    window: hann
    n_fft: 512
    n_filt: 80
    dither: 0.00001
    stats_path: /datasets/stats/STATS_SUBDIR
  frame_splicing: &val_splicing
    frame_stacking: 3
    frame_subsampling: 3
input_train:
  audio_dataset:
    !!merge <<: *val_dataset
    trim_silence: true
    max_duration: MAX_DURATION
    max_transcript_len: 450
    min_duration: 0.05
    speed_perturbation: {min_rate: 0.85, max_rate: 1.15, p: 1.0}
    standardize_text: true
  filterbank_features: *val_features
  frame_splicing: *val_splicing
  spec_augment: {freq_masks: 2, min_freq: 0, max_freq: 20, time_masks: 10, min_time: 0, max_time: 0.03}
rnnt:
  in_feats: 240
  enc_n_hid: 1024
  enc_pre_rnn_layers: 2
  enc_post_rnn_layers: 6
  enc_stack_time_factor: 2
  enc_dropout: 0.1
  enc_batch_norm: false
  enc_freeze: false
  pred_n_hid: 512
  pred_rnn_layers: 2
  pred_dropout: 0.3
  pred_batch_norm: false
  joint_n_hid: 768
  joint_dropout: 0.3
  joint_net_lr_factor: 0.343
  joint_apex_transducer: pack
  joint_apex_relu_dropout: true
  forget_gate_bias: 1.0
  custom_lstm: true
  quantize: false
  enc_rw_dropout: 0.0
  pred_rw_dropout: 0.0
grad_noise_scheduler: {noise_level: 0.0, decay_const: 0.55, start_step: 2000}
ngram:
  ngram_path: /datasets/ngrams/NGRAM_SUBDIR
  scale_factor: 0.05
"""
FILLED = (
    TEMPLATE.replace("SENTENCEPIECE", "sp8703")
    .replace("STATS_SUBDIR", "mine")
    .replace("MAX_DURATION", "16.7")
    .replace("NGRAM_SUBDIR", "four")
)


def loaded(content: str | dict[str, Any], folder: Path) -> tuple[Config, list[str]]:
    path, notes = folder / "base-8703sp_run.yaml", list[str]()
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_config(path, DATA, notes.append), notes


def test_the_base_template_filled_in_is_the_shipped_base(tmp_path: Path) -> None:
    config, notes = loaded(FILLED, tmp_path)
    shipped = load_config("base", DATA)
    assert config.specification(8703).shapes() == shipped.specification(8703).shapes()
    for table in (
        "optimiser",
        "loss",
        "dropout",
        "augmentation",
        "batches",
        "updates",
        "loss",
        "state_passing",
    ):
        assert getattr(config, table) == getattr(shipped, table)
    assert config.data.tokenizer == "/datasets/sentencepieces/sp8703.model"
    assert config.data.statistics == "/datasets/stats/mine"
    assert (config.data.min_seconds, config.data.max_seconds) == (0.05, 16.7)
    assert config.data.text == "standard"
    assert config.specification(8703).generation == "1.14"
    assert config.specification(8703).final_padding == 3840  # 0.24 s, as the card has it
    assert config.normalisation.stream_share == 0.0  # rows by themselves at first, as there
    assert config.ngram is not None
    assert (config.ngram.path, config.ngram.weight) == ("/datasets/ngrams/four/ngram.binary", 0.05)
    assert [note.partition(": ")[2].partition(" is not done")[0] for note in notes] == [
        "input_val.audio_dataset.standardize_wer = true",
        "input_train.audio_dataset.max_transcript_len = 450",
    ]


def test_placeholders_are_all_named_with_what_to_fill_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(TEMPLATE, tmp_path)
    message = str(caught.value)
    for key, name in (
        ("tokenizer.sentpiece_model", "SENTENCEPIECE"),
        ("input_train.filterbank_features.stats_path", "STATS_SUBDIR"),
        ("input_train.audio_dataset.max_duration", "MAX_DURATION"),
        ("ngram.ngram_path", "NGRAM_SUBDIR"),
    ):
        line = next(line for line in message.splitlines() if line.strip().startswith(key))
        assert f"put in place of {name} the " in line


def test_generation_1_4_is_hard_and_has_its_own_schedule(tmp_path: Path) -> None:
    config, _ = loaded(
        full_config(Specification(vocabulary=9, activation="hard"), "t.model"), tmp_path
    )
    assert config.specification(9).generation == "1.4"
    assert config.data.tokenizer == str(tmp_path / "t.model")
    assert config.data.text == "as-is"
    assert (config.optimiser.hold, config.optimiser.half_life) == (10_880, 2805)
    assert config.optimiser.weight_decay == 0.001
    assert config.augmentation.noise == 0.0
    assert config.augmentation.spellings == 1
    assert config.loss.delay_penalty == 0.0
    assert config.state_passing.chains == (1.0,)


def test_factors_freezing_and_noise_are_those_of_the_yaml(tmp_path: Path) -> None:
    content = yaml.safe_load(FILLED)
    content["rnnt"] |= {"enc_lr_factor": 0.5, "joint_pred_lr_factor": 2.0, "pred_lr_factor": 1.0}
    content["rnnt"]["enc_freeze"] = True
    content["grad_noise_scheduler"] = {"noise_level": 0.1, "decay_const": 0.6, "start_step": 5}
    optimiser = loaded(content, tmp_path)[0].optimiser
    assert optimiser.factors == {"encoder": 0.5, "joint.prediction": 2.0}
    assert optimiser.freeze == ("encoder",)
    assert optimiser.gradient_noise == 0.1
    assert (optimiser.gradient_noise_decay, optimiser.gradient_noise_start) == (0.6, 5)


@pytest.mark.parametrize("version", ["1.4.0", "1.14.0"])
def test_the_configurations_of_both_generations_are_read(version: str, golden: Path) -> None:
    config = load_config(golden / f"config_v{version}.yaml", DATA)
    assert config.specification(9).generation == version.removesuffix(".0")
    assert config.data.tokenizer is not None
    assert Path(config.data.tokenizer).exists()


def test_faults_of_a_yaml_are_named_together_by_its_keys(tmp_path: Path) -> None:
    content = yaml.safe_load(FILLED)
    content["rnnt"] |= {"enc_batch_norm": True, "pred_rw_dropout": 0.1, "enc_nhid": 1}
    del content["rnnt"]["joint_n_hid"]
    content["input_val"]["filterbank_features"] = {"window_size": 0.02, "n_fft": 1024}
    content["input_train"]["audio_dataset"]["speed_perturbation"]["p"] = 0.5
    content["input_train"]["audio_dataset"]["replacements"] = [{"old": "a", "new": "b"}]
    with pytest.raises(ConfigError) as caught:
        loaded(content, tmp_path)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert len(lines) == 8
    for start in (
        "rnnt.joint_n_hid is missing",
        "rnnt.enc_batch_norm is true, and Rill knows false only",
        "rnnt.pred_rw_dropout is 0.1, and Rill knows 0.0 only",
        "unknown key rnnt.enc_nhid = 1 (did you mean rnnt.enc_n_hid?)",
        "input_val.filterbank_features.n_fft is 1024, and Rill knows 512 only",
        "input_train.audio_dataset.replacements is [{",
        "input_train.audio_dataset.speed_perturbation is {",
    ):
        assert any(line.startswith(start) for line in lines), start
    assert any("window_size asks for model.window = " in line for line in lines)


def test_a_value_that_is_out_of_range_here_is_named_by_both_keys(tmp_path: Path) -> None:
    path = tmp_path / "base-8703sp_run.yaml"
    with pytest.raises(ConfigError) as caught:
        loaded(FILLED.replace("enc_n_hid: 1024", "enc_n_hid: -4"), tmp_path)
    assert str(caught.value) == (f"{path}: rnnt.enc_n_hid: hidden is -4, wants at least 1")


def test_a_file_of_ones_own_extends_a_yaml(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text(FILLED)
    path = tmp_path / "mine.toml"
    path.write_text(
        'extends = "theirs.yaml"\n[data]\ndev = "d"\ntrain = [{ myrtle = "t.json", root = "/d" }]\n'
    )
    config = load_config(path)
    assert config.data.sources[0].format == "myrtle"
    assert config.model["post_layers"] == 6


@pytest.mark.parametrize(
    ("content", "message"), [("a: [", "not YAML"), ("- 3", "is a list, wants")]
)
def test_what_is_no_configuration_is_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"base-8703sp_run.yaml: {message}"):
        loaded(content, tmp_path)


def keys(known: dict[str, Any], prefix: str = "") -> set[str]:
    """The dotted names of a nested table of keys; a table that has a rule of its own is one of them."""
    found = set()
    for key, inner in known.items():
        name = f"{prefix}{key}"
        found |= {name} if inner is None or name in RULES else keys(inner, f"{name}.")
    return found


def test_every_key_that_myrtles_export_knows_has_a_rule() -> None:
    limits = {"max_duration", "min_duration", "max_transcript_len"}  # of training alone
    known = keys(CONFIG_KEYS) - {f"input_val.audio_dataset.{key}" for key in limits}
    assert known - RULES.keys() == {"user_tokens"}  # whose keys are RULES'
    assert RULES.keys() - known == {"user_tokens.eos", "user_tokens.star"}
    assert {".".join(path) for path in FIXED} <= RULES.keys()
