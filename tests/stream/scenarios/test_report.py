"""The scenarios on the command line: rows, table, JSON, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from stream import validate
from stream.engine.engine import load_engine
from stream.manifest import Utterance
from stream.model.directory import write
from stream.scenarios import rows
from tests.server.scripted import pcm, samples_of, talking_network


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model and a manifest of two recordings; short noises."""
    monkeypatch.setattr(rows, "NOISE_SECONDS", (0.5, 1.0))
    monkeypatch.setattr(rows, "TONE_SECONDS", 7.0)
    write(talking_network(), tmp_path / "model", {})
    lines = []
    for i, text in enumerate(("a cat", "ten hats")):
        soundfile.write(tmp_path / f"{i}.flac", samples_of(pcm(0.8, i)), 16_000)
        entry = {"audio_filepath": f"{i}.flac", "text": text, "duration": 0.8}
        lines.append(json.dumps(entry) + "\n")
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    manifest = str(tmp_path / "manifest.jsonl")
    return ["--model", str(tmp_path / "model"), "--manifest", manifest, "--backend", "numpy"]


def test_all_scenarios_are_printed_and_written(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "rows.json"
    assert validate.main([*flags, "--scenario", "all", "--json", str(target)]) == 0
    report = json.loads(target.read_text())
    assert report["schema"] == "rill.scenarios/1"
    found = {row["scenario"] for row in report["rows"]}
    assert found == {"plain", *rows.SCENARIOS}
    behind = [row for row in report["rows"] if row["scenario"] == "noise"]
    assert [row["name"] for row in behind][:2] == [
        "0.5 s of white noise, -60 dBFS",
        "1 s of white noise, -60 dBFS",
    ]
    plain = report["rows"][0]
    for row in report["rows"]:
        assert row["plain_wer"] in (plain["wer"], None)
        assert (row["words"] == 4) == (row["scenario"] != "tones")
    said = capsys.readouterr()
    assert said.out.count("\n") == 2 + len(report["rows"])
    assert "| stream | one stream, never reset | " in said.out
    assert "| stream | one stream, never reset, 0.5 s between recordings | " in said.out
    assert "tones: busy   " in said.err


def test_one_scenario_has_its_own_rows_and_the_plain_one(flags: list[str], tmp_path: Path) -> None:
    target = tmp_path / "rows.json"
    assert validate.main([*flags, "--scenario", "telephone", "--json", str(target)]) == 0
    names = [row["name"] for row in json.loads(target.read_text())["rows"]]
    assert names == ["as they are", "8 kHz", "G.711, mu-law", "G.711, A-law"]


def test_the_plain_row_is_that_of_a_validation_with_fresh_statistics(
    flags: list[str], tmp_path: Path
) -> None:
    for name, more in (("rows", ["--scenario", "tones"]), ("report", ["--reset-stats"])):
        assert validate.main([*flags, *more, "--json", str(tmp_path / name)]) == 0
    plain = json.loads((tmp_path / "rows").read_text())["rows"][0]
    assert plain["wer"] == json.loads((tmp_path / "report").read_text())["wer"]


def test_noise_comes_from_a_folder(flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "fan.wav", samples_of(pcm(0.5, 7)), 16_000)
    target = tmp_path / "rows.json"
    more = ["--scenario", "noise", "--noise", str(tmp_path / "noise"), "--json", str(target)]
    assert validate.main([*flags, *more]) == 0
    names = [row["name"] for row in json.loads(target.read_text())["rows"]]
    assert len(names) == 7 and all("of fan, " in name for name in names[1:])


def test_what_does_not_go_together_is_refused(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in (["--noise", "here"], ["--scenario", "all", "--alpha", "0.1"]):
        with pytest.raises(SystemExit) as left:
            validate.main([*flags, *more])
        assert left.value.code == 2
    missing = str(tmp_path / "none")
    assert validate.main([*flags, "--scenario", "noise", "--noise", missing]) == 2
    assert "no such folder of noise" in capsys.readouterr().err


def test_recordings_begin_at_several_moments_of_a_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "NOISE_SECONDS", (2.0,))
    write(talking_network(), tmp_path / "model", {})
    engine = load_engine(tmp_path / "model", 10, "numpy")
    followed: list[int] = []
    follow = engine.follow

    def noted(slot: int, source: int) -> None:
        followed.append(source)
        follow(slot, source)

    monkeypatch.setattr(engine, "follow", noted)
    utterances = []
    for i in range(12):
        soundfile.write(tmp_path / f"{i}.flac", samples_of(pcm(0.5, i)), 16_000)
        path = tmp_path / f"{i}.flac"
        utterances.append(Utterance(id=str(i), audio=path, text="a cat", duration=0.5))
    noise = {"fan": samples_of(pcm(2.0, 9))}
    found = list(rows.scenario_rows(engine, utterances, ["noise"], noise))
    assert [row.name[:4] for row in found] == ["as t", *["2 s "] * 3]
    assert len(followed) == 36
    for row in range(3):
        counts = Counter(followed[12 * row : 12 * (row + 1)])
        assert sorted(counts.values()) == [1] * 4 + [2] * 4
    free = [engine.open() for _ in range(10)]
    assert None not in free
