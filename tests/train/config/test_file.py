"""Configurations: inheritance, overrides, and errors that name file, key and value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.places import REPOSITORY

pytest.importorskip("torch")

from train.config.file import INEFFECTIVE, load_config, resolve
from train.config.learning import Dropout
from train.config.run import Config, ConfigError

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
    folder = REPOSITORY / "configs"
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
        ("optimiser.speed=1", r"unknown key optimiser.speed \(did you mean augmentation.speed\?\)"),
        ("optimiser.rate=fast", r"optimiser.rate is 'fast', wants a number"),
        ("optimiser.min_rate=1.0", r"min_rate 1.0 wants 0 < min_rate <= rate"),
        ("dropout.joint=1.0", r"dropout.joint is 1.0, wants 0 <= p < 1"),
        ("augmentation.noise=2.0", r"augmentation.noise is 2.0, wants 0 to 1"),
        ("augmentation.gain_db=[6, -6]", r"gain_db is \[6.0, -6.0\], wants the lower end first"),
        ("batches.join=-1", r"batches.join is -1.0, wants 0 to 1"),
        ("updates=0", r"updates is 0, wants at least 1"),
        ("model.vocabulary=7", r"model.vocabulary follows from the tokenizer"),
        ("model.activation=warm", r"warm"),
        ("model.hidden=-4", r"hidden"),
        ("precision=float8", r"precision is 'float8', wants auto, bfloat16, float16, float32"),
        ("device=gpu", r"device is gpu, wants auto, cpu, cuda, cuda:1 or mps"),
        ("batches.accumulate=0", r"batches.accumulate is 0, wants at least 1"),
        ("updates", r"--set updates: wants KEY=VALUE"),
        ("updates.more=1", r"updates is not a table"),
        ("data.dev.x.y=1", r"--set data.dev.x.y=1: dev is not a table"),
        ("=1", r"--set =1: wants KEY=VALUE"),
        ("a..b=1", r"unknown key a$"),
        ("extends=small.toml", r"unknown key extends"),
        ("optimiser=1", r"optimiser is 1, wants a table"),
        ("data.train=a.jsonl", r"data.train is 'a.jsonl', wants a list"),
        ("updates=10.5", r"updates is 10.5, wants a whole number"),
        ("updates=true", r"updates is true, wants a whole number"),
        ("updates=", r"updates is '', wants a whole number"),
        ("model.hiden=4", r"unknown key model.hiden \(did you mean model.hidden\?\)"),
        ("model.hidden=wide", r"model.hidden is 'wide', wants a whole number"),
        ("optimiser.rate=nan", r"min_rate 0.0002 wants 0 < min_rate <= rate"),
        ("optimiser.min_rate=0.0", r"min_rate 0.0 wants 0 < min_rate <= rate"),
        ("optimiser.ema=1.0", r"ema is 1.0, wants 0 <= ema < 1"),
        ("optimiser.beta1=-0.1", r"beta1 is -0.1, wants 0 <= beta1 < 1"),
        ("optimiser.beta2=1", r"beta2 is 1.0, wants 0 <= beta2 < 1"),
        ("optimiser.clip_norm=0", r"clip_norm is 0.0, wants more than 0"),
        ("optimiser.clip_norm=nan", r"clip_norm is nan, wants more than 0"),
        (
            "state_passing.chains=[0.0, 0.0]",
            r"chains is \[0.0, 0.0\], wants weights of chains of 1",
        ),
        ("state_passing.delay=-1", r"state_passing.delay is -1, wants at least 0"),
        ("optimiser.eps=0", r"eps is 0.0, wants more than 0"),
        ("optimiser.eden_epochs=0", r"eden_epochs is 0.0, wants more than 0"),
        ("optimiser.weight_decay=-1", r"weight_decay is -1.0, wants at least 0"),
        ("optimiser.schedule=stairs", r"optimiser.schedule is 'stairs'"),
        ("optimiser.kind=sgd", r"optimiser.kind is 'sgd'"),
        ("optimiser.factors={ encoder = 0 }", r"encoder is 0.0, wants more than 0. For 0: optimis"),
        ("optimiser.warmup=soon", r"warmup is 'soon', wants updates, as 500, or epochs"),
        ("optimiser.freeze_until={ encoder = 0 }", r"freeze_until: encoder is 0, wants at least 1"),
        ("optimiser.half_life=0", r"half_life is 0, wants at least 1"),
        ("loss.help_updates=0", r"help_updates is 0, wants at least 1"),
        ("loss.blank_prior=1", r"blank_prior is 1.0, wants a probability from 0, below 1"),
        ("loss.star_penalty=0", r"star_penalty is 0.0, wants more than 0, 1 at most"),
        ("dropout.encoder=nan", r"dropout.encoder is nan, wants 0 <= p < 1"),
        ("checkpoint_every=0", r"checkpoint_every is 0, wants at least 1"),
        ("epochs=0", r"epochs is 0.0, wants more than 0"),
        ("epochs=inf", r"epochs is inf, wants more than 0"),
        (
            "checkpoint_every=often",
            r"checkpoint_every is 'often', wants updates, as 500, or epochs",
        ),
        ("milestones=[0]", r"milestones is 0, wants at least 1"),
        ("milestone_every=0", r"milestone_every is 0, wants at least 1"),
        ("patience=0", r"patience is 0, wants at least 1"),
        ("log.every=0", r"log.every is 0, wants at least 1"),
        ("log.samples=-1", r"log.samples is -1, wants at least 0"),
        ('log.to=["wandb","wandb"]', r"log.to names a logger twice: wandb, wandb"),
        ("log.project=", r"log.project is empty"),
        ("min_delta=-0.1", r"min_delta is -0.1, wants 0 <= min_delta < 1"),
        ("keep=1", r"keep is 1, wants true or false"),
        ("seed=-1", r"seed is -1, wants at least 0"),
    ],
)
def test_a_wrong_value_is_named(small: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}") as caught:
        load_config(small, [override])
    assert str(caught.value).startswith(f"--set {override}: ")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.decoder=both", "loss.ctc=0.0"], "loss.ctc is 0.0, model.decoder = both wants"),
        (
            [
                "model.decoder=ctc",
                "quantize=int8",
                "model.activation=hard",
                "dropout.recurrent=0.0",
            ],
            "model.decoder is ctc, quantize = int8 wants transducer",
        ),
        (["head=ctc"], "head is 'ctc'; the model has only 'transducer'"),
        (["model.decoder=rnnt"], "model.decoder is 'rnnt', wants"),
    ],
)
def test_a_decoder_that_cannot_be_trained_so_is_named(
    small: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(small, overrides)


@pytest.mark.parametrize("table", ["model", "data"])
def test_a_missing_table_is_named(small: Path, table: str) -> None:
    sections = SMALL.split("\n[")
    small.write_text("\n[".join(x for x in sections if not x.startswith(table)))
    with pytest.raises(ConfigError, match=f"small.toml: {table} is missing: "):
        load_config(small)


@pytest.mark.parametrize("key", ["dev", "train"])
def test_a_missing_path_is_named(small: Path, key: str) -> None:
    small.write_text("".join(x for x in SMALL.splitlines(True) if not x.startswith(key)))
    with pytest.raises(ConfigError, match=rf"small.toml: data.{key} is missing: "):
        load_config(small)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("optimiser.rate=1", 1.0),
        (" optimiser.rate = 5e-3 ", 5e-3),
        ("optimiser.rate=0.5 # higher", 0.5),
    ],
)
def test_an_override_is_read_as_toml(small: Path, override: str, value: float) -> None:
    assert load_config(small, [override]).optimiser.rate == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.jsonl", "a.jsonl"),
        ("$RILL_X/a.jsonl", "$RILL_X/a.jsonl"),
        ("a=b.jsonl", "a=b.jsonl"),
        ('"7"', "7"),
        ("", ""),
    ],
)
def test_an_override_that_is_no_toml_is_a_string(small: Path, text: str, value: str) -> None:
    assert load_config(small, [f"data.dev={text}"]).data.dev == value


def test_an_override_makes_the_table_that_the_file_leaves_out(small: Path) -> None:
    assert load_config(small).dropout == Dropout()
    assert load_config(small, ["dropout.joint=0.25"]).dropout == Dropout(joint=0.25)


def test_a_configuration_survives_the_way_through_a_checkpoint(small: Path) -> None:
    config = load_config(small, ["freeze_norms_from=5", "augmentation.gain_db=[-3, 3]"])
    assert msgspec.convert(msgspec.to_builtins(config), Config) == config
    assert config.specification(31).blank == 31


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batches.repeat=0.2"], "--set batches.repeat has no effect, since batches.join is 0"),
        (["batches.short_seconds=2.0", "batches.join_from=0"], "batches.join_from is 0"),
        (["augmentation.noise=0", "augmentation.noise_snr_db=[1.0, 2.0]"], "augmentation.noise is"),
        (["loss.star_penalty=0.5"], "loss.star is not set"),
        (["loss.ctc=0.0", "loss.help_updates=5"], "loss.bag is 0, and so is loss.ctc"),
        (["model.decoder=both", "loss.help_updates=5"], "it is the weight of a CTC head"),
        (["model.decoder=ctc", "loss.ctc=0.5"], "model.decoder is ctc, whose loss has the weight"),
        (["model.decoder=ctc", "dropout.joint=0.5"], "there is no transducer"),
        (["data.pieces=50"], "data.tokenizer names a tokenizer"),
        (["optimiser.half_life=9"], "or the run ends before the rate falls"),
        (["optimiser.schedule=cosine", "optimiser.half_life=9"], "optimiser.schedule is another"),
        (["optimiser.schedule=eden", "optimiser.hold=9"], "optimiser.schedule has no plateau"),
        (["optimiser.eden_epochs=9"], "optimiser.schedule is not eden"),
        (["optimiser.gradient_noise_start=9"], "optimiser.gradient_noise is 0"),
        (["min_delta=0.01"], "patience is not set"),
        (["log.upload=true"], "log.to has no mlflow, wandb or clearml"),
        (["log.to=[]", "log.histograms_every=9"], "log.to is empty"),
        (["state_passing.delay=5"], "chains of one update only"),
        (["quantize=bfp16", "dropout.recurrent=0", "freeze_norms_from=2"], "quantize is set"),
        (
            ["augmentation.noise=0", "batches.without_speech=0", "data.noise=noise"],
            "augmentation.noise and batches.without_speech are 0",
        ),
    ],
)
def test_an_override_that_has_no_effect_is_refused(
    small: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(small, overrides)


def test_an_override_that_has_an_effect_beside_others_is_taken(small: Path) -> None:
    overrides = ["batches.join=0.5", "batches.repeat=0.2", "optimiser.hold=1", "optimiser.warmup=1"]
    assert load_config(small, [*overrides, "optimiser.half_life=9"]).batches.repeat == 0.2
    delayed = ("optimiser.schedule=cosine", "state_passing.chains=[99, 0, 1]")
    assert load_config(small, [*delayed, "optimiser.half_life=9"]).optimiser.half_life == 9


def test_what_may_have_no_effect_is_a_key(small: Path) -> None:
    known = msgspec.to_builtins(load_config(small))
    for key in INEFFECTIVE:
        table: Any = known
        for name in key.split("."):
            assert name in table, key
            table = table[name]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["optimiser.joint_factor=0.3", 'optimiser.factors={ "joint.output" = 0.3 }'],
            "joint_factor and factors both have a factor for joint.output",
        ),
        (
            ['optimiser.freeze=["encoder"]', "optimiser.freeze_until={ encoder = 5 }"],
            "freeze and freeze_until both name encoder",
        ),
    ],
)
def test_a_part_has_one_factor_and_one_end_of_its_freeze(
    small: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(small, overrides)


def test_a_run_has_one_length(small: Path, tmp_path: Path) -> None:
    assert load_config(small, ["epochs=3"]).epochs == 3.0
    assert load_config(small, ["epochs=3"]).updates is None
    assert load_config(small, ["epochs=3", "updates=4"]).updates == 4
    (tmp_path / "up.toml").write_text('extends = "small.toml"\nepochs = 2\n')
    assert load_config(tmp_path / "up.toml").updates is None
    (tmp_path / "both.toml").write_text('extends = "small.toml"\nepochs = 2\nupdates = 3\n')
    with pytest.raises(ConfigError, match="updates is 3 and epochs is 2: a run has one length"):
        load_config(tmp_path / "both.toml")


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


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{tmp_path}: cannot be read"):
        load_config(tmp_path)
    (tmp_path / "up.toml").write_text('extends = "."\n')
    with pytest.raises(ConfigError, match=rf"{tmp_path}: cannot be read"):
        load_config(tmp_path / "up.toml")


@pytest.mark.parametrize("name", ["3", '["a.toml"]', "true", "{ a = 1 }"])
def test_what_extends_names_has_to_be_one_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "up.toml").write_text(f"extends = {name}\n")
    with pytest.raises(ConfigError, match=r"up.toml: extends is .*, wants the path of a file"):
        load_config(tmp_path / "up.toml")


def test_a_chain_of_files_is_followed_to_its_end(small: Path, tmp_path: Path) -> None:
    for name, below in (("a", "small"), ("b", "a"), ("c", "b")):
        (tmp_path / f"{name}.toml").write_text(
            f'extends = "{below}.toml"\n[data]\ndev = "{name}.jsonl"\nauthor = "{name}"\n'
            if name != "c"
            else f'extends = "{below}.toml"\n[data]\ntrain = []\n'
        )
    data = load_config(tmp_path / "c.toml").data
    assert (data.train, data.dev, data.author, data.tokenizer) == ((), "b.jsonl", "b", "t.model")
    assert load_config(small).data.dev == "dev.jsonl"


def test_a_key_that_stops_being_a_table_is_an_error_of_the_upper_file(
    small: Path, tmp_path: Path
) -> None:
    (tmp_path / "up.toml").write_text('extends = "small.toml"\ndata = 3\n')
    with pytest.raises(ConfigError, match=r"up.toml: data is 3, wants a table"):
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


def test_a_path_without_variables_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RILL_X", "over/there")
    assert resolve("runs/my set.jsonl") == Path("runs/my set.jsonl")
    assert resolve("costs$") == Path("costs$")
    assert resolve("a/$RILL_X/b/${RILL_X}.jsonl") == Path("a/over/there/b/over/there.jsonl")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.activation=soft", "model.activation is soft, quantize = int8 wants hard"),
        ("model.number_format=float32", "model.number_format follows from quantize: leave it out"),
        ("dropout.recurrent=0.1", "dropout.recurrent is 0.1, quantize = int8 wants 0.0"),
        ("quantize=int4", "quantize is 'int4', wants none, int8, w4a8, bfp16"),
        ("model.quantisation.joint=5", "model.quantisation follows from quantize"),
    ],
)
def test_what_cannot_be_quantised_is_refused(small: Path, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(small, ["quantize=int8", setting])


def test_block_floating_point_is_of_either_activation(small: Path) -> None:
    for activation in ("hard", "soft"):
        config = load_config(small, ["quantize=bfp16", f"model.activation={activation}"])
        specification = config.specification(9)
        assert (specification.number_format, specification.activation) == ("bfp16", activation)
        assert specification.quantisation is None
    with pytest.raises(
        ConfigError, match=r"dropout\.recurrent is 0\.1, quantize = bfp16 wants 0\.0"
    ):
        load_config(small, ["quantize=bfp16", "dropout.recurrent=0.1"])


def test_a_byte_order_mark_and_windows_line_ends_are_taken(small: Path) -> None:
    small.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert load_config(small).optimiser.rate == 0.01


def test_a_configuration_in_utf_16_is_refused_by_name(small: Path) -> None:
    small.write_bytes(SMALL.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"small.toml: not TOML: is UTF-16; save it as UTF-8"):
        load_config(small)
