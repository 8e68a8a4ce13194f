"""The command: texts of a language to a language model that a beam search reads, and its perplexity."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("google.protobuf")

from stream.language_model.files import open_ngram
from stream.language_model.ngram import Ngram, log10_probability
from stream.language_model.probing import ProbingTable
from stream.vocabulary import Vocabulary
from tests.places import REPOSITORY
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
        (["--text", "{folder}/fine.txt", "--memory", "0"], 2, "'0' is no number of MiB; want 1"),
        (["--text", "{folder}/fine.txt", "--kind", "trie", "--order", "1"], 2, "--order 2 or more"),
        (["--text", "{folder}/fine.txt", "--kind", "trie", "--quantise", "1"], 2, "want 2 to 25"),
        (["--text", "{folder}/fine.txt", "--scratch", "{folder}/no"], 2, "there is no such folder"),
        (["--text", "{folder}/empty.txt"], 3, "there is no text"),
        (["--text", "{folder}/latin.txt"], 3, "latin.txt: line 2: byte 0xE9"),
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
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "latin.txt").write_bytes(b"deux\n\xe9t\xe9\n")
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


def sentences(path: Path, body: str) -> Path:
    path.write_text(f"def sentences():\n{body}")
    return path


def test_the_same_bytes_are_written_whatever_memory_there_is(tmp_path: Path) -> None:
    draw = random.Random(0)
    texts = tmp_path / "texts.txt"
    lines = [" ".join(draw.choices("abcdefghij", k=12)) for _ in range(4000)]
    texts.write_text("\n".join(lines))
    command = ["build", "--words", "--order", "5", "--text", str(texts)]
    for name, flags in (
        ("lm.arpa", []),
        ("lm.binary", []),
        ("lm.trie", ["--kind", "trie", "--quantise", "8"]),
    ):
        found = []
        for memory in ("1", "64"):
            output = tmp_path / memory / name
            more = ["--output", str(output), "--memory", memory, *flags]
            assert main([*command, *more]) == 0
            assert [path.name for path in output.parent.iterdir()] == [name]
            output = output.rename(tmp_path / f"{memory}-{name}")
            found.append(output.read_bytes())
        assert found[0] == found[1]


def test_a_binary_has_its_ngrams_where_the_arpa_file_of_the_same_texts_puts_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "texts.txt").write_text("deux trois\ntrois deux deux\nun\n")
    command = ["build", "--words", "--text", str(tmp_path / "texts.txt"), "--order", "3"]
    arpa, built, converted = (tmp_path / name for name in ("a.arpa", "a.binary", "b.binary"))
    for output in (arpa, built):
        assert main([*command, "--output", str(output)]) == 0
    assert main(["convert", str(arpa), "--output", str(converted)]) == 0
    one, other = map(open_ngram, (built, converted))
    assert isinstance(one, ProbingTable)
    assert isinstance(other, ProbingTable)
    assert list(one.words()) == list(other.words())
    for tables in zip(one.longer, other.longer, strict=True):
        keys, others = (table["key"].tolist() for table in tables)
        assert keys == others


def test_temporary_files_are_in_a_folder_of_choice_and_gone_after_an_interruption(
    tmp_path: Path,
) -> None:
    seen = f"    import os\n    print(os.listdir({str(tmp_path / 'scratch')!r}))\n"
    texts = sentences(tmp_path / "a.py", f"    yield 'a'\n{seen}    raise KeyboardInterrupt\n")
    (tmp_path / "scratch").mkdir()
    output, scratch = tmp_path / "out" / "lm", tmp_path / "scratch"
    command = ["build", "--words", "--text", str(texts), "--output", str(output)]
    assert main([*command, "--scratch", str(scratch)]) == 130
    assert not list(scratch.iterdir())
    assert not list(output.parent.iterdir())


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("a b c\n" * 20000)
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        "from train.lm.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    flags = ["build", "--words", "--text", str(tmp_path / "texts.txt")]
    command = [sys.executable, "-c", limited, *flags, "--output", str(tmp_path / "out" / "lm")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert ended.returncode == 3
    assert "cannot write temporary files: File too large; choose a folder with" in ended.stderr
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells its peak memory")
def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    texts = sentences(
        tmp_path / "texts.py",
        "    import random\n"
        "    draw = random.Random(0)\n"
        "    for _ in range(20_000):\n"
        "        yield ' '.join(str(int(draw.paretovariate(0.5)) % 5000) for _ in range(12))\n",
    )
    measured = (
        "import re, sys; from train.lm.__main__ import main;"
        "peak = lambda: int(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1]);"
        "before = peak(); main(sys.argv[1:]); print(peak() - before)"
    )
    flags = ["build", "--words", "--text", str(texts), "--memory", "8", "--order", "4"]
    command = [sys.executable, "-c", measured, *flags, "--output", str(tmp_path / "lm")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    grown = int(said.stdout.splitlines()[-1])  # kB
    assert grown < 80_000, said.stdout  # 240,000 words in dictionaries are 300,000
