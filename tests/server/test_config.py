from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from server.__main__ import main
from server.config import ConfigError, Configuration
from server.flags import make_parser
from server.options import OptionError
from stream.bundled import NAMES


def configured(path: Path, text: str, *argv: str, **variables: str) -> Configuration:
    path.write_text(text)
    return Configuration(["--config", str(path), *argv], variables)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "server.toml"


def test_a_file_sets_what_flags_set(file: Path) -> None:
    text = """
    port = 8080
    slots = 7
    audio_rate = inf
    endpoint_silence = "off"
    strict_myrtle = true
    allowed_hosts = ["asr.example.org", "*.example.net"]
    allowed_origins = "https://a.org"
    token_file = "tokens.toml"
    [model]
    en = "models/en"
    de = "/srv/de"
    [alias]
    whisper-1 = "de"
    """
    got = configured(file, text).options
    assert (got.port, got.slots, got.strict, got.limits.audio_rate) == (
        8080,
        7,
        True,
        float("inf"),
    )
    assert got.decoder.endpoint_silence is None
    assert got.hosts.allow("asr.example.org") and got.hosts.allow("x.example.net")
    assert got.origins == {"https://a.org"}
    assert got.token_file == file.parent / "tokens.toml"
    assert dict(got.models) == {"en": file.parent / "models/en", "de": Path("/srv/de")}
    assert dict(got.aliases) == {"whisper-1": "de"}


def test_a_bundled_model_is_named_unless_a_folder_beside_the_file_has_its_name(file: Path) -> None:
    first, second = NAMES
    (file.parent / first).mkdir()
    found = configured(file, f'[model]\na = "{first}"\nb = "{second}"\n')
    assert dict(found.options.models) == {"a": file.parent / first, "b": Path(second)}
    assert f'"b" = "{second}"' in list(found.describe())


def test_flags_win_over_variables_and_these_over_the_file(file: Path) -> None:
    text = 'port = 1\nslots = 1\nidle_seconds = 1\n[model]\na = "/a"\n'
    variables = {"RILL_PORT": "2", "RILL_SLOTS": "2"}
    got = configured(file, text, "--port", "3", **variables).options
    assert (got.port, got.slots, got.limits.idle_seconds) == (3, 2, 1.0)
    assert dict(configured(file, text, "--model", "b=/b").options.models) == {"b": Path("/b")}


def test_the_file_may_be_named_by_a_variable(file: Path) -> None:
    file.write_text("port = 8080\n")
    assert Configuration([], {"RILL_CONFIG": str(file)}).options.port == 8080


@pytest.mark.parametrize(
    "text, fault",
    [
        ("slot = 3", "unknown key slot (did you mean slots?)"),
        ("idle-seconds = 3", "unknown key idle-seconds (did you mean idle_seconds?)"),
        ("config = 'other.toml'", "unknown key config"),
        ("token = 'secret'", "unknown key token"),
        ("port = '80'", "port is '80'; want a whole number"),
        ("port = true", "port is true; want a whole number"),
        ("port = 80.5", "port is 80.5; want a whole number"),
        ("slots = 'many'", "slots is 'many'; want a whole number, or 'auto'"),
        ("final_seconds = 'never'", "final_seconds is 'never'; want a number, or 'off'"),
        ("strict_myrtle = 1", "strict_myrtle is 1; want true or false"),
        ("host = 1", "host is 1; want a string"),
        ("host = ['a']", "host is ['a']; want a string"),
        ("chunk_ms = 0.24", "chunk_ms is 0.24; want a string, or a list of them"),
        ("allowed_hosts = [1]", "allowed_hosts is [1]; want a list of strings"),
        ("allowed_hosts = ['a,b']", "allowed_hosts is ['a,b']; want a list of strings"),
        ("model = 'x'", "model is 'x'; want a table: [model]"),
        ("[model]\na = 'x,b=y'", "want names and paths without commas"),
        ("port = 80000", "port is 80000; want 0 to 65535"),
        ("backend = 'abacus'", "backend is 'abacus'; there are auto"),
        ("endpoint_silence = 0.01", "endpoint_silence: endpoint: silence is 0.01 s"),
        ("tls_key = 'x'", "tls_key goes with tls_cert"),
        ("allowed_hosts = ['https://x']", "allowed_hosts: 'https://x' is not a name"),
        ("port = ", "not TOML"),
        ("a = 1\na = 2", "not TOML"),
    ],
)
def test_a_wrong_key_is_named_with_the_file(file: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        configured(file, text)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{file}: ") and fault in line


def test_all_faults_are_named_at_once(file: Path) -> None:
    text = (
        "slot = 3\nport = 80000\nidle_seconds = 0\nlog_level = 'loud'\nhost = 1\ndrain_seconds = 3"
    )
    with pytest.raises(ConfigError) as raised:
        configured(file, text)
    faults = [line.removeprefix(f"{file}: ") for line in str(raised.value).splitlines()]
    assert [fault.split()[0] for fault in faults] == [
        "unknown",
        "host",
        "port",
        "idle_seconds",
        "log_level",
    ]


def test_a_fault_of_a_flag_or_variable_is_not_the_files(file: Path) -> None:
    with pytest.raises(OptionError, match="--port is 80000"):
        configured(file, "slots = 3\n", "--port", "80000")
    assert configured(file, "tls_key = 'k'\n", "--tls-cert", "c").options.tls_cert == Path("c")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: cannot be read: No such file"):
        Configuration(["--config", str(tmp_path / "nothing.toml")], {})
    (tmp_path / "binary.toml").write_bytes(b"\0\xff")
    with pytest.raises(ConfigError, match=r"binary\.toml: not TOML: holds zero bytes"):
        Configuration(["--config", str(tmp_path / "binary.toml")], {})


def test_every_flag_is_a_key(file: Path) -> None:
    """What --print-config prints of all defaults is a file, and names all flags."""
    printed = "\n".join(Configuration([], {}).describe())
    flags = {action.dest for action in make_parser({})._actions}
    named = set(tomllib.loads(printed)) | {
        line.split()[1] for line in printed.splitlines() if line.startswith("# ")
    }
    assert flags - named == {"help", "config", "print_config"}
    assert configured(file, printed).options == Configuration([], {}).options
    printed = "\n".join(Configuration(["--model", "a=models/a"], {}).describe())
    there = {"a": Path.cwd() / "models" / "a"}
    assert dict(configured(file, printed).options.models) == there  # whatever the file's folder


def test_print_config_says_what_is_set_and_by_whom(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RILL_LOG_LEVEL", "debug")
    monkeypatch.setenv("RILL_TOKEN", "hidden")
    file.write_text('slots = 9\nallowed_hosts = ["a.org"]\n[model]\nen = "/en"\n')
    assert main(["--config", str(file), "--port", "9000", "--print-config"]) == 0
    printed = capsys.readouterr().out
    for line in (
        "port = 9000  # --port",
        'log_level = "debug"  # RILL_LOG_LEVEL',
        f"slots = 9  # {file}",
        f'allowed_hosts = ["a.org"]  # {file}',
        'backend = "auto"  # default',
        f"[model]  # {file}",
        '"en" = "/en"',
    ):
        assert line in printed.splitlines()
    assert "hidden" not in printed


def test_a_faulty_file_ends_the_command_with_2(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("slot = 3\n")
    assert main(["--config", str(file)]) == 2
    assert "unknown key slot" in capsys.readouterr().err
