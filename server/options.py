"""Options: the server's flags, the same as variables of the environment, and what they make.

Every flag has a variable, RILL_ and its name in capitals, dashes as underscores: --idle-seconds is
RILL_IDLE_SECONDS. The command line wins. A switch is on where its variable is 1, true, yes or on;
values of a list are separated by commas. RILL_TOKEN, a token itself, has no flag: command lines are
seen by everybody on the machine. Nothing is opened here but the files of tokens and of TLS.
"""

from __future__ import annotations

import argparse
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from server.decoder_options import DECODERS, EOS_MODES, DecoderOptions, add_flags
from server.engine.supervision import Supervision
from server.http.access import Access, parse_tokens
from server.http.app import ROOTS, Settings
from server.http.hosts import ANY, Hosts, parse_hosts, parse_origins
from server.http.peers import Network, parse_networks
from server.limits import Limits
from server.logs import FORMATS, LEVELS
from stream.backends import BACKENDS
from stream.engine.front_end import FRONT_ENDS, FrontEndKind
from stream.text_file import TextError, read_text

__all__ = ["OptionError", "Options", "build_parser", "read"]

_T = TypeVar("_T")
AUTO = "auto"
TRUE = ("1", "true", "yes", "on")
FALSE = ("", "0", "false", "no", "off")
DELAYS = ("final-seconds", "endpoint-silence", "endpoint-length")
LIMITS = {
    "message-bytes": "largest websocket message; a larger one ends the stream with 1009",
    "upload-bytes": "largest upload; a larger one is refused with 413",
    "upload-seconds": "an upload that has not come in whole after so long is refused with 408",
    "spool-bytes": "bytes on disk of all uploads together; what does not fit is refused with 507",
    "recording-seconds": "longest recording of an upload; a longer one is refused with 413",
    "audio-rate": "seconds of audio that a client may send per second; a faster one is read slower",
    "idle-seconds": "a stream without any message for so long is closed with 1008",
    "stream-seconds": "a stream that has lasted so long is ended, with the rest of its text",
    "stall-seconds": "a client that reads no response for so long is closed",
    "drain-seconds": "at shutdown, how long streams may go on before they are ended",
}


