from __future__ import annotations

import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from server.flags import make_parser
from server.limits import Limits
from server.options import OptionError, Options, read
from server.tokens.file import TokenFileError, digest
from server.tokens.keyring import Keyring
from stream.bundled import NAMES
from stream.decoding.options import DecoderOptions


def options(*argv: str, **variables: str) -> Options:
    return read(make_parser(variables).parse_args(list(argv)), variables)


def test_without_flags_the_bundled_model_is_served_to_this_machine() -> None:
    got = options()
    assert dict(got.models) == {"general": None}
    assert (got.host, got.port, got.wyoming_port) == ("127.0.0.1", 3030, None)
    assert got.limits == Limits()
    assert (got.slots, got.backend, got.front_end) == (None, None, "float")
    assert (got.root, got.strict, got.log_format) == ("page", False, "text")
    assert got.decoder == DecoderOptions()
    assert not got.settings().access.keyring
    assert got.settings().tls is None


def test_a_length_of_chunk_is_for_all_models_or_for_those_that_are_named() -> None:
    models = ("--model", "fast=/a", "--model", "exact=/a", "--model", "/b")
    assert options(*models).chunks == {}
    everywhere = dict.fromkeys(("fast", "exact", "general"), 240)
    assert options(*models, "--chunk-ms", "240").chunks == everywhere
    named = options(*models, RILL_CHUNK_MS="240, fast=120, exact=960").chunks
    assert named == {"fast": 120, "exact": 960, "general": 240}
    for wrong in ("fast", "other=120", "fast=0.1", "-60"):
        with pytest.raises(OptionError, match="--chunk-ms is .*; want MS, or NAME=MS of fast"):
            options(*models, f"--chunk-ms={wrong}")


def test_a_bundled_model_has_its_own_name_where_it_is_given_none() -> None:
    first, second = NAMES
    assert dict(options("--model", first, "--model", second).models) == {
        first: Path(first),
        second: Path(second),
    }
    named = options(RILL_MODEL=f"general={first}, {second}").models
    assert dict(named) == {"general": Path(first), second: Path(second)}


def test_each_flag_is_a_variable_too_and_the_command_line_wins() -> None:
    variables = {
        "RILL_MODEL": "a=/models/a, /models/b",
        "RILL_HOST": "0.0.0.0",
        "RILL_PORT": "4040",
        "RILL_WYOMING_PORT": "10300",
        "RILL_SLOTS": "7",
        "RILL_BACKEND": "numpy",
        "RILL_FRONT_END": "fixed",
        "RILL_ROOT_PROTOCOL": "vosk",
        "RILL_STRICT_MYRTLE": "yes",
        "RILL_ALLOWED_ORIGINS": "https://a.org/, https://b.org:443",
        "RILL_ALLOWED_HOSTS": "asr.example.org",
        "RILL_TRUSTED_PROXIES": "10.0.0.0/8, fd00::1",
        "RILL_LOG_LEVEL": "debug",
        "RILL_AUDIO_RATE": "inf",
        "RILL_IDLE_SECONDS": "5",
        "RILL_LOG_FORMAT": "json",
        "RILL_DECODER": "beam",
        "RILL_BEAM_WIDTH": "8",
        "RILL_FINAL_SECONDS": "off",
        "RILL_ENDPOINT_SILENCE": "0.6",
        "RILL_STATE_RESETS": "1",
    }
    got = options("--slots", "9", **variables)
    assert dict(got.models) == {"a": Path("/models/a"), "general": Path("/models/b")}
    assert (got.host, got.port, got.wyoming_port) == ("0.0.0.0", 4040, 10300)
    assert got.limits == replace(Limits(), audio_rate=float("inf"), idle_seconds=5.0)
    assert (got.slots, got.backend, got.front_end) == (9, "numpy", "fixed")
    assert (got.root, got.strict, got.log_format) == ("vosk", True, "json")
    assert got.decoder == DecoderOptions(
        decoder="beam",
        beam_width=8,
        final_seconds=None,
        endpoint_silence=0.6,
        state_resets=True,
    )
    assert got.origins == {"https://a.org", "https://b.org"}
    assert got.hosts.allow("asr.example.org") and got.hosts.network
    assert [str(network) for network in got.proxies] == ["10.0.0.0/8", "fd00::1/128"]
    assert got.settings().access.hosts is got.hosts
    assert got.settings().proxies == got.proxies
    assert got.log_level == "debug"
    assert dict(options("--model", "x=/x", **variables).models) == {"x": Path("/x")}


