"""Configurations: inheritance, overrides, and errors that name file, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from train.config import ConfigError, load_config, resolve

SMALL = """
updates = 10
[model]
hidden = 16
pre_layers = 1
post_layers = 1
prediction_layers = 1
prediction_hidden = 8
joint = 16
[data]
train = ["train.jsonl"]
dev = "dev.jsonl"
tokenizer = "t.model"
statistics = "s.npz"
[batches]
weights = { a = 2.0 }
[augmentation]
[optimiser]
rate = 0.01
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_the_bundled_configurations_are_valid() -> None:
    folder = Path(__file__).parents[2] / "configs"
    files = sorted(folder.glob("*.toml"))
    assert files
    for path in files:
        assert load_config(path).updates > 0


def test_extended_tables_are_merged_and_the_nearer_file_wins(small: Path, tmp_path: Path) -> None:
    below = tmp_path / "sub"
    below.mkdir()
    (below / "hard.toml").write_text(
        'extends = "../small.toml"\nupdates = 3\n[model]\nactivation = "hard"\n'
    )
    config = load_config(below / "hard.toml")
    assert config.updates == 3
    assert config.model["activation"] == "hard"
    assert config.model["hidden"] == 16
    assert config.optimiser.rate == 0.01


def test_overrides_are_typed_and_the_last_wins(small: Path) -> None:
    config = load_config(
        small,
        ["optimiser.rate=0.5", "optimiser.rate=0.25", "data.dev=other.jsonl", "data.noise=n n"],
    )
    assert config.optimiser.rate == 0.25
    assert config.data.dev == "other.jsonl"
    assert config.data.noise == "n n"
    assert load_config(small, ["batches.weights={ b = 3 }"]).batches.weights == {"b": 3.0}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimiser.speed=1", r"small.toml: .*unknown field `speed`.*optimiser"),
        ("optimiser.rate=fast", r"Expected `float`.*optimiser.rate"),
        ("optimiser.min_rate=1.0", r"min_rate 1.0 wants 0 < min_rate <= rate"),
        ("dropout.joint=1.0", r"dropout.joint is 1.0, wants 0 <= p < 1"),
        ("augmentation.noise=2.0", r"augmentation.noise is 2.0, wants 0 to 1"),
        ("augmentation.gain_db=[6, -6]", r"gain_db is \[6.0, -6.0\], wants the lower end first"),
        ("batches.join=-1", r"batches.join is -1.0, wants 0 to 1"),
        ("updates=0", r"updates is 0, wants at least 1"),
        ("model.vocabulary=7", r"model.vocabulary follows from the tokenizer"),
        ("model.activation=warm", r"warm"),
        ("model.hidden=-4", r"hidden"),
        ("precision=float16", r"float16.*precision"),
        ("updates", r"--set updates: wants KEY=VALUE"),
        ("updates.more=1", r"updates is not a table"),
    ],
)
def test_a_wrong_value_is_named(small: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_config(small, [override])


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: no such configuration"):
        load_config(tmp_path / "none.toml")
    for content in (b"updates = ", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad.toml: not TOML"):
            load_config(tmp_path / "bad.toml")
    (tmp_path / "up.toml").write_text('extends = "gone.toml"\n')
    with pytest.raises(ConfigError, match=r"gone.toml: no such configuration"):
        load_config(tmp_path / "up.toml")


def test_a_file_that_extends_itself_is_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(ConfigError, match=r"extends itself"):
        load_config(tmp_path / "a.toml")


def test_paths_take_variables_and_name_the_one_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RILL_X", "/here")
    monkeypatch.delenv("RILL_Y", raising=False)
    assert resolve("$RILL_X/a.jsonl") == Path("/here/a.jsonl")
    assert resolve("${RILL_X}/a.jsonl") == Path("/here/a.jsonl")
    for name in ("$RILL_Y/a.jsonl", "${RILL_Y}/a.jsonl"):
        with pytest.raises(ConfigError, match="set the environment variable RILL_Y"):
            resolve(name)
