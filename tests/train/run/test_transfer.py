"""Transfer: layers that fit, rows by piece, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from stream.model.network import open_model
from stream.vocabulary import Vocabulary
from tests.tiny import tiny_network, tiny_specification, tiny_tokenizer
from tests.train.run.corpus import minimal_command
from train import __main__, checkpoint
from train.config.init import InitConfig
from train.config.run import ConfigError
from train.model import Transducer
from train.run.transfer import Transfer

PIECES = ("<unk>", "▁", "c", "a", "t", "▁cat", "<EOS>")
OTHERS = ("<unk>", "▁ca", "t", "▁", "s", "<E", "S>")


def states(
    own: dict[str, object] | None = None, other: dict[str, object] | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The state of a new model of 7 pieces, and that of another."""
    made = []
    for seed, changes in enumerate((own, other)):
        module = Transducer(tiny_specification(vocabulary=7, **(changes or {})), normalised=True)
        module.initialise(torch.Generator().manual_seed(seed))
        made.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
    return made[0], made[1]


def test_an_equal_model_is_taken_whole() -> None:
    own, other = states()
    transfer = Transfer(own, other, InitConfig(), PIECES, PIECES)
    assert transfer.weights.keys() == own.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in transfer.weights.items())
    assert transfer.pieces() == {"kept": 7, "made": 0, "new": 0}
    assert [part.kept / part.weights for part in transfer.parts.values()] == [1.0] * 4


def test_layers_that_fit_are_taken_and_others_stay_as_drawn() -> None:
    own, other = states({"pre_layers": 2, "joint": 24}, {"post_layers": 2})
    init = InitConfig(joint=False, output="new")
    transfer = Transfer(own, other, init, PIECES, PIECES)
    part = transfer.parts["encoder"]
    assert part.taken == ["pre.0", "post.0", "joint_norm"]
    assert part.new == ["pre.1"]
    for name, tensor in transfer.weights.items():
        taken = name.startswith(("pre.0", "post.0", "joint_norm", "prediction.", "embedding."))
        assert torch.equal(tensor, other[name] if taken else own[name]), name
    lines = list(transfer.lines())
    assert lines[0].startswith("encoder: ")
    assert lines[0].endswith(" weights taken (pre.0, post.0, joint_norm); new: pre.1")
    assert lines[2].startswith("joint: 0 % of ")


@pytest.mark.parametrize("name", ["output.weight", "output.bias", "embedding.weight"])
def test_rows_are_found_by_piece_and_made_of_what_spells_a_new_one(name: str) -> None:
    own, other = states()
    rows, found = Transfer(own, other, InitConfig(), PIECES, OTHERS).weights[name], other[name]
    assert torch.equal(rows[0], found[0])  # <unk>
    assert torch.equal(rows[1], found[3])
    assert torch.equal(rows[2], own[name][2])  # c: no piece spells it
    assert torch.equal(rows[4], found[2])
    torch.testing.assert_close(rows[5], (found[1] + found[2]) / 2)  # ▁ca, t
    assert torch.equal(rows[6], own[name][6])  # <EOS> is no text, so nothing spells it
    if name != "embedding.weight":
        assert torch.equal(rows[7], found[7])  # blank


def test_what_became_of_the_pieces_is_counted() -> None:
    own, other = states()
    transfer = Transfer(own, other, InitConfig(), PIECES, OTHERS)
    assert transfer.pieces() == {"kept": 3, "made": 1, "new": 3}
    assert list(transfer.lines())[-1] == "pieces: 3 kept, 1 made of others, 3 new"
    part = transfer.parts["output"]
    assert part.kept / part.weights == 5 / 8  # blank too
    assert transfer.notes()["output"] == {"share": 0.625, "taken": ["output"], "new": []}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"hidden": 24},
            r"init.encoder: none of pre.0, post.0, joint_norm fits.*init.encoder = false",
        ),
        ({"prediction_hidden": 12}, r"init.prediction: none of .*init.prediction = false"),
        ({"joint": 24}, r"init.joint: none of joint_encoder, joint_prediction fits"),
    ],
)
def test_a_part_of_which_nothing_fits_is_refused_by_its_key(
    change: dict[str, object], message: str
) -> None:
    own, other = states(None, change)
    with pytest.raises(ConfigError, match=message):
        Transfer(own, other, InitConfig(), PIECES, PIECES)


