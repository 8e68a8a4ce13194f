from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hwckpt.conversion import convert, read_statistics
from hwckpt.convert import main
from hwckpt.reader import CheckpointError, read_checkpoint


@pytest.fixture
def files(golden: Path, tmp_path: Path) -> Path:
    """A writable copy of the generation 1.14 training checkpoint and everything beside it."""
    for name in ("train_ckpt_v1.14.0.pt", "config_v1.14.0.yaml", "spm_v1.14.0.model"):
        shutil.copy(golden / name, tmp_path)
    for name in ("stats_v1.14.0", "ngram_v1.14.0"):
        shutil.copytree(golden / name, tmp_path / name)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_generation_1_14_converts_to_the_golden_file(golden: Path) -> None:
    got = convert(golden / "train_ckpt_v1.14.0.pt", golden / "config_v1.14.0.yaml", "1.14")
    assert got.differences(read_checkpoint(golden / "hwckpt_v1.14.0.pt")) == []


def test_generation_1_4_converts_to_the_golden_file(golden: Path) -> None:
    got = convert(
        golden / "train_ckpt_v1.4.0.pt",
        golden / "config_v1.4.0.yaml",
        "1.4",
        statistics=(golden / "melmeans_v1.4.0.pt", golden / "melvars_v1.4.0.pt"),
    )
    assert got.differences(read_checkpoint(golden / "hwckpt_v1.4.0.pt")) == []


@pytest.mark.parametrize("generation", ["1.4", "1.14"])
def test_the_command_writes_the_golden_file(
    golden: Path, tmp_path: Path, generation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    version, output = f"{generation}.0", tmp_path / "out.hw.pt"
    statistics = ["--statistics", *(str(golden / f"mel{k}_v1.4.0.pt") for k in ("means", "vars"))]
    status = main(
        [
            *("--ckpt", str(golden / f"train_ckpt_v{version}.pt")),
            *("--config", str(golden / f"config_v{version}.yaml")),
            *("--format", generation, "--output", str(output)),
            *(statistics if generation == "1.4" else []),
        ]
    )
    assert status == 0
    assert f"version {version}" in capsys.readouterr().out
    assert (
        read_checkpoint(output).differences(read_checkpoint(golden / f"hwckpt_v{version}.pt")) == []
    )


def test_the_default_output_stands_beside_the_checkpoint(files: Path) -> None:
    ckpt, config = files / "train_ckpt_v1.14.0.pt", files / "config_v1.14.0.yaml"
    assert main(["--ckpt", str(ckpt), "--config", str(config), "--format", "1.14"]) == 0
    assert (files / "train_ckpt_v1.14.0.hw.pt").is_file()


def test_arguments_replace_what_the_configuration_names(files: Path) -> None:
    for old, new in (("stats_v1.14.0", "s"), ("spm_v1.14.0.model", "m"), ("ngram_v1.14.0", "n")):
        (files / old).rename(files / new)
    got = convert(
        files / "train_ckpt_v1.14.0.pt",
        files / "config_v1.14.0.yaml",
        "1.14",
        statistics=files / "s",
        tokenizer=files / "m",
        ngram=files / "n" / "ngram.binary",
    )
    assert got.ngram is not None
    assert got.ngram.binary == (files / "n" / "ngram.binary").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  enc_n_hid:", "  enc_n_hidden: 1\n  enc_n_hid:", "unknown key rnnt.enc_n_hidden"),
        ("  sentpiece_model: spm_v1.14.0.model\n", "", "tokenizer.sentpiece_model is None"),
        ("    n_fft: 512\n", "", "key 'n_fft' is missing"),
        ("scale_factor: 0.05", "scale_factor: much", "ngram.scale_factor is 'much'"),
        ("user_tokens:", "user_tokens: [", "not YAML"),
    ],
)
def test_a_configuration_of_1_14_that_is_wrong_is_named(
    files: Path, old: str, new: str, message: str
) -> None:
    config = files / "config_v1.14.0.yaml"
    edit(config, old, new)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert(files / "train_ckpt_v1.14.0.pt", config, "1.14")
    assert caught.value.path == config


