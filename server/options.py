"""Options of the server: what the flags of `server.flags` ask for, checked.

RILL_TOKEN, a token itself, has no flag: command lines can be read by everybody on the machine. Only
the files of tokens and of TLS are opened here.
"""

from __future__ import annotations

import argparse
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from server.engine.supervision import Supervision
from server.flags import AUTO, LIMITS, field_of, variable_of
from server.http.access import Access
from server.http.answers import UPLOADS
from server.http.app import ROOTS, Settings
from server.http.hosts import ANY, Hosts, parse_hosts, parse_origins
from server.http.peers import Network, parse_networks
from server.limits import Limits
from server.live.routes import ROUTES
from server.logs import FORMATS, LEVELS
from server.tokens.client_secrets import Signer, new_signer, read_key
from server.tokens.file import (
    Token,
    TokenFileError,
    permission_fault,
    plain_token,
    read_tokens,
)
from server.tokens.keyring import Keyring
from stream.backends import BACKENDS
from stream.bundled import NAMES
from stream.decoding.decoding import DECODERS
from stream.decoding.options import EOS_MODES, HEADS, DecoderOptions, options_of
from stream.engine.front_end import FRONT_ENDS, FrontEndKind

logger = logging.getLogger(__name__)
_T = TypeVar("_T")
VARIABLE = "RILL_TOKEN"  # and the name of the token in it
PROTOCOLS = (*ROUTES, *UPLOADS)
TRUE = ("1", "true", "yes", "on")
FALSE = ("", "0", "false", "no", "off")
DELAYS = ("final-seconds", "endpoint-silence", "endpoint-length")
# Options that are as their flags were parsed.
AS_GIVEN = "host port wyoming_port front_end slots log_format log_level token_file client_secret_key tls_cert tls_key"


class OptionError(ValueError):
    """A flag or a variable has an invalid value; the message names it."""