class OptionError(ValueError):
    """A flag or a variable that makes no sense; the message names it."""


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        models: paths by name, the default first; a path None is the bundled model.
        aliases: further names, and whose they are.
        host, port, wyoming_port: to listen on; no Wyoming where it is None.
        backend: what computes the models; None: what is the fastest.
        front_end: the models' in float, or the same in fixed point.
        slots: streams at a time of each model; None: what the machine carries.
        decoder: how streams are decoded.
        limits: what a client may ask of this process.
        supervision: how patient the server is with its engines.
        log_format, log_level: of `server.logs`.
        origins, hosts, proxies: pages, names and proxies that are trusted.
    """

    models: Mapping[str, Path | None]
    aliases: Mapping[str, str]
    host: str
    port: int
    wyoming_port: int | None
    backend: str | None
    front_end: FrontEndKind
    slots: int | None
    decoder: DecoderOptions
    limits: Limits
    supervision: Supervision
    log_format: str
    log_level: str
    root: str
    strict: bool
    origins: frozenset[str]
    hosts: Hosts
    proxies: tuple[Network, ...]
    token: str
    token_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None

    def settings(self) -> Settings:
        """Read the files that access and encryption need.

        Raises:
            OSError: one of them cannot be read, or is not what it should be.
        """
        tokens: tuple[str, ...] = (self.token,) if self.token else ()
        if self.token_file is not None:
            try:
                tokens += parse_tokens(read_text(self.token_file))
            except TextError as error:
                raise OSError(f"{self.token_file}: {error}") from error
            if not tokens:
                raise OSError(f"{self.token_file}: no token in it; write one a line")
        tls = None
        if self.tls_cert is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            try:
                tls.load_cert_chain(self.tls_cert, self.tls_key)
            except OSError as error:
                key = self.tls_key or self.tls_cert
                raise OSError(f"{self.tls_cert} and {key} make no TLS: {error}") from error
        access = Access(tokens, self.origins, self.hosts)
        return Settings(access, self.root, self.strict, tls, self.proxies)

    def warnings(self) -> list[str]:
        """Return what lets in more than its operator may have meant to."""
        tokens = bool(self.token or self.token_file)
        warnings = []
        if self.hosts.network and not tokens:
            warnings.append(
                f"listening on {self.host} without tokens: whoever reaches this machine may use the "
                "server; see --token-file, or --host 127.0.0.1 behind a proxy on this machine"
            )
        if self.wyoming_port is not None and tokens:
            warnings.append(
                f"Wyoming's protocol knows no tokens: whoever reaches {self.host} on its port may "
                "use the server; keep the port within a network that may"
            )
        if not tokens:
            for flag, names in (("origins", self.origins), ("hosts", self.hosts.names)):
                if ANY in names:
                    warnings.append(
                        f"--allowed-{flag} {ANY} without tokens: any page that a browser which "
                        "reaches this server opens may use it"
                    )
        return warnings


def build_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser.

    Args:
        environment: where a variable RILL_<FLAG> is the default of its flag.
    """
    parser = argparse.ArgumentParser(
        prog="python -m server",
        description="Serve models over websockets (Myrtle's API, sherpa-onnx, vosk, OpenAI "
        "realtime), HTTP uploads and Wyoming, with health and metrics.",
        epilog="Example: python -m server --model models/en-commands --slots 64. Each flag may be "
        "given as a variable of the environment too: --port as RILL_PORT, --idle-seconds as "
        "RILL_IDLE_SECONDS, and so on. RILL_TOKEN is a token that clients have to show.",
        allow_abbrev=False,
    )

    def add(
        flag: str,
        default: str | None,
        text: str,
        kind: Callable[[str], object] = str,
        shown: str = "",
    ) -> None:
        parser.add_argument(
            f"--{flag}",
            default=environment.get(_variable(flag), default),
            type=kind,
            metavar=flag.upper().split("-")[-1],
            help=f"{text} (default: {shown or default})",
        )

    limits = Limits()
    models = environment.get(_variable("model"))
    parser.add_argument(
        "--model",
        action="append",
        metavar="[NAME=]PATH",
        help="a model directory or a checkpoint, and the name that clients ask for it by; may be "
        "given several times, the first is the default (default: the bundled model as 'general')",
    )
    parser.set_defaults(model_variable=models)
    parser.add_argument(
        "--alias",
        action="append",
        metavar="ALIAS=NAME",
        help="a further name of a model, for clients that ask for one of their own, such as "
        "whisper-1=general; may be given several times (default: none)",
    )
    parser.set_defaults(alias_variable=environment.get(_variable("alias")))
    add("host", "127.0.0.1", "address to listen on; 0.0.0.0 is every one of this machine")
    add("port", "3030", "TCP port of websockets and HTTP; 0 takes any free one", int)
    add(
        "wyoming-port",
        None,
        "TCP port of Wyoming's protocol, which knows neither tokens nor TLS",
        int,
        "none",
    )
    add(
        "slots",
        AUTO,
        f"streams at a time of each model, more get HTTP 503; {AUTO}: what a self-test finds, of "
        "which each of several models gets its part",
        _slots,
    )
    add(
        "backend",
        AUTO,
        f"what computes the models: {', '.join(sorted(BACKENDS))}; {AUTO}: the fastest",
    )
    add("front-end", "float", "the models' front end, or the same in fixed point: float, fixed")
    add_flags(add)
    _add_switch(
        parser,
        environment,
        "state-resets",
        "reset the states of long streams every 12 s, over 3 s, which a model that forgets needs",
    )
    add("root-protocol", "page", "what a websocket at / speaks: " + ", ".join(ROOTS))
    _add_switch(
        parser,
        environment,
        "strict-myrtle",
        "responses of Myrtle's API have nothing that theirs have not: no words, confidence 1.0",
    )
    add(
        "token-file",
        None,
        "file of tokens, one a line, of which clients have to show one",
        Path,
        "none",
    )
    add("tls-cert", None, "certificate chain, PEM; connections are encrypted then", Path, "none")
    add("tls-key", None, "its private key, PEM", Path, "in the file of the certificate")
    add(
        "allowed-origins",
        None,
        "origins of web pages elsewhere that may use this server, "
        "separated by commas; * is every one",
        str,
        "none but the server's own",
    )
    add(
        "allowed-hosts",
        None,
        "further names of this server, as they stand in the addresses of its clients, separated by "
        "commas: asr.example.org, *.example.org, or * for every one; requests for other names are "
        "refused with 421, against pages whose names are made to resolve to this machine",
        str,
        "IP addresses and localhost; on a network also names without a dot, and those under "
        ".local, .internal and .home.arpa",
    )
    add(
        "trusted-proxies",
        None,
        "networks of proxies, such as 10.0.0.0/8, separated by commas, whose X-Forwarded-For, "
        "X-Forwarded-Proto and X-Request-Id are believed",
        str,
        "none",
    )
    for flag, text in LIMITS.items():
        value = getattr(limits, _field(flag))
        add(flag, f"{value:g}" if isinstance(value, float) else str(value), text, type(value))
    supervision = Supervision()
    add(
        "hang-seconds",
        f"{supervision.hang_seconds:g}",
        "an engine that answers nothing for so long is hung, and /healthz is 503; after three times as "
        "long it is killed and restarted",
        float,
    )
    add(
        "load-seconds",
        f"{supervision.load_seconds:g}",
        "an engine whose model is not loaded after so long is killed",
        float,
    )
    add(
        "engine-restarts",
        str(supervision.restarts),
        "how often a failed engine is restarted within five minutes before the server ends, with 1",
        int,
    )
    add("log-format", "text", "lines of the log on stderr: " + ", ".join(FORMATS))
    add("log-level", "info", "least weight of a line: " + ", ".join(LEVELS))
    return parser


