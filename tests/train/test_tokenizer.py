"""The tokenizer of whole words and letters: every text can be spelled, frequent words are one token."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("google.protobuf")

from stream.vocabulary import Vocabulary
from train.tokenizer import LETTERS, build_tokenizer, main

TEXTS = ["yes", "no", "yes no"] * 5 + ["o'hara", "y e s"]


@functools.cache
def vocabulary() -> Vocabulary:
    return Vocabulary(build_tokenizer(TEXTS))


def test_frequent_words_are_one_token_and_rare_ones_are_spelled() -> None:
    def texts(text: str) -> list[str]:
        return [vocabulary().text(token) for token in vocabulary().encode(text)]

    assert texts("yes no") == [" yes", " no"]
    assert "".join(texts("o'hara")) == " o'hara"
    assert len(texts("o'hara")) == 7
    assert len(vocabulary()) == 1 + 2 + 28


@pytest.mark.parametrize("text", ["yes", "no yes", "quick brown fox", "it's", "y e s", "yesno"])
def test_any_text_comes_back(text: str) -> None:
    tokens = vocabulary().encode(text)
    assert 0 not in tokens
    assert vocabulary().decode(tokens) == text


@given(text=st.text(alphabet=LETTERS + "   "))
def test_every_text_is_spelled_without_unknowns(text: str) -> None:
    tokens = vocabulary().encode(text)
    assert 0 not in tokens
    assert vocabulary().decode(tokens) == " ".join(text.split())
    assert "".join(vocabulary().text(token) for token in tokens).strip() == " ".join(text.split())


@given(words=st.lists(st.sampled_from(["yes", "no"])))
def test_a_text_of_frequent_words_has_one_token_a_word(words: list[str]) -> None:
    assert [vocabulary().text(t) for t in vocabulary().encode(" ".join(words))] == [
        " " + word for word in words
    ]


def test_a_word_of_any_length_is_one_token_however_rare_among_others() -> None:
    long = "pneumonoultramicroscopicsilicovolcanoconiosis"
    texts = ["a"] * 100_000 + [long, "a" * 40] * 5
    vocabulary = Vocabulary(build_tokenizer(texts))
    assert len(vocabulary.encode(f"{long} {'a' * 40} a")) == 3


def test_texts_of_recordings_without_speech_have_no_tokens() -> None:
    vocabulary = Vocabulary(build_tokenizer(["", "", " "]))
    assert len(vocabulary) == 1 + 28
    assert vocabulary.encode("") == []


def test_the_count_decides_what_is_a_word() -> None:
    assert len(Vocabulary(build_tokenizer(TEXTS, 11))) == 1 + 28
    assert len(Vocabulary(build_tokenizer(TEXTS, 1))) > len(Vocabulary(build_tokenizer(TEXTS, 5)))


def test_equal_texts_in_any_order_give_equal_bytes() -> None:
    assert build_tokenizer(TEXTS) == build_tokenizer(TEXTS[::-1])


@pytest.mark.parametrize("text", ["Yes", "no 5", "naïve", "a-b"])
def test_text_that_is_not_normalised_is_refused_with_its_characters(text: str) -> None:
    with pytest.raises(ValueError, match="wants a-z, apostrophe and space: --normalise"):
        build_tokenizer([text])


def test_a_language_brings_its_letters_and_others_can_be_given(tmp_path: Path) -> None:
    output, path = tmp_path / "t.model", manifest(tmp_path, "L’Été à 9 h")
    command = ["--manifest", str(path), "--output", str(output), "--whole-words-from", "6"]
    assert main([*command, "--normalise", "fr+numbers"]) == 0
    vocabulary = Vocabulary(output.read_bytes())
    assert vocabulary.decode(vocabulary.encode("l'été œuvre")) == "l'été œuvre"
    assert len(vocabulary) == 1 + 4 + 1 + len(LETTERS + "àâæçèéêëîïôùûüÿœ")
    assert main([*command, "--normalise", "fr+numbers+ascii"]) == 0
    assert len(Vocabulary(output.read_bytes())) == 1 + 4 + 1 + len(LETTERS)

    path = manifest(tmp_path, "ένα δύο")
    assert main([*command, "--letters", "αβγδεέζηθικλμνξοπρσςτυύφχψω"]) == 0
    vocabulary = Vocabulary(output.read_bytes())
    assert vocabulary.decode(vocabulary.encode("ένα μέτρο")) == "ένα μέτρο"


def manifest(folder: Path, text: str) -> Path:
    soundfile.write(folder / "a.wav", np.zeros(1600), 16000)
    path = folder / "m.jsonl"
    line = {"audio_filepath": "a.wav", "text": text, "duration": 0.1}
    path.write_text((json.dumps(line) + "\n") * 6)
    return path


def test_the_command_writes_the_model_and_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "t.model"
    assert main(["--manifest", str(manifest(tmp_path, "go up")), "--output", str(output)]) == 0
    assert Vocabulary(output.read_bytes()).decode([1, 2]) == "go up"
    assert "31 pieces, 2.00 tokens an utterance" in capsys.readouterr().out


def test_the_command_names_what_it_cannot_take_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "t.model"
    assert main(["--manifest", str(manifest(tmp_path, "Go 5")), "--output", str(output)]) == 3
    assert "'Go 5'" in capsys.readouterr().err
    assert main(["--manifest", str(tmp_path / "none.jsonl"), "--output", str(output)]) == 3
    assert "none.jsonl" in capsys.readouterr().err
    assert not output.exists()


def test_texts_come_from_any_format_and_no_recording_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"transcript": "go go", "files": [{"fname": "none.wav"}], "original_duration": 1.0}
    (tmp_path / "list.json").write_text(json.dumps([entry] * 3))
    output = tmp_path / "t.model"
    assert main(["--manifest", str(tmp_path / "list.json"), "--output", str(output)]) == 0
    assert "2.00 tokens an utterance" in capsys.readouterr().out
    (tmp_path / "list.json").write_text("[]")
    assert main(["--manifest", str(tmp_path / "list.json"), "--output", str(output)]) == 3
    assert "list.json: no utterance" in capsys.readouterr().err


def test_the_command_finds_subwords(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "t.model"
    words = ["--manifest", str(manifest(tmp_path, "go up, Go!")), "--output", str(output)]
    assert main([*words, "--pieces", "12", "--kind", "bpe", "--symbol", "<EOS>"]) == 0
    vocabulary = Vocabulary(output.read_bytes())
    assert vocabulary.symbols == ("<EOS>",)
    assert vocabulary.decode(vocabulary.encode("go up, Go!")) == "go up, Go!"
    assert "12 pieces" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--kind", "bpe"], "go with --pieces"),
        (["--pieces", "12", "--whole-words-from", "3"], "go without --pieces"),
    ],
)
def test_flags_without_effect_are_refused(
    tmp_path: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--manifest", str(manifest(tmp_path, "go")), "--output", "t.model", *flags])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