@pytest.mark.parametrize(
    "argv, warned",
    [
        ([], ()),
        (["--wyoming-port", "0"], ()),
        (["--host", "0.0.0.0"], ("listening on 0.0.0.0 without tokens",)),
        (["--host", "0.0.0.0", "--token-file", "t"], ()),
        (["--wyoming-port", "0", "--token-file", "t"], ("Wyoming's protocol knows no tokens",)),
        (["--allowed-origins", "*"], ("--allowed-origins * without tokens",)),
        (["--allowed-hosts", "*"], ("--allowed-hosts * without tokens",)),
        (["--allowed-hosts", "*", "--token-file", "t"], ()),
    ],
)
def test_what_lets_everybody_in_is_said_at_the_start(
    argv: list[str], warned: tuple[str, ...]
) -> None:
    warnings = options(*argv).warnings()
    assert len(warnings) == len(warned)
    assert all(got.startswith(wanted) for got, wanted in zip(warnings, warned, strict=True))


@pytest.mark.parametrize(
    "argv",
    [
        ["--allowed-hosts", "https://asr.example.org"],
        ["--allowed-origins", "example.org"],
        ["--trusted-proxies", "10.0.0.1/8"],
        ["--log-level", "loud"],
    ],
)
def test_names_and_networks_that_are_none_are_refused_with_the_flag(argv: list[str]) -> None:
    with pytest.raises(OptionError, match=argv[0]):
        options(*argv)


def test_aliases_are_further_names_of_models() -> None:
    assert options().aliases == {}
    argv = ("--model", "en=x", "--alias", "whisper-1=en", "--alias", "gpt-4o-transcribe=en")
    aliases = {"whisper-1": "en", "gpt-4o-transcribe": "en"}
    assert options(*argv).aliases == aliases
    assert options("--model", "en=x", RILL_ALIAS="whisper-1=en").aliases == {"whisper-1": "en"}


