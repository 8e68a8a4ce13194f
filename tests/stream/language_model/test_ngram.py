"""N-gram models: back-off, ARPA files, and files that are none."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest

from stream.language_model import ngram
from stream.language_model.files import open_ngram
from stream.language_model.fusion import Fusion
from stream.language_model.ngram import Ngram, NgramError, read_arpa

ARPA = """\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-2.0\t<unk>
-99\t<s>\t-0.5
-0.5\t▁a\t-0.25
-0.7\tb\t-0.125
-1.0\t</s>

\\2-grams:
-0.1\t<s> ▁a\t-0.0625
-0.2\t▁a b
-0.3\tb b\t-0.5

\\3-grams:
-0.05\t<s> ▁a b

\\end\\
"""
PIECES = ["<unk>", "▁a", "b", "zzz", "<EOS>"]


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "small.arpa"
    path.write_text(ARPA, "utf-8")
    return path


def log10s(model: Ngram, tokens: list[int]) -> list[float]:
    context, scores = model.start, []
    for token in tokens:
        score, context = model.step(context, token)
        scores.append(score / math.log(10.0))
    return scores


def test_the_longest_ngram_counts_and_shorter_ones_cost_their_back_off(arpa: Path) -> None:
    model = Ngram(read_arpa(arpa), PIECES, 1.0)
    assert log10s(model, [1, 2, 2, 2, 1]) == pytest.approx(
        [
            -0.1,  # <s> a
            -0.05,  # <s> a b
            -0.3,  # a b b is not there, and a b has no back-off weight: b b
            -0.5 - 0.3,  # back-off of b b, then b b
            -0.5 - 0.125 - 0.5,  # back-off of b b and of b, then a
        ]
    )


def test_a_word_bonus_comes_with_the_mark_of_a_word_and_a_penalty_with_what_is_unknown(
    arpa: Path,
) -> None:
    plain, fused = (
        Ngram(read_arpa(arpa), PIECES, fusion) for fusion in (0.5, Fusion(0.5, 2.0, 3.0))
    )
    context = (2, 3)
    differences = [fused.step(context, t)[0] - plain.step(context, t)[0] for t in range(4)]
    assert differences == pytest.approx([0.0, 2.0, 0.0, -3.0])
    assert fused.ending(context) == 0.0


def test_a_byte_order_mark_and_windows_line_ends_are_taken(arpa: Path) -> None:
    want = read_arpa(arpa)
    arpa.write_bytes(b"\xef\xbb\xbf" + ARPA.replace("\n", "\r\n").encode())
    assert read_arpa(arpa) == want


def test_a_compressed_file_is_the_same_and_one_that_is_cut_is_named(arpa: Path) -> None:
    plain = read_arpa(arpa)
    content = gzip.compress(arpa.read_bytes(), mtime=0)
    compressed = arpa.with_suffix(".arpa.gz")
    compressed.write_bytes(content)
    assert open_ngram(compressed) == plain
    compressed.write_bytes(content[:-30])
    with pytest.raises(NgramError, match="gz: not an ARPA file: .* end too early"):
        open_ngram(compressed)


def test_a_piece_that_the_model_lacks_is_unknown(arpa: Path) -> None:
    model = Ngram(read_arpa(arpa), PIECES, 1.0)
    assert log10s(model, [3]) == pytest.approx([-0.5 - 2.0])
    assert log10s(model, [3]) == log10s(model, [0])


def test_a_skipped_token_costs_nothing_and_is_no_context(arpa: Path) -> None:
    model = Ngram(read_arpa(arpa), PIECES, 1.0, frozenset({4}))
    assert model.step(model.start, 4) == (0.0, model.start)
    assert log10s(model, [1, 4, 2]) == pytest.approx([-0.1, 0.0, -0.05])


def test_the_weight_is_a_factor(arpa: Path) -> None:
    plain, weighted = (Ngram(read_arpa(arpa), PIECES, weight) for weight in (1.0, 0.05))
    assert log10s(weighted, [1, 2]) == pytest.approx([0.05 * x for x in log10s(plain, [1, 2])])


def test_scores_are_remembered_within_a_bound(arpa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram, "REMEMBERED", 2)
    model = Ngram(read_arpa(arpa), PIECES, 1.0)
    first = log10s(model, [1, 2, 2, 2, 1])
    assert log10s(model, [1, 2, 2, 2, 1]) == first
    assert len(model._scores) <= 2


def test_an_unigram_model_has_no_context(tmp_path: Path) -> None:
    path = tmp_path / "one.arpa"
    path.write_text("\\data\\\n\\1-grams:\n-1 <s>\n-2 <unk>\n-0.5 b\n\\end\\\n")
    model = Ngram(open_ngram(path), PIECES, 1.0)
    assert model.start == ()
    assert log10s(model, [2, 2, 1]) == pytest.approx([-0.5, -0.5, -2.0])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\\end\\", "", "not a whole ARPA file"),
        ("\\1-grams:", "\\2-grams:", r"line 6: '\\\\2-grams:' after order 0"),
        ("-0.2\t▁a b", "-0.2\t▁a", "line 15: .* is not a 2-gram: 2 fields"),
        ("-0.2\t▁a b", "x\t▁a b", "line 15: .* could not convert"),
        ("-0.2\t▁a b", "nan\t▁a b", "line 15: .* not finite"),
        ("-0.2\t▁a b", "-0.2\t▁a c", "line 15: .* 'c'"),
        ("-0.05\t<s>", "-0.05\t<s> b b b", "line 19: .* 7 fields"),
    ],
)
def test_a_broken_arpa_file_is_named_with_its_line(
    arpa: Path, old: str, new: str, said: str
) -> None:
    arpa.write_text(ARPA.replace(old, new, 1), "utf-8")
    with pytest.raises(NgramError, match=said) as raised:
        open_ngram(arpa)
    assert str(arpa) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\\end\\\n", b"GIF89a"])
def test_what_is_no_arpa_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(NgramError, match="x: not a"):
        open_ngram(path)


def test_a_model_that_cannot_score_the_pieces_is_refused(arpa: Path) -> None:
    arpa.write_text(ARPA.replace("<unk>", "<nothing>"), "utf-8")
    with pytest.raises(NgramError, match="neither the piece '<unk>' nor <unk>"):
        Ngram(read_arpa(arpa), PIECES, 1.0)
    arpa.write_text(ARPA.replace("<s>", "<begin>"), "utf-8")
    with pytest.raises(NgramError, match="has no <s>"):
        Ngram(read_arpa(arpa), PIECES, 1.0)
    arpa.write_text(ARPA, "utf-8")
    with pytest.raises(ValueError, match="weight is nan"):
        Ngram(read_arpa(arpa), PIECES, float("nan"))
