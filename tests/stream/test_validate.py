"""`python -m stream.validate`: what it prints, writes and returns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile

from hwckpt.writer import from_network, write_checkpoint
from stream import validate
from stream.decoding import options
from stream.error_rate import character_error_rate
from stream.extras import install_command
from stream.language_model.fusion import Fusion
from stream.model.directory import note, write
from tests.places import REPOSITORY
from tests.server.scripted import pcm, samples_of, talking_network
from tests.tiny import tiny_network


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    """A model and a manifest of three recordings, one of them without speech."""
    write(talking_network(), tmp_path / "model", {})
    lines = []
    for i, text in enumerate(("a cat", "", "ten hats")):
        soundfile.write(tmp_path / f"{i}.flac", samples_of(pcm(0.8, i)), 16_000)
        entry = {"audio_filepath": f"{i}.flac", "text": text, "duration": 0.8, "more": 1}
        lines.append(json.dumps(entry) + "\n")
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    manifest = str(tmp_path / "manifest.jsonl")
    return ["--model", str(tmp_path / "model"), "--manifest", manifest, "--backend", "numpy"]


def test_the_report_is_printed_and_written(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.json"
    assert validate.main([*flags, "--reset-stats", "--json", str(target)]) == 0
    report = json.loads(target.read_text())
    edits = report["substitutions"] + report["deletions"] + report["insertions"]
    assert report["words"] == 4 and report["wer"] == edits / 4
    assert report["different"] == 0 and report["rtf"] > 0
    assert [u["id"] for u in report["utterances"]] == ["0.flac", "1.flac", "2.flac"]
    assert [u["reference"] for u in report["utterances"]] == ["a cat", "", "ten hats"]
    vocabulary = talking_network().vocabulary
    for utterance in report["utterances"]:
        assert vocabulary.decode(utterance["tokens"]) == utterance["hypothesis"]
    printed = capsys.readouterr().out
    assert f"WER {100 * report['wer']:.2f} %   4 words, " in printed
    assert "said  a cat" in printed and "3 utterances" in printed
    assert not list(tmp_path.glob("*.partial"))


def test_character_errors_are_reported_beside_word_errors(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.json"
    assert validate.main([*flags, "--reset-stats", "--json", str(target)]) == 0
    report = json.loads(target.read_text())
    said, heard = ([u[side] for u in report["utterances"]] for side in ("reference", "hypothesis"))
    assert report["cer"] == character_error_rate(said, heard).wer
    assert f"CER {100 * report['cer']:.2f} %" in capsys.readouterr().out


def test_a_ctm_has_the_words_that_were_heard_and_their_times(
    flags: list[str], tmp_path: Path
) -> None:
    target, ctm = tmp_path / "report.json", tmp_path / "words.ctm"
    outputs = ["--json", str(target), "--ctm", str(ctm)]
    assert validate.main([*flags, "--reset-stats", *outputs]) == 0
    lines = [line.split() for line in ctm.read_text().splitlines()]
    report = json.loads(target.read_text())
    wanted = [
        (u["id"], word, start, end)
        for u in report["utterances"]
        for word, (start, end) in zip(u["hypothesis"].split(), u["times"], strict=True)
    ]
    assert len(lines) == len(wanted) > 0
    for (file, channel, start, seconds, word), want in zip(lines, wanted, strict=True):
        assert (file, channel, word) == (want[0], "1", want[1])
        assert float(start) == pytest.approx(want[2], abs=1e-3)
        assert float(start) + float(seconds) == pytest.approx(want[3], abs=2e-3)


def test_standard_spelling_is_scored_where_it_is_asked_for(
    flags: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("whisper_normalizer")
    path = tmp_path / "manifest.jsonl"
    path.write_text(path.read_text().replace("a cat", "uh a cat"))
    words = []
    for more in ([], ["--standardise"]):
        target = tmp_path / "report.json"
        assert validate.main([*flags, "--reset-stats", "--json", str(target), *more]) == 0
        words.append(json.loads(target.read_text())["words"])
    assert words == [5, 4]


ARPA = """\\data\\
ngram 1=3

\\1-grams:
-1.0 <unk>
-99 <s>
-1.0 </s>