@dataclass(frozen=True)
class Options:
    """The options of a server.

    Attributes:
        models: paths by name, the default first; a path may be the name of a bundled model, None is the default one.
        aliases: further names, and the model of each.
        host, port, wyoming_port: to listen on; no Wyoming if None.
        backend: what computes the models; None: the fastest.
        chunks: lengths of a chunk, ms, of models that do not use their own.
        front_end: in float or in fixed point.
        slots: channels of each model, the most streams at a time; None: what the machine carries.
        decoder: how streams are decoded.
        limits: of this process.
        supervision: of the engines.
        log_format, log_level: of `server.logs`.
        origins, hosts, proxies: pages, names and proxies that are trusted.
    """

    models: Mapping[str, Path | None]
    aliases: Mapping[str, str]
    host: str
    port: int
    wyoming_port: int | None
    backend: str | None
    chunks: Mapping[str, int]
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
    client_secret_key: Path | None
    tls_cert: Path | None
    tls_key: Path | None

    def settings(self) -> Settings:
        """Read the files of tokens and of TLS.

        Raises:
            OSError: a file cannot be read, or makes no TLS.
            InputError: the token file has faults, or the key is too short.
        """
        keyring = Keyring(self._tokens(), self.token_file, self._tokens)
        tls = None
        if self.tls_cert is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._load_certificate(tls)
        path = self.client_secret_key
        signer = new_signer() if path is None else Signer(read_key(path))
        access = Access(keyring, signer, self.origins, self.hosts)
        return Settings(access, self.root, self.strict, tls, self.proxies)

    def reload(self, settings: Settings) -> None:
        """Read the files of tokens and of TLS again; one with a fault leaves what was read from it before."""
        settings.access.keyring.reload()
        if settings.tls is not None:
            try:
                self._load_certificate(settings.tls)
                logger.info("the certificate was read again")
            except OSError as error:
                logger.error("the certificate stays as it was: %s", error)

    def _tokens(self) -> dict[str, Token]:
        """Return the tokens of the environment and the file, by name."""
        tokens = {VARIABLE: plain_token(self.token)} if self.token else {}
        if self.token_file is not None:
            found = read_tokens(self.token_file, list(self.models), PROTOCOLS)
            if tokens.keys() & found.keys():
                raise TokenFileError(
                    f"{self.token_file}: {VARIABLE} is the name of the token in the environment"
                )
            tokens |= found
        return tokens

    def _load_certificate(self, tls: ssl.SSLContext) -> None:
        assert self.tls_cert is not None
        try:
            tls.load_cert_chain(self.tls_cert, self.tls_key)
        except OSError as error:
            key = self.tls_key or self.tls_cert
            raise OSError(f"{self.tls_cert} and {key} make no TLS: {error}") from error

    def _permission_faults(self) -> list[str]:
        files = {
            self.token_file: self.token_file is not None and self.token_file.suffix == ".toml",
            self.client_secret_key: False,
            self.tls_key: False,
        }
        faults = (
            permission_fault(path, readable)
            for path, readable in files.items()
            if path is not None and path.exists()
        )
        return [fault for fault in faults if fault]

    def warnings(self) -> list[str]:
        """Return warnings about settings that may admit more than intended."""
        tokens = bool(self.token or self.token_file)
        warnings = self._permission_faults()
        if self.hosts.network and not tokens:
            warnings.append(
                f"listening on {self.host} without tokens: everyone who can reach this machine may use "
                "the server; see --token-file, or --host 127.0.0.1 behind a proxy on this machine"
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


def read(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Options:
    """Check parsed arguments.

    Raises:
        OptionError: a flag has an invalid value.
    """
    for flag in ("port", "wyoming-port"):
        port = getattr(arguments, field_of(flag))
        if port is not None and not 0 <= port <= 65535:
            raise OptionError(f"--{flag} is {port}; want 0 to 65535")
    if arguments.engine_restarts < 0:
        raise OptionError(f"--engine-restarts is {arguments.engine_restarts}; want 0 or more")
    for flag in ("slots", "beam-width", "hang-seconds", "load-seconds", *DELAYS, *LIMITS):
        value = getattr(arguments, field_of(flag))
        if value is not None and not value > 0:
            least = "1 or more" if isinstance(value, int) else "more than 0"
            raise OptionError(f"--{flag} is {value:g}; want {least}")
    choices = {
        "backend": [AUTO, *sorted(BACKENDS)],
        "front-end": FRONT_ENDS,
        "root-protocol": ROOTS,
        "log-format": list(FORMATS),
        "log-level": LEVELS,
        "head": HEADS,
        "decoder": DECODERS,
        "eos-mode": EOS_MODES,
    }
    for flag, choice in choices.items():
        chosen = getattr(arguments, field_of(flag))
        if chosen is not None and chosen not in choice:
            raise OptionError(f"--{flag} is {chosen!r}; there are {', '.join(choice)}")
    if arguments.tls_key is not None and arguments.tls_cert is None:
        raise OptionError("--tls-key goes with --tls-cert")
    fields = {field_of(flag): getattr(arguments, field_of(flag)) for flag in LIMITS}
    models = _models(arguments.model or (arguments.model_variable or "").split(","))
    aliases = _aliases(arguments.alias or (arguments.alias_variable or "").split(","), models)
    return Options(
        models=models,
        aliases=aliases,
        backend=None if arguments.backend == AUTO else arguments.backend,
        chunks=_chunks(arguments.chunk_ms or "", models),
        decoder=_decoder(arguments),
        limits=Limits(**fields),
        supervision=Supervision(
            hang_seconds=arguments.hang_seconds,
            load_seconds=arguments.load_seconds,
            restarts=arguments.engine_restarts,
        ),
        root=arguments.root_protocol,
        strict=_switch(arguments, "strict-myrtle"),
        origins=_checked("allowed-origins", parse_origins, arguments.allowed_origins or ""),
        hosts=_checked(
            "allowed-hosts",
            lambda names: parse_hosts(names, arguments.host),
            arguments.allowed_hosts or "",
        ),
        proxies=_checked("trusted-proxies", parse_networks, arguments.trusted_proxies or ""),
        token=environment.get(VARIABLE, "").strip(),
        **{name: getattr(arguments, name) for name in AS_GIVEN.split()},
    )


def _checked(flag: str, read: Callable[[str], _T], text: str) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise OptionError(f"--{flag}: {error}") from error


def _decoder(arguments: argparse.Namespace) -> DecoderOptions:
    try:
        return options_of(arguments, state_resets=_switch(arguments, "state-resets"))
    except ValueError as error:
        raise OptionError(str(error)) from error


def _switch(arguments: argparse.Namespace, flag: str) -> bool:
    value = getattr(arguments, field_of(flag))
    if not isinstance(value, bool) and value.lower() not in TRUE + FALSE:
        raise OptionError(f"{variable_of(flag)} is {value!r}; want 1 or 0")
    return value if isinstance(value, bool) else value.lower() in TRUE


def _models(values: list[str]) -> dict[str, Path | None]:
    models: dict[str, Path | None] = {}
    for value in filter(None, (value.strip() for value in values)):
        name, equals, path = value.partition("=")
        if not equals:
            name, path = value if value in NAMES else "general", value
        if not name or not path:
            raise OptionError(f"--model is {value!r}; want PATH or NAME=PATH")
        if name in models:
            raise OptionError(f"--model has {name!r} twice; give each model a name: NAME=PATH")
        models[name] = Path(path)
    return models or {"general": None}


def _chunks(text: str, models: Mapping[str, Path | None]) -> dict[str, int]:
    """Return the lengths of chunks that are asked for: MS for all models, or NAME=MS for some."""
    chunks: dict[str, int] = {}
    for value in filter(None, (value.strip() for value in text.split(","))):
        name, equals, length = value.rpartition("=")
        if not length.isdecimal() or (equals and name not in models):
            raise OptionError(
                f"--chunk-ms is {value!r}; want MS, or NAME=MS of {', '.join(models)}"
            )
        chunks |= dict.fromkeys([name] if equals else models, int(length))
    return chunks


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
