"""Flags of `python -m server`, which may also be variables of the environment, or keys of a file.

The variable of a flag is RILL_ and its name in capitals, dashes as underscores: --idle-seconds is
RILL_IDLE_SECONDS. The command line wins over variables, and these over the file (`server.config`). A switch is
on where its variable is 1, true, yes or on; values of a list are separated by commas. What the values mean is
checked in `server.options`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from server.engine.supervision import Supervision
from server.http.app import ROOTS
from server.limits import Limits
from server.logs import FORMATS, LEVELS
from stream.backends import BACKENDS
from stream.bundled import NAMES
from stream.decoding.options import DecoderOptions, add_flags, value_flags

AUTO = "auto"
# How a configuration file writes them: as lists of strings, as tables, as paths from its folder.
LISTS = ("allowed_origins", "allowed_hosts", "trusted_proxies", "chunk_ms")
TABLES = ("model", "alias")
PATHS = ("model", "ngram", "token_file", "client_secret_key", "tls_cert", "tls_key")
LIMITS = {
    "message-bytes": "largest websocket message; a larger one ends the stream with 1009",
    "upload-bytes": "largest upload; a larger one is refused with 413",
    "upload-seconds": "an upload that was not received completely after so long is refused with 408",
    "spool-bytes": "bytes of all uploads on disk together; an upload beyond that is refused with 507",
    "recording-seconds": "longest recording of an upload; a longer one is refused with 413",
    "audio-rate": "seconds of audio that a client may send per second; faster ones are read more slowly",
    "idle-seconds": "a stream without any message for so long is closed with 1008",
    "stream-seconds": "a stream that has lasted so long is ended, with the rest of its text",
    "stall-seconds": "a stream whose client reads no response for so long is closed with 1008",
    "drain-seconds": "at shutdown, how long streams may go on before they are ended",
}


def make_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser.

    Args:
        environment: where a variable RILL_<FLAG> is the default of its flag.
    """
    parser = argparse.ArgumentParser(
        prog="rill serve",
        description="Serve models over websockets (Myrtle's API, sherpa-onnx, vosk, OpenAI "
        "realtime), HTTP uploads and Wyoming, with health and metrics.",
        epilog="Example: rill serve --model models/en-commands --slots 64. Each flag may "
        "also be set by an environment variable: --port by RILL_PORT, --idle-seconds by "
        "RILL_IDLE_SECONDS, and so on, or in a file. RILL_TOKEN is a token that clients have to send.",
        allow_abbrev=False,
    )

    def default_of(flag: str, default: str | None) -> str | None:
        return environment.get(variable_of(flag), default)

    add = value_flags(parser, default_of)

    def switch(flag: str, text: str) -> None:
        on = environment.get(variable_of(flag), "")
        parser.add_argument(f"--{flag}", action="store_true", default=on, help=text)

    add(
        "config",
        None,
        "TOML file with a key for each flag, such as idle_seconds = 30; flags and variables win over it",
        Path,
        "none",
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the effective configuration as such a file, with the origin of each value, and exit",
    )
    limits = Limits()
    models = environment.get(variable_of("model"))
    parser.add_argument(
        "--model",
        action="append",
        metavar="[NAME=]PATH",
        help="a model directory, a checkpoint or a bundled model, and its name for clients; may be repeated, "
        f"the first is the default model; bundled are {' and '.join(NAMES)}, which have their names where no "
        f"other is given (default: {NAMES[0]} as 'general')",
    )
    parser.set_defaults(model_variable=models)
    parser.add_argument(
        "--alias",
        action="append",
        metavar="ALIAS=NAME",
        help="a further name of a model, for clients with a fixed model name, such as "
        "whisper-1=general; may be repeated (default: none)",
    )
    parser.set_defaults(alias_variable=environment.get(variable_of("alias")))
    add("host", "127.0.0.1", "address to listen on; 0.0.0.0 for all addresses of this machine")
    add("port", "3030", "TCP port of websockets and HTTP; 0 for any free port", int)
    add(
        "wyoming-port",
        None,
        "TCP port of Wyoming's protocol, which has neither tokens nor TLS",
        int,
        "none",
    )
    add(
        "slots",
        AUTO,
        f"channels of each model: the most streams at a time, further ones get HTTP 503; {AUTO}: what "
        "a self-test finds, shared equally by several models",
        slots_or_auto,
    )
    add(
        "backend",
        AUTO,
        f"what computes the models: {', '.join(sorted(BACKENDS))}; {AUTO}: the fastest",
    )
    add(
        "chunk-ms",
        None,
        "length of a chunk, ms, one that the models are trained with; NAME=MS,NAME=MS gives some models their own, "
        "and a model that is served under two names may have two",
        str,
        "each model's own",
    )
    add("front-end", "float", "number format of the models' front end: float, fixed")
    add_flags(add, DecoderOptions())
    switch(
        "state-resets",
        "reset the states of long streams, for models that get worse on them",
    )
    add("root-protocol", "page", "protocol of a websocket at /: " + ", ".join(ROOTS))
    switch(
        "strict-myrtle",
        "no additions to the responses of Myrtle's API: no words, confidence 1.0",
    )
    add(
        "token-file",
        None,
        "file of tokens, of which clients have to send one: TOML with names and limits, as `rill token` "
        "writes it, or one token per line where it does not end in .toml",
        Path,
        "none",
    )
    add(
        "client-secret-key",
        None,
        "file of a key, the same on all servers that are to take each other's client secrets; "
        "openssl rand -hex 32 makes one",
        Path,
        "a new one at each start",
    )
    add("tls-cert", None, "certificate chain, PEM; enables TLS", Path, "none")
    add("tls-key", None, "its private key, PEM", Path, "in the file of the certificate")
    add(
        "allowed-origins",
        None,
        "origins of other web pages that may use this server, separated by commas; * for all",
        str,
        "only the server's own",
    )
    add(
        "allowed-hosts",
        None,
        "further names by which clients address this server, separated by commas: "
        "asr.example.org, *.example.org, or * for all; requests for other names are refused with "
        "421, as a protection against DNS rebinding",
        str,
        "IP addresses and localhost; on a network also names without a dot, and those under "
        ".local, .internal and .home.arpa",
    )
    add(
        "trusted-proxies",
        None,
        "networks of proxies, such as 10.0.0.0/8, separated by commas, whose X-Forwarded-For, "
        "X-Forwarded-Proto and X-Request-Id are trusted",
        str,
        "none",
    )
    for flag, text in LIMITS.items():
        value = getattr(limits, field_of(flag))
        add(flag, f"{value:g}" if isinstance(value, float) else str(value), text, type(value))
    supervision = Supervision()
    add(
        "hang-seconds",
        f"{supervision.hang_seconds:g}",
        "an engine that does not answer for so long is hung, and /healthz is 503; after three "
        "times as long it is killed and restarted",
        float,
    )
    add(
        "load-seconds",
        f"{supervision.load_seconds:g}",
        "an engine that has not loaded its model after so long is killed",
        float,
    )
    add(
        "engine-restarts",
        str(supervision.restarts),
        "restarts of a failed engine within five minutes before the server exits with 1",
        int,
    )
    add("log-format", "text", "format of the log on stderr: " + ", ".join(FORMATS))
    add("log-level", "info", "lowest level that is logged: " + ", ".join(LEVELS))
    return parser


def slots_or_auto(text: str) -> int | None:
    """Read a number of channels; None for "auto"."""
    try:
        return None if text == AUTO else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor {AUTO}") from error


def variable_of(flag: str) -> str:
    """Return the variable of a flag."""
    return f"RILL_{field_of(flag).upper()}"


def field_of(flag: str) -> str:
    """Return the attribute of a flag on the parsed arguments."""
    return flag.replace("-", "_")
