"""Aligning: the times of all words that were said, by a model's forced alignment or from a CTM file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from stream.bundled import NAMES, model_path, recordings
from stream.ctm import CtmWord, read_ctm_words, words_of
from stream.model.network import Network, open_model
from stream.recogniser import Recogniser
from stream.words import percentile
from tests.benchmarks.word_times import BUNDLED
from train.data.__main__ import main
from train.data.commands.align import forced_times
from train.data.formats import jsonl
from train.data.formats.table import read_records
from train.data.records.record import File, Record, strict
from train.data.records.words import TimedWord


def said() -> Iterator[Record]:
    """Yield the bundled recordings, their texts in capitals."""
    for u in recordings():
        yield Record(id=u.id, audio=File(str(u.audio)), text=u.text.upper(), duration=u.duration)


def times(network: Network) -> dict[str, tuple[CtmWord, ...]]:
    return {record.id: words for record, words in forced_times(said(), network, str.lower)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["words.jsonl", "words_cuts.jsonl.gz"])
def test_all_words_have_the_times_of_their_sound(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jsonl.write(said(), tmp_path / "set.jsonl")
    output = tmp_path / name
    assert main(["align", str(tmp_path / "set.jsonl"), str(output), "--normalise", "lower"]) == 0
    assert "10 utterances, 100.0% of 42 words" in capsys.readouterr().out
    for record, found in zip(said(), strict(read_records(str(output))), strict=True):
        assert [word.text for word in found.words] == record.text.split()
        ended = 0.0
        for word in found.words:
            assert word.start is not None and word.end is not None and record.duration is not None
            assert ended <= word.start < word.end <= record.duration + 0.1
            ended = word.end


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_times_are_near_those_of_another_aligner(name: str) -> None:
    reference = read_ctm_words(BUNDLED)
    apart = [
        abs(own - other)
        for record, words in times(open_model(model_path(name))).items()
        for word, given in zip(words, words_of(reference, record) or (), strict=True)
        for own, other in ((word.start, given.start), (word.end, given.end))
        if own is not None and other is not None
    ]
    assert len(apart) == 84
    assert percentile(apart, 50) <= 0.06
    assert percentile(apart, 90) <= 0.15


@pytest.mark.slow
def test_a_word_that_a_model_does_not_hear_has_times_and_leaves_its_neighbours_theirs() -> None:
    network = replace(open_model(model_path("en-commands-conformer")), path=None)
    bias = network.arrays["ctc.bias"].copy()
    bias[network.vocabulary.encode("six two")] -= 12.0
    deaf = replace(network, arrays={**network.arrays, "ctc.bias": bias})
    recogniser = Recogniser(deaf, head="ctc")
    spoken = [u for u in recordings() if {"six", "two"} & set(u.text.split())]
    heard = " ".join(recogniser.transcribe(u.read()).text for u in spoken).split()
    assert spoken and not {"six", "two"} & set(heard)
    found = times(deaf)
    for record, words in times(network).items():
        for own, other in zip(words, found[record], strict=True):
            assert own.text == other.text
            assert (own.start, own.end) == pytest.approx((other.start, other.end), abs=0.1)


@pytest.mark.parametrize("text", ["été", "stop " * 300, ""])
def test_what_a_model_cannot_say_has_no_times(text: str) -> None:
    network = open_model(model_path("en-commands-conformer"))
    record = msgspec.structs.replace(next(said()), text=text)
    assert list(forced_times(iter([record]), network, str)) == [(record, ())]


def test_a_recording_that_cannot_be_read_is_an_error_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.flac").write_bytes(b"fLaC" + bytes(100))
    broken = Record(id="b", audio=File(str(tmp_path / "broken.flac")), text="stop", duration=1.0)
    jsonl.write([*said(), broken], tmp_path / "set.jsonl")
    output = tmp_path / "out.jsonl"
    assert main(["align", str(tmp_path / "set.jsonl"), str(output), "--normalise", "lower"]) == 3
    assert "broken.flac" in capsys.readouterr().err
    assert not output.exists()


def test_times_may_be_those_of_a_ctm_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        Record(id=name, audio=File(str(tmp_path / name)), text=text, duration=1.0)
        for name, text in (("a b.wav", "Three, two"), ("c.wav", "one"))
    ]
    jsonl.write(lines, tmp_path / "set.jsonl")
    (tmp_path / "a.ctm").write_text("a_b.wav 1 0.5 0.25 two\na_b.wav 1 0.1 0.2 three\n")
    arguments = [
        "align",
        str(tmp_path / "set.jsonl"),
        str(tmp_path / "out.jsonl"),
        "--normalise",
        "en",
    ]
    assert main([*arguments, "--ctm", str(tmp_path / "a.ctm")]) == 0
    assert "2 utterances, 66.7% of 3 words with their times" in capsys.readouterr().out
    first, second = strict(read_records(str(tmp_path / "out.jsonl")))
    assert first.words == (TimedWord("Three,", 0.1, 0.3), TimedWord("two", 0.5, 0.75))
    assert second.words == (TimedWord("one"),)
    assert main([*arguments, "--ctm", "a.ctm", "--model", "m"]) == 2
