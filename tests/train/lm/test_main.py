"""The command: texts of a language to a language model that a beam search reads, and its perplexity."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("google.protobuf")

from stream.language_model.files import open_ngram
from stream.language_model.ngram import Ngram, log10_probability
from stream.vocabulary import Vocabulary
from train.lm.__main__ import main
from train.tokenizer import build_tokenizer


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(build_tokenizer(["deux trois"] * 5, letters="abcdefghijklmnopqrstuvwxyzé'"))
    return path


def test_texts_become_ngrams_of_pieces_in_both_formats(
    tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("2, 3\nDeux trois\n")
    more = tmp_path / "more.py"
    more.write_text("def sentences():\n    yield from ('trois deux', 'trois trois')\n")
    flags = ["--tokenizer", str(tokenizer), "--normalise", "fr+numbers"]
    command = ["build", "--text", str(texts), "--text", str(more), *flags, "--order", "2"]
    pieces = Vocabulary(tokenizer.read_bytes()).pieces
    scores = []
    for name in ("a.arpa", "a.binary"):
        assert main([*command, "--output", str(tmp_path / name)]) == 0
        assert "34 + 7 n-grams of 4 texts" in capsys.readouterr().out
        ngram = Ngram(open_ngram(tmp_path / name), pieces, 1.0)
        deux, trois = pieces.index("▁deux"), pieces.index("▁trois")
        scores.append([ngram.step(ngram.start, deux)[0], ngram.step((3,), trois)[0]])
    assert scores[0][0] == pytest.approx(scores[1][0], abs=1e-5)

    assert main(["score", str(tmp_path / "a.binary"), "--text", str(texts), *flags]) == 0
    said = capsys.readouterr().out
    first, second = scores[1][0], ngram.step(ngram.step(ngram.start, deux)[1], trois)[0]
    assert f"perplexity {math.exp(-(first + second) / 2):.2f} a piece" in said
    assert "of 4 words" in said


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 2, "there are no texts"),
        (["--text", "{folder}/fine.txt", "--words"], 2, "want --tokenizer, or --words"),
        (["--text", "{folder}/fine.txt", "--prune", "1"], 2, "--prune is [1]; want 0 first"),
        (["--text", "{folder}/fine.txt", "--prune", "0", "2", "1"], 2, "none below the one before"),
        (["--text", "{folder}/odd.txt"], 3, "the tokenizer cannot spell 'Ω' of 'Ω'"),
        (["--text", "{folder}/none.py"], 2, "none.py: there is no such file"),
        (["--text", "{folder}/empty.py"], 2, "empty.py: has no function sentences()"),
        (["--text", "{folder}/fine.txt", "--order", "7"], 2, "--order: invalid choice: 7"),
        (
            ["--text", "{folder}/fine.txt", "--tokenizer", "{folder}/fine.txt"],
            3,
            "fine.txt: not a Sent",
        ),
    ],
)
def test_what_cannot_be_used_is_named(
    flags: list[str],
    code: int,
    message: str,
    tokenizer: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "odd.txt").write_text("Ω\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "fine.txt").write_text("deux\n")
    flags = [flag.format(folder=tmp_path) for flag in flags]
    command = ["build", "--tokenizer", str(tokenizer), "--output", str(tmp_path / "lm"), *flags]
    try:
        assert main(command) == code
    except SystemExit as ended:
        assert ended.code == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "lm").exists()


def test_an_arpa_file_becomes_a_binary_of_either_kind(
    tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("deux trois\ntrois deux deux\n")
    arpa = tmp_path / "a.arpa"
    command = ["build", "--text", str(tmp_path / "texts.txt"), "--tokenizer", str(tokenizer)]
    assert main([*command, "--output", str(arpa)]) == 0
    pieces = Vocabulary(tokenizer.read_bytes()).pieces
    scores = []
    for flags in ([], ["--kind", "trie"], ["--kind", "trie", "--quantise", "8"]):
        output = tmp_path / f"{len(scores)}.binary"
        assert main(["convert", str(arpa), "--output", str(output), *flags]) == 0
        ngram = Ngram(open_ngram(output), pieces, 1.0)
        scores.append(ngram.step(ngram.start, pieces.index("▁deux"))[0])
    assert scores[1:] == pytest.approx([scores[0]] * 2, abs=1e-2)
    with pytest.raises(SystemExit):
        main(["convert", str(arpa), "--output", str(tmp_path / "lm"), "--quantise", "8"])
    assert "--quantise goes with --kind trie" in capsys.readouterr().err


def test_a_model_over_words_is_built_and_scored_by_pieces(
    tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("deux trois\ntrois deux deux\n\n")
    output = str(tmp_path / "words.binary")
    assert main(["build", "--words", "--order", "2", "--text", str(texts), "--output", output]) == 0
    assert "5 + 7 n-grams of 2 texts" in capsys.readouterr().out
    assert main(["score", output, "--text", str(texts), "--tokenizer", str(tokenizer)]) == 0
    # <s> deux, deux trois, <s> trois, trois deux, deux deux: of bigrams by hand as in test_kneser_ney.
    table = open_ngram(output)
    ids = {word: table.word(word) for word in ("<s>", "deux", "trois")}
    total = 0.0
    for first, second in (("<s>", "deux"), ("deux", "trois"), ("<s>", "trois"), ("trois", "deux")):
        total += log10_probability(table, (ids[first],), ids[second])  # type: ignore[arg-type]
    total += log10_probability(table, (ids["deux"],), ids["deux"])  # type: ignore[arg-type]
    assert f"{10 ** (-total / 5):.2f} a word, of 5 words" in capsys.readouterr().out
