"""`bench` compares a folder with S3, and no credential leaves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from train.data.__main__ import main
from train.data.storage.sources import S3Access

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for number in range(8):
        (tmp_path / "clips" / f"{number}.flac").write_bytes(bytes([number]) * (1000 + number))
    return tmp_path / "clips"


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    return path


def written(tmp_path: Path, credentials: Path) -> bytes:
    """All bytes of all files but the one of credentials."""
    files = (path for path in tmp_path.rglob("*") if path.is_file() and path != credentials)
    return b"".join(path.read_bytes() for path in files)


def test_a_folder_and_a_server_print_a_row_for_each_number_of_workers(
    folder: Path,
    credentials: Path,
    s3: S3Access,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [
        "bench", "--source", f"mount={folder}", "--source", f"s3=s3://{bucket}/clips",
        "--workers", "1,4", "--files", "4", "--endpoint-url", str(s3.endpoint),
        "--credentials", str(credentials),
    ]  # fmt: skip
    assert main(command) == 0
    table = capfd.readouterr()
    header, *rows = table.out.splitlines()
    assert header.split() == [
        "source",
        "workers",
        "files",
        "files/s",
        "MB/s",
        "p50",
        "ms",
        "p99",
        "ms",
        "errors",
    ]
    assert [row.split()[:3] for row in rows] == [
        ["mount", "1", "4"], ["s3", "1", "4"], ["mount", "4", "4"], ["s3", "4", "4"]
    ]  # fmt: skip
    assert main([*command, "--json"]) == 0
    lines = capfd.readouterr()
    runs = [json.loads(line) for line in lines.out.splitlines()]
    assert sum(run["bytes"] for run in runs if run["source"] == "s3") == 8028
    assert all(run["errors"] == 0 and run["again"] == 0 for run in runs)
    everything = table.out + table.err + lines.out + lines.err
    for secret in (KEY, SECRET):
        assert secret not in everything
        assert secret.encode() not in written(tmp_path, credentials)


@pytest.mark.parametrize("place", ["s3://no-such-bucket/x", "s3://speech/none"])
def test_a_server_that_refuses_shows_no_credential_either(
    place: str,
    s3: S3Access,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(s3.endpoint))
    assert main(["bench", "--source", f"s3={place}"]) == 3
    printed = capfd.readouterr()
    assert place in printed.err
    assert KEY not in printed.out + printed.err
    assert SECRET not in printed.out + printed.err


def test_files_that_cannot_be_read_make_exit_status_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "gone.flac").symlink_to(folder / "nowhere")
    assert main(["bench", "--source", f"mount={folder}", "--workers", "2"]) == 1
    assert "gone.flac" in capsys.readouterr().err


def test_files_that_are_read_again_are_said_to_be(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--source", f"mount={folder}", "--workers", "1,2"]) == 0
    assert "2 workers: 8 files were read before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "/mnt"], "want NAME=FOLDER"),
        (["--source", "m=/mnt", "--workers", "1,x"], "--workers is 'x'"),
        (["--source", "m=/mnt", "--files", "0"], "--files is '0'"),
        (["--source", "m=/mnt", "--endpoint-url", "tos.example"], "is no URL"),
    ],
)
def test_a_wrong_command_line_is_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    assert main(["bench", "--source", f"m={tmp_path / 'no'}"]) == 3
    assert main(["bench", "--source", "m=gs://bucket/x"]) == 3
    assert main(["bench", "--source", f"m={tmp_path}", "--credentials", "/no"]) == 3