def test_a_head_that_the_other_model_lacks_is_new() -> None:
    own, other = states({"decoder": "both"})
    transfer = Transfer(own, other, InitConfig(), PIECES, PIECES)
    assert (transfer.parts["output"].taken, transfer.parts["output"].new) == (["output"], ["ctc"])


def test_a_run_takes_parts_of_a_model_with_another_tokenizer_and_says_so(
    minimal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = minimal_command(minimal, tmp_path / "first", "data.pieces=22")
    assert __main__.main(first) == 0
    (tmp_path / "other.model").write_bytes(tiny_tokenizer())
    init = f'init={{ model = "{tmp_path}/first/best.pt", joint = false }}'
    settings = (init, "model.joint=24", "init.output=new", f"data.tokenizer={tmp_path}/other.model")
    second = minimal_command(minimal, tmp_path / "second", *settings)
    capsys.readouterr()
    assert __main__.main(second) == 0
    said = capsys.readouterr()
    assert f"statistics: those of {tmp_path}/first/best.pt, as its encoder" in said.err
    assert "encoder: 100 % of " in said.out + said.err
    content = checkpoint.load(tmp_path / "second" / "last.pt")
    noted = content["notes"]["training"]["init"]
    assert noted["model"] == str(tmp_path / "first" / "best.pt")
    assert (noted["encoder"]["share"], noted["joint"]["share"]) == (1.0, 0.0)
    assert content["tokenizer"] == tiny_tokenizer()
    assert content["mean"] == checkpoint.load(tmp_path / "first" / "last.pt")["mean"]
    assert __main__.main([*second, "--set", "updates=3", "--change"]) == 0  # it resumes
    resumed = checkpoint.load(tmp_path / "second" / "last.pt")
    assert (resumed["update"], resumed["notes"]["training"]["init"]) == (3, noted)


def test_a_new_encoder_has_the_statistics_of_its_own_data(
    minimal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(minimal_command(minimal, tmp_path / "first", "data.pieces=22")) == 0
    init = ("init.encoder=false", "init.prediction=true", "model.post_layers=2")
    command = minimal_command(minimal, tmp_path / "second", *init)
    command += ["--init-from", str(tmp_path / "first" / "best.pt")]
    capsys.readouterr()
    assert __main__.main(command) == 0
    said = capsys.readouterr().err
    assert "statistics: those of the training set, since the encoder is new" in said
    network = open_model(tmp_path / "second" / "best.pt")
    assert len(Vocabulary(network.tokenizer)) == 22  # the model's


def test_init_without_a_model_is_refused(
    minimal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(minimal_command(minimal, tmp_path / "run", "init.encoder=true")) == 2
    assert "init.model is missing: the model to start from" in capsys.readouterr().err


def test_what_a_folded_model_cannot_learn_is_asked_for_where_its_encoder_is_taken(
    minimal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stream.model.directory import write

    network = tiny_network(pre_layers=2, prediction_layers=2)
    write(network, tmp_path / "model", {})
    command = minimal_command(minimal, tmp_path / "run", "init.output=by-piece")
    command += ["--init-from", str(tmp_path / "model")]
    assert __main__.main(command) == 2
    assert "set freeze_norms_from = 1" in capsys.readouterr().err
    assert __main__.main([*command, "--set", "freeze_norms_from=1"]) == 0
    assert "encoder: 100 % of " in "".join(capsys.readouterr())


def test_an_ngram_model_stays_behind_where_the_tokenizer_is_another_one(
    minimal: Path, tmp_path: Path, golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = golden / "hwckpt_v1.14.0.pt"
    sizes = (f"model.{key}={value}" for key, value in (("hidden", 56), ("post_layers", 3)))
    command = minimal_command(
        minimal, tmp_path / "run", *sizes, "freeze_norms_from=1", "model.window=400",
        "init.prediction=false", "init.joint=false", "init.output=new",
    )  # fmt: skip
    (tmp_path / "other.model").write_bytes(tiny_tokenizer())
    command += ["--set", f"data.tokenizer={tmp_path / 'other.model'}", "--init-from", str(source)]
    assert __main__.main(command) == 0
    said = capsys.readouterr().err
    assert "ngram: left behind, since it is over the pieces of another tokenizer" in said
    assert f"model.alpha is 0.001, and {source} learned with 0.0\n" in said
    assert "model.window" not in said
    assert checkpoint.read(tmp_path / "run" / "best.pt").ngram is None
