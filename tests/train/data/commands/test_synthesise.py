"""Synthesising: texts of a file become recordings with their transcripts, the same in every process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stream.extras import install_command
from train.data.__main__ import main
from train.data.formats.table import read_records
from train.data.records.record import Record, strict

GRAMMAR = """
def sentences():
    yield from ("71", "y", "Bonjour !")

def spoken(text):
    return "i grec" if text == "y" else text
"""


def synthesised(output: Path, texts: Path, *options: str) -> list[Record]:
    """Run the command and return what it wrote."""
    arguments = ["synthesise", str(texts), str(output), "--language", "fr", *options]
    assert main(arguments) == 0
    return list(strict(read_records(str(output))))


@pytest.fixture
def grammar(tmp_path: Path) -> Path:
    """Return a Python file that gives texts and says how they are read out."""
    path = tmp_path / "grammar.py"
    path.write_text(GRAMMAR)
    return path


def test_transcripts_are_normalised_and_texts_are_spoken_as_they_are_written(
    grammar: Path, tmp_path: Path
) -> None:
    records = synthesised(
        tmp_path / "a.tar.gz", grammar, "--normalise", "fr+numbers", "--rate", "120", "120"
    )
    assert [record.text for record in records] == ["soixante et onze", "y", "bonjour"]
    figures, letter, word = (len(record.read()) / 16000 for record in records)
    assert figures > 1.2 * word  # three words, and no single letter
    assert letter > 0.35  # "i grec", where "i" takes 0.2 s
    assert {record.corpus for record in records} == {"espeak-ng"}
    assert all(record.speaker and record.speaker.startswith("fr+") for record in records)
    assert len({record.speaker for record in records}) > 1


def test_lines_of_a_text_are_taken_again_where_more_recordings_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("un\n\ndeux\n")
    records = synthesised(
        tmp_path / "a.jsonl",
        tmp_path / "texts.txt",
        "--audio",
        str(tmp_path / "audio"),
        "--utterances",
        "5",
    )
    assert [record.text for record in records] == ["un", "deux", "un", "deux", "un"]
    first, third = records[0].read(), records[2].read()
    assert len(first) != len(third) or not np.array_equal(first, third)  # in other voices
    assert len(list((tmp_path / "audio").iterdir())) == 5


def test_every_process_writes_the_same_bytes(grammar: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("a.tar.gz", "b.tar.gz")]
    for output in outputs:
        command = [
            "synthesise",
            str(grammar),
            str(output),
            "--language",
            "fr",
            "--utterances",
            "40",
        ]
        subprocess.run([sys.executable, "-m", "train.data", *command], check=True, timeout=120)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    synthesised(tmp_path / "c.tar.gz", grammar, "--utterances", "40", "--seed", "2")
    assert (tmp_path / "c.tar.gz").read_bytes() != outputs[0].read_bytes()


@pytest.mark.parametrize(
    ("texts", "options", "code", "said"),
    [
        ("\n \n", (), 3, "texts.txt: has no text"),
        ("un\n&\n", ("--normalise", "fr"), 3, "text 2, '&': its transcript would be empty"),
        ("un\n...\n", (), 3, "texts.txt: text 2, '...': nothing of it can be spoken"),
        (
            "un\n",
            ("--rate", "190", "90"),
            2,
            "--rate is 190 90; want two of 80 to 450, the lower first",
        ),
        ("un\n", ("--pitch", "0", "100"), 2, "--pitch is 0 100; want two of 0 to 99"),
        ("un\n", ("--utterances", "0"), 2, "--utterances is 0; want 1 or more"),
        ("un\n", ("--language", "xx"), 2, "eSpeak NG has no language xx; want one of"),
    ],
)
def test_what_cannot_be_spoken_is_refused_and_nothing_is_written(
    texts: str,
    options: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "texts.txt").write_text(texts)
    output = tmp_path / "a.tar.gz"
    arguments = [
        "synthesise",
        str(tmp_path / "texts.txt"),
        str(output),
        "--language",
        "fr",
        *options,
    ]
    assert main(arguments) == code
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["texts.txt"]


def test_without_the_package_the_command_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("un\n")
    program = (
        "import sys; sys.modules['espeakng_loader'] = None; from train.data.__main__ import main; "
        f"sys.exit(main(['synthesise', {str(tmp_path / 'texts.txt')!r}, {str(tmp_path / 'a.tar')!r}, '--language', 'fr']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert run.returncode != 0
    assert install_command("synthesis") in run.stderr