def test_no_ngram_in_the_configuration_is_an_empty_entry(files: Path) -> None:
    config = files / "config_v1.14.0.yaml"
    edit(config, "ngram:\n  ngram_path: ngram_v1.14.0\n  scale_factor: 0.05\n", "")
    got = convert(files / "train_ckpt_v1.14.0.pt", config, "1.14").ngram
    assert got is not None
    assert (got.binary, got.scale_factor) == (None, None)


def test_two_tokenizer_lines_are_an_error_in_1_4(golden: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    text = (golden / "config_v1.4.0.yaml").read_text()
    config.write_text(text + "# sentpiece_model: old.model\n")
    with pytest.raises(CheckpointError, match="2 different lines say sentpiece_model:"):
        convert(golden / "train_ckpt_v1.4.0.pt", config, "1.4", statistics=tmp_path)


def test_an_alpha_is_for_1_4_only(golden: Path) -> None:
    ckpt, config = golden / "train_ckpt_v1.14.0.pt", golden / "config_v1.14.0.yaml"
    with pytest.raises(CheckpointError, match="melalpha is 0.01"):
        convert(ckpt, config, "1.14", alpha=0.01)


def test_1_4_needs_statistics(golden: Path) -> None:
    with pytest.raises(CheckpointError, match="give --statistics"):
        convert(golden / "train_ckpt_v1.4.0.pt", golden / "config_v1.4.0.yaml", "1.4")


def test_statistics_of_another_size_are_refused(golden: Path) -> None:
    with pytest.raises(CheckpointError, match=r"\(1,\), wants float32 \(80,\)"):
        read_statistics((golden / "meln_v1.4.0.pt", golden / "melvars_v1.4.0.pt"))


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("logmel_norm_weight", 0.4, "logmel_norm_weight is 0.4, wants 1.0"),
        ("ema_state_dict", None, "ema_state_dict is None: it was trained without averaging"),
        ("epoch", "7", "epoch is a str, wants int"),
    ],
)
def test_a_training_checkpoint_that_cannot_be_exported_says_why(
    files: Path, entry: str, value: object, message: str
) -> None:
    torch = pytest.importorskip("torch")
    from hwckpt.torch_file.container import TorchFile

    path = files / "train_ckpt_v1.14.0.pt"
    with TorchFile(path) as file:
        weights = {
            k: torch.tensor(file.array(t)) for k, t in file.content["ema_state_dict"].items()
        }
    content = {"epoch": 7, "step": 1, "best_wer": 0.1, "logmel_norm_weight": 1.0}
    torch.save({**content, "ema_state_dict": weights, entry: value}, path)
    with pytest.raises(CheckpointError, match=message):
        convert(path, files / "config_v1.14.0.yaml", "1.14")


@pytest.mark.parametrize("missing", ["spm_v1.14.0.model", "stats_v1.14.0", "ngram_v1.14.0"])
def test_a_missing_file_is_named_and_nothing_is_written(
    files: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / missing).rename(files / "elsewhere")
    ckpt, config = files / "train_ckpt_v1.14.0.pt", files / "config_v1.14.0.yaml"
    assert main(["--ckpt", str(ckpt), "--config", str(config), "--format", "1.14"]) == 3
    assert missing in capsys.readouterr().err
    assert not list(files.glob("*.hw.pt*"))


def test_a_hardware_checkpoint_is_no_training_checkpoint(golden: Path) -> None:
    config = golden / "config_v1.14.0.yaml"
    with pytest.raises(CheckpointError, match="is not a training checkpoint"):
        convert(golden / "hwckpt_v1.14.0.pt", config, "1.14")


def test_a_byte_order_mark_and_windows_line_ends_are_taken(files: Path, golden: Path) -> None:
    config = files / "config_v1.14.0.yaml"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes().replace(b"\n", b"\r\n"))
    got = convert(files / "train_ckpt_v1.14.0.pt", config, "1.14")
    assert got.differences(read_checkpoint(golden / "hwckpt_v1.14.0.pt")) == []


def test_a_configuration_in_utf_16_is_refused_by_name(files: Path) -> None:
    config = files / "config_v1.14.0.yaml"
    config.write_bytes(config.read_text().encode("utf-16"))
    with pytest.raises(CheckpointError, match=r"config_v1.14.0.yaml: is UTF-16; save it as UTF-8"):
        convert(files / "train_ckpt_v1.14.0.pt", config, "1.14")