def _add_switch(
    parser: argparse.ArgumentParser, environment: Mapping[str, str], flag: str, text: str
) -> None:
    parser.add_argument(
        f"--{flag}", action="store_true", default=environment.get(_variable(flag), ""), help=text
    )


def read(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Options:
    """Check what was parsed.

    Raises:
        OptionError: a value is none that its flag may have.
    """
    for flag in ("port", "wyoming-port"):
        port = getattr(arguments, _field(flag))
        if port is not None and not 0 <= port <= 65535:
            raise OptionError(f"--{flag} is {port}; want 0 to 65535")
    if arguments.engine_restarts < 0:
        raise OptionError(f"--engine-restarts is {arguments.engine_restarts}; want 0 or more")
    for flag in ("slots", "beam-width", "hang-seconds", "load-seconds", *DELAYS, *LIMITS):
        value = getattr(arguments, _field(flag))
        if value is not None and not value > 0:
            least = "1 or more" if isinstance(value, int) else "more than 0"
            raise OptionError(f"--{flag} is {value:g}; want {least}")
    choices = {
        "backend": [AUTO, *sorted(BACKENDS)],
        "front-end": FRONT_ENDS,
        "root-protocol": ROOTS,
        "log-format": list(FORMATS),
        "log-level": LEVELS,
        "decoder": DECODERS,
        "eos-mode": EOS_MODES,
    }
    for flag, choice in choices.items():
        chosen = getattr(arguments, _field(flag))
        if chosen not in choice:
            raise OptionError(f"--{flag} is {chosen!r}; there are {', '.join(choice)}")
    if arguments.tls_key is not None and arguments.tls_cert is None:
        raise OptionError("--tls-key goes with --tls-cert")
    fields = {_field(flag): getattr(arguments, _field(flag)) for flag in LIMITS}
    models = _models(arguments.model or (arguments.model_variable or "").split(","))
    aliases = _aliases(arguments.alias or (arguments.alias_variable or "").split(","), models)
    return Options(
        models=models,
        aliases=aliases,
        host=arguments.host,
        port=arguments.port,
        wyoming_port=arguments.wyoming_port,
        backend=None if arguments.backend == AUTO else arguments.backend,
        front_end=arguments.front_end,
        slots=arguments.slots,
        decoder=_decoder(arguments),
        limits=Limits(**fields),
        supervision=Supervision(
            hang_seconds=arguments.hang_seconds,
            load_seconds=arguments.load_seconds,
            restarts=arguments.engine_restarts,
        ),
        log_format=arguments.log_format,
        log_level=arguments.log_level,
        root=arguments.root_protocol,
        strict=_switch(arguments, "strict-myrtle"),
        origins=_checked("allowed-origins", parse_origins, arguments.allowed_origins or ""),
        hosts=_checked(
            "allowed-hosts",
            lambda names: parse_hosts(names, arguments.host),
            arguments.allowed_hosts or "",
        ),
        proxies=_checked("trusted-proxies", parse_networks, arguments.trusted_proxies or ""),
        token=environment.get("RILL_TOKEN", "").strip(),
        token_file=arguments.token_file,
        tls_cert=arguments.tls_cert,
        tls_key=arguments.tls_key,
    )


def _checked(flag: str, read: Callable[[str], _T], text: str) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise OptionError(f"--{flag}: {error}") from error


def _decoder(arguments: argparse.Namespace) -> DecoderOptions:
    try:
        return DecoderOptions(
            decoder=arguments.decoder,
            beam_width=arguments.beam_width,
            final_seconds=arguments.final_seconds,
            endpoint_silence=arguments.endpoint_silence,
            endpoint_length=arguments.endpoint_length,
            state_resets=_switch(arguments, "state-resets"),
            eos_mode=arguments.eos_mode,
        )
    except ValueError as error:
        raise OptionError(str(error)) from error


def _switch(arguments: argparse.Namespace, flag: str) -> bool:
    value = getattr(arguments, _field(flag))
    if not isinstance(value, bool) and value.lower() not in TRUE + FALSE:
        raise OptionError(f"{_variable(flag)} is {value!r}; want 1 or 0")
    return value if isinstance(value, bool) else value.lower() in TRUE


def _slots(text: str) -> int | None:
    try:
        return None if text == AUTO else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor {AUTO}") from error


def _models(values: list[str]) -> dict[str, Path | None]:
    models: dict[str, Path | None] = {}
    for value in filter(None, (value.strip() for value in values)):
        name, equals, path = value.partition("=")
        if not equals:
            name, path = "general", value
        if not name or not path:
            raise OptionError(f"--model is {value!r}; want PATH or NAME=PATH")
        if name in models:
            raise OptionError(f"--model has {name!r} twice; give each model a name: NAME=PATH")
        models[name] = Path(path)
    return models or {"general": None}


def _aliases(values: list[str], models: Mapping[str, Path | None]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for value in filter(None, (value.strip() for value in values)):
        alias, _, name = value.partition("=")
        if not alias or name not in models:
            raise OptionError(f"--alias is {value!r}; want ALIAS=NAME, of {', '.join(models)}")
        if alias in models or alias in aliases:
            raise OptionError(f"--alias is {value!r}, but {alias!r} is a model's name already")
        aliases[alias] = name
    return aliases


def _variable(flag: str) -> str:
    return f"RILL_{_field(flag).upper()}"


def _field(flag: str) -> str:
    return flag.replace("-", "_")