\\end\\
"""


def test_a_beam_search_takes_a_language_model_from_a_file(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA)
    made: list[float] = []
    real = options.language_model

    def watched(table: Any, vocabulary: Any, fusion: Fusion, *rest: Any) -> Any:
        made.append(fusion.weight)
        return real(table, vocabulary, fusion, *rest)

    monkeypatch.setattr(options, "language_model", watched)
    beam = [*flags, "--reset-stats", "--decoder", "beam"]
    assert validate.main([*beam, "--ngram", str(path), "--ngram-weight", "0.25"]) == 0
    assert made == [0.25]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--scenario", "levels", "--ctm", "a.ctm"], "--scenario goes without"),
    ],
)
def test_flags_that_do_not_go_together_are_a_wrong_command_line(
    flags: list[str], wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        validate.main([*flags, *wrong])
    assert message in capsys.readouterr().err


def test_a_language_model_that_is_none_is_named_and_returns_3(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text("no language model")
    given = ["--decoder", "beam", "--ngram", str(path), "--ngram-weight", "1"]
    assert validate.main([*flags, *given]) == 3
    assert f"error: {path}: " in capsys.readouterr().err


def test_texts_that_the_tokenizer_cannot_spell_are_refused_unless_allowed(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(path.read_text().replace("ten hats", "TEN hats"))
    assert validate.main(flags) == 3
    said = capsys.readouterr().err
    assert "manifest.jsonl: line 3: the tokenizer cannot spell 1 of 3 transcripts" in said
    assert "--normalise lowercase" in said and "--allow-unk" in said
    note(tmp_path / "model", lambda notes: {"training": {"settings": {"data.text": "lower"}}})
    assert validate.main(flags) == 3
    assert "in small letters: --normalise lower." in capsys.readouterr().err
    assert validate.main([*flags, "--normalise", "lower"]) == 0
    capsys.readouterr()
    assert validate.main([*flags, "--allow-unk"]) == 0
    captured = capsys.readouterr()
    assert "cannot spell 1 of 3" in captured.err and "said  TEN hats" in captured.out


@pytest.mark.slow
def test_texts_are_normalised_as_in_training(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("text_unidecode")
    path = tmp_path / "manifest.jsonl"
    path.write_text(path.read_text().replace("ten hats", "10 Hats!"))
    assert validate.main([*flags, "--normalise", "lowercase"]) == 0
    assert "said  ten hats" in capsys.readouterr().out


def test_errors_without_any_word_are_null_in_json(tmp_path: Path, flags: list[str]) -> None:
    lines = (tmp_path / "manifest.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "manifest.jsonl").write_text(lines[1])  # the one without speech
    assert validate.main([*flags, "--json", str(tmp_path / "report.json")]) == 0
    content = (tmp_path / "report.json").read_text()
    assert "Infinity" not in content
    report = json.loads(content)
    assert report["insertions"] > 0 and report["words"] == 0 and report["wer"] is None


def test_streaming_equals_the_training_forward(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert validate.main([*flags, "--reset-stats", "--compare-full"]) == 0
    assert capsys.readouterr().out.endswith("0 of 3 utterances differ\n")


def test_a_difference_from_the_training_forward_is_shown_and_returns_1(
    flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        validate, "_training_forward", lambda _: lambda network, audio: [[(3, 1)] for _ in audio]
    )
    assert validate.main([*flags, "--reset-stats", "--compare-full"]) == 1
    printed = capsys.readouterr().out
    assert "2.flac: token 0 differs at encoder frame" in printed
    assert "at step 1" in printed and printed.endswith("3 of 3 utterances differ\n")


def test_streaming_is_compared_where_there_are_no_references_too(
    flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        validate, "_training_forward", lambda _: lambda network, audio: [[(3, 1)] for _ in audio]
    )
    assert validate.main([*flags, "--no-reference", "--reset-stats", "--compare-full"]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err.endswith("3 of 3 utterances differ\n")


def test_a_comparison_without_reset_statistics_is_a_wrong_command_line(
    flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "_training_forward", lambda _: lambda network, audio: [])
    assert validate.main([*flags, "--compare-full"]) == 2
    assert "--compare-full wants --reset-stats" in capsys.readouterr().err


def test_a_comparison_without_torch_says_how_to_get_it(
    flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "train.evaluation", raising=False)
    assert validate.main([*flags, "--reset-stats", "--compare-full"]) == 4
    assert capsys.readouterr().err == f"error: torch is not installed: {install_command('train')}\n"


def test_a_manifest_line_without_text_is_named_and_returns_3(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"audio_filepath": "0.flac", "duration": 0.8}\n')
    assert validate.main(flags) == 3
    error = capsys.readouterr().err
    assert "manifest.jsonl: line 4:" in error and "text" in error


def test_a_missing_model_is_named_and_returns_3(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate.main(["--model", str(tmp_path / "none"), *flags[2:]]) == 3
    assert f"{tmp_path / 'none'}: no such model" in capsys.readouterr().err


def test_a_broken_recording_is_named_and_returns_3(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.flac").write_bytes((tmp_path / "1.flac").read_bytes()[:2000])
    assert validate.main(flags) == 3
    assert "1.flac" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--alpha", "1.5"], "alpha is 1.5"),
        (["--endpoint-silence", "0.01"], "silence is 0.01 s, wants 0.06 or more"),
        (["--state-resets", "--reset-overlap", "1"], "reset-overlap is 1 s of a segment of 15 s"),
        (["--decoder", "best"], "decoder is 'best'; there are greedy, beam"),
        (["--ngram", "a.arpa", "--ngram-weight", "1"], "ngram is for a beam search"),
        (["--decoder", "beam", "--ngram", "a.arpa"], "ngram wants its weight, too"),
        (["--chunk-ms", "240"], "the model is trained with chunks of 60 ms"),
    ],
)
def test_arguments_out_of_range_return_2(
    flags: list[str], wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate.main([*flags, *wrong]) == 2
    assert message in capsys.readouterr().err


def test_a_report_that_could_not_be_written_is_refused_before_anything_runs(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        validate.main([*flags, "--json", str(tmp_path / "none" / "report.json")])
    assert "there is no such folder" in capsys.readouterr().err


def test_an_abbreviated_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        validate.main(["--reset"])
    assert "--reset" in capsys.readouterr().err


def test_a_beam_search_is_validated_with_its_width(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for search in ([], ["--decoder", "beam", "--beam-width", "1"], ["--decoder", "beam"]):
        assert validate.main([*flags, "--reset-stats", *search]) == 0
        said.append(capsys.readouterr().out.partition("RTF")[0])
    assert len(set(said)) > 1


@pytest.mark.parametrize(
    "argv, text",
    [
        (["--beam-width", "8"], "--beam-width goes with --decoder beam"),
        (["--decoder", "beam", "--compare-full"], "--compare-full compares greedy decoding"),
    ],
)
def test_flags_of_decoders_that_contradict_each_other_exit_with_2(
    argv: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        validate.main(argv)
    assert exit_.value.code == 2
    assert text in capsys.readouterr().err


def test_a_width_that_is_none_exits_with_2(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate.main([*flags, "--decoder", "beam", "--beam-width", "0"]) == 2
    assert "beam: width is 0, wants 1 or more" in capsys.readouterr().err


def test_the_front_end_in_fixed_point_is_a_flag(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate.main([*flags, "--front-end", "fixed"]) == 0
    assert "3 utterances" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        validate.main([*flags, "--front-end", "fixed", "--reset-stats", "--compare-full"])
    assert "--compare-full compares the float front end" in capsys.readouterr().err


def myrtle(path: Path, *transcripts: str) -> Path:
    """Write a list of Myrtle's, of the recordings of `flags`; durations say nothing."""
    entries = [
        {"transcript": text, "files": [{"fname": f"{i}.flac"}], "original_duration": 0.0}
        for i, text in enumerate(transcripts)
    ]
    path.write_text(json.dumps(entries))
    return path