@pytest.mark.parametrize(
    "argv, text",
    [
        (["--port", "65536"], "--port is 65536; want 0 to 65535"),
        (["--wyoming-port", "-1"], "--wyoming-port is -1; want 0 to 65535"),
        (["--slots", "0"], "--slots is 0; want 1 or more"),
        (["--idle-seconds", "0"], "--idle-seconds is 0; want more than 0"),
        (["--audio-rate", "nan"], "--audio-rate is nan; want more than 0"),
        (["--backend", "abacus"], "--backend is 'abacus'; there are"),
        (["--front-end", "abacus"], "--front-end is 'abacus'; there are float, fixed"),
        (["--root-protocol", "morse"], "--root-protocol is 'morse'; there are page, myrtle"),
        (["--log-format", "xml"], "--log-format is 'xml'; there are text, json"),
        (["--decoder", "beams"], "--decoder is 'beams'; there are greedy, beam"),
        (
            ["--eos-mode", "stream"],
            "--eos-mode is 'stream'; there are endpoint, blank, ignore, text",
        ),
        (["--beam-width", "0"], "--beam-width is 0; want 1 or more"),
        (["--endpoint-silence", "0"], "--endpoint-silence is 0; want more than 0"),
        (["--endpoint-silence", "0.01"], "silence is 0.01 s, wants 0.06 or more"),
        (["--final-seconds", "nan"], "--final-seconds is nan; want more than 0"),
        (["--tls-key", "key.pem"], "--tls-key goes with --tls-cert"),
        (["--model", "=x"], "--model is '=x'; want PATH or NAME=PATH"),
        (["--model", "a", "--model", "b"], "--model has 'general' twice"),
        (["--alias", "whisper-1"], "--alias is 'whisper-1'; want ALIAS=NAME, of general"),
        (["--alias", "whisper-1=other"], "--alias is 'whisper-1=other'; want ALIAS=NAME"),
        (["--alias", "general=general"], "'general' is a model's name already"),
        (["--alias", "a=general", "--alias", "a=general"], "'a' is a model's name already"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(argv: list[str], text: str) -> None:
    with pytest.raises(OptionError) as raised:
        options(*argv)
    assert text in str(raised.value)


def test_a_switch_whose_variable_is_neither_on_nor_off_is_named() -> None:
    assert not options(RILL_STRICT_MYRTLE="0").strict
    assert options("--strict-myrtle", RILL_STRICT_MYRTLE="0").strict
    with pytest.raises(OptionError, match="RILL_STRICT_MYRTLE is 'perhaps'; want 1 or 0"):
        options(RILL_STRICT_MYRTLE="perhaps")


def secrets_found(keyring: Keyring, *secrets: str) -> list[str | None]:
    """Return the names of the tokens of some secrets."""
    return [found and found.name for found in map(keyring.find, secrets)]


def test_tokens_come_from_the_environment_and_a_list(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(b"\xef\xbb\xbf# of the desk\r\nfirst \r\n\r\nsecond # two\r\n")
    keyring = options("--token-file", str(file), RILL_TOKEN="third").settings().access.keyring
    names = secrets_found(keyring, "first", "second # two", "third", "# of the desk", "")
    assert names == ["token-1", "token-2", "RILL_TOKEN", None, None]
    file.write_text("# nobody\n")
    with pytest.raises(TokenFileError, match="no token in it"):
        options("--token-file", str(file)).settings()
    file.write_bytes("first\n".encode("utf-16"))
    with pytest.raises(TokenFileError, match="tokens: is UTF-16; save it as UTF-8"):
        options("--token-file", str(file)).settings()


def test_named_tokens_are_checked_against_what_is_served(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(f'[desk]\nsha256 = "{digest("one")}"\nmodels = ["en"]\nprotocols = ["vosk"]\n')
    chosen = options("--token-file", str(file), "--model", "en=/en")
    assert secrets_found(chosen.settings().access.keyring, "one", "two") == ["desk", None]
    with pytest.raises(TokenFileError, match="desk: models has 'en'; there are general"):
        options("--token-file", str(file)).settings()
    file.write_text(f'[RILL_TOKEN]\nsha256 = "{digest("one")}"\n')
    with pytest.raises(TokenFileError, match="is the name of the token in the environment"):
        options("--token-file", str(file), RILL_TOKEN="third").settings()


@pytest.mark.parametrize(
    "name, mode, warned",
    [
        ("tokens", 0o600, None),
        ("tokens", 0o640, None),
        ("tokens", 0o644, "holds secrets and can be read by everybody (mode 0644)"),
        ("tokens.toml", 0o644, None),  # hashes
        ("tokens.toml", 0o664, "can be written by others (mode 0664)"),
    ],
)
def test_a_token_file_that_others_can_use_is_warned_about(
    tmp_path: Path, name: str, mode: int, warned: str | None
) -> None:
    file = tmp_path / name
    file.write_text("x\n")
    file.chmod(mode)
    warnings = options("--token-file", str(file)).warnings()
    assert len(warnings) == (warned is not None)
    assert all(str(warned) in warning for warning in warnings)


def test_a_reload_takes_tokens_and_a_certificate_and_survives_faults(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = make_certificate(tmp_path)
    tokens = tmp_path / "tokens"
    tokens.write_text("one\n")
    tls = ("--tls-cert", str(certificate), "--tls-key", str(key))
    chosen = options("--token-file", str(tokens), *tls)
    settings = chosen.settings()
    keyring = settings.access.keyring
    tokens.write_text("two\n")
    chosen.reload(settings)
    assert secrets_found(keyring, "one", "two") == [None, "token-1"] and keyring.reloaded
    tokens.write_text("# nobody\n")
    certificate.write_text("nonsense")
    chosen.reload(settings)
    assert secrets_found(keyring, "two") == ["token-1"] and not keyring.reloaded
    assert "the tokens stay as they were" in caplog.text
    assert "the certificate stays as it was" in caplog.text


def test_a_certificate_makes_tls_and_a_broken_one_is_named(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    settings = options("--tls-cert", str(certificate), "--tls-key", str(key)).settings()
    assert isinstance(settings.tls, ssl.SSLContext)
    certificate.write_text("nonsense")
    with pytest.raises(OSError, match=r"certificate\.pem and .*key\.pem make no TLS"):
        options("--tls-cert", str(certificate), "--tls-key", str(key)).settings()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *subject, *files], check=True, capture_output=True)
    return certificate, key