def test_a_list_of_dummy_transcripts_gives_predictions_and_no_error_rate(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = myrtle(tmp_path / "list.json", "dummy", "dummy")
    argv = [*flags[:2], "--backend", "numpy", "--manifest", str(path)]
    assert validate.main(argv) == 0
    captured = capsys.readouterr()
    assert captured.err == "every transcript is 'dummy': no errors are counted\n"
    assert [line.split("\t")[0] for line in captured.out.splitlines()] == ["0.flac", "1.flac"]
    with pytest.raises(SystemExit, match="2"):
        validate.main([*argv, "--latency"])
    assert "there are no transcripts" in capsys.readouterr().err


def test_lists_of_other_formats_are_scored(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lists").mkdir()
    path = myrtle(tmp_path / "lists" / "list.json", "a cat", "", "ten hats")
    scores = []
    for manifest in ([], ["--manifest", str(path), "--root", str(tmp_path)]):
        assert validate.main([*flags, "--reset-stats", *manifest]) == 0
        scores.append(capsys.readouterr().out.partition("RTF")[0])
    assert scores[0] == scores[1]


def test_lists_of_other_formats_are_read_without_torch(flags: list[str], tmp_path: Path) -> None:
    path = myrtle(tmp_path / "list.json", "a cat")
    code = f"""
import sys
sys.modules["torch"] = None
from stream import validate
raise SystemExit(validate.main({[*flags[:2], "--backend", "numpy", "--manifest", str(path)]}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_list_of_nothing_is_named(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = myrtle(tmp_path / "list.json")
    assert validate.main([*flags, "--manifest", str(path)]) == 3
    assert "list.json: names no recording" in capsys.readouterr().err


def test_lines_without_text_are_recognised_where_no_reference_is_wanted(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"audio_filepath": "0.flac", "duration": 0.8}\n')
    assert validate.main([*flags, "--no-reference"]) == 0
    assert capsys.readouterr().out.startswith("0.flac\t")


def test_a_folder_of_checkpoints_makes_a_table(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    for name, seed in (("a", 1), ("b", 2)):
        network = tiny_network(seed, floor=1e-20)
        write_checkpoint(from_network(network, "1.4"), tmp_path / "run" / f"{name}.pt")
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "run" / "optimiser.pt").write_text("no checkpoint")
    report = tmp_path / "report.json"
    argv = [*flags[2:], "--model", str(tmp_path / "run"), "--state-resets", "both"]
    assert validate.main([*argv, "--json", str(report)]) == 0
    lines = capsys.readouterr().out.splitlines()
    paths = [str(tmp_path / "run" / f"{name}.pt") for name in "ab"]
    names = [name for path in paths for name in (path, f"{path}, states reset")]
    assert [line.partition("  /")[2].partition("   <-")[0] for line in lines[1:]] == [
        name[1:] for name in names
    ]
    assert sum(line.endswith("<- best") for line in lines) == 1
    runs = json.loads(report.read_text())["runs"]
    assert [run["name"] for run in runs] == names
    with pytest.raises(SystemExit, match="2"):
        validate.main([*argv, "--predictions", str(tmp_path / "p.txt")])
    assert "for one model, run one way" in capsys.readouterr().err


def test_a_folder_without_a_model_is_named_and_returns_3(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    assert validate.main([*flags[2:], "--model", str(tmp_path / "run")]) == 3
    assert "holds no checkpoint (*.pt)" in capsys.readouterr().err


def test_times_that_a_manifest_gives_are_what_latency_is_measured_by(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    assert validate.main([*flags, "--reset-stats", "--json", str(report)]) == 0
    heard = json.loads(report.read_text())["utterances"][0]["hypothesis"]
    words = [[word, 0.1 * n, 0.1 * n + 0.1] for n, word in enumerate(heard.split())]
    line = {"audio_filepath": "0.flac", "text": heard, "duration": 0.8, "words": words}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line))
    assert validate.main([*flags, "--reset-stats", "--allow-unk", "--latency"]) == 0
    count = len(words)
    assert f"of {count} words, the ends of {count} given" in capsys.readouterr().out
    ctm = tmp_path / "words.ctm"
    ctm.write_text("".join(f"0 1 {start} {end - start} {word}\n" for word, start, end in words))
    argv = [
        *flags,
        "--reset-stats",
        "--allow-unk",
        "--reference-ctm",
        str(ctm),
        "--json",
        str(report),
    ]
    assert validate.main(argv) == 0
    assert json.loads(report.read_text())["latency"]["given"] == count


def test_recordings_are_limited_joined_and_broken_down(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate.main([*flags, "--reset-stats", "--limit", "2", "--breakdown"]) == 0
    printed = capsys.readouterr().out
    assert "2 utterances" in printed and "under 2 s" in printed
    assert validate.main([*flags, "--reset-stats", "--concatenate", "9", "--latency"]) == 0
    printed = capsys.readouterr().out
    assert "said  a cat ten hats" in printed and "1 utterances" in printed
    assert "emission latency" in printed
    for wrong, message in (
        (["--limit", "0"], "--limit is 0; want 1 or more"),
        (["--concatenate", "0"], "--concatenate is 0; want more than 0"),
    ):
        with pytest.raises(SystemExit, match="2"):
            validate.main([*flags, *wrong])
        assert message in capsys.readouterr().err
