"""Sources: where recordings and shards lie, a local path (mounts included) or an object in S3.

`s3://bucket/key` is read with boto3, from AWS or any server that speaks its protocol. Credentials come
from where boto3 looks for them (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, ...)
or from a file (`read_credentials`). They are never part of a message: botocore's errors are passed on
as their code alone.

An address that went through pathlib has lost a slash: `s3:/bucket/key` is the same.

Every other scheme is refused by name. `pipe:`, which webdataset and Kaldi run in a shell, is a command
of whoever wrote the manifest.
"""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from stream.errors import ArgumentError, InputError
from stream.files.text import GZIP, TextError, lines_of, read_lines, read_text

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # of two characters or more: C:\ is a drive
_CREDENTIAL = re.compile(
    r"(?:export\s+)?(?:\w+?_)?(access_key_id|secret_access_key|session_token|region|endpoint(?:_url)?)",
    re.IGNORECASE,
)


class SourceError(InputError):
    """A source that cannot be read. Never holds a credential.

    Attributes:
        fault: what is wrong and what to do, without the address.
    """

    def __init__(self, address: str | Path, fault: str) -> None:
        super().__init__(f"{address}: {fault}")
        self.fault = fault


@dataclass(frozen=True)
class S3Access:
    """How an S3 server is reached.

    Attributes:
        endpoint: URL of a server other than AWS; None: what the environment says.
        credentials: keyword arguments of a boto3 client, see `read_credentials`; empty: the environment's.
            Not shown by repr.
        connections: kept open at most, one for each thread that reads.
        attempts: made at most for one request.
    """

    endpoint: str | None = None
    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    connections: int = 10
    attempts: int = 4

    def __post_init__(self) -> None:
        if self.endpoint is None:
            return
        parts = urlsplit(self.endpoint)
        if parts.username or parts.password:
            raise ArgumentError(
                "the endpoint's URL has a user name or password in it; give credentials by "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in a file"
            )
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ArgumentError(f"endpoint {self.endpoint!r} is no URL: https://HOST[:PORT]")


FROM_ENVIRONMENT = S3Access()


def read_credentials(path: Path) -> dict[str, str]:
    """Read credentials from a file of lines NAME = VALUE, as AWS's own file and `.env` files are.

    The names are AWS's, in either case: `aws_access_key_id`, `aws_secret_access_key`, and if need be
    `aws_session_token`, `aws_region`, `aws_endpoint_url`; another prefix than `aws_` is as good. Section
    headings, comments and other names are skipped.

    Returns:
        keyword arguments of a boto3 client.
    Raises:
        SourceError: the file cannot be read, or lacks the two keys. The message holds no value of it.
    """
    try:
        lines = read_text(path).split("\n")
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from None
    except TextError as error:
        raise SourceError(path, error.reason) from None
    arguments = {
        "region": "region_name",
        "endpoint": "endpoint_url",
        "endpoint_url": "endpoint_url",
    }
    found = {}
    for line in lines:
        name, separator, value = line.partition("=")
        match = _CREDENTIAL.fullmatch(name.strip())
        if separator and match:
            key = match[1].lower()
            found[arguments.get(key, f"aws_{key}")] = value.strip().strip("\"'")
    if missing := [k for k in ("aws_access_key_id", "aws_secret_access_key") if not found.get(k)]:
        raise SourceError(path, f"no line {missing[0]} = ...")
    return found


def s3_client(access: S3Access = FROM_ENVIRONMENT) -> Any:
    """Return a boto3 client, one for each way of access and process; threads may share it.

    Raises:
        ModuleNotFoundError: boto3 is not installed.
    """
    return _client(access, os.getpid())  # connections do not outlive a fork


@cache
def _client(access: S3Access, _process: int) -> Any:
    import boto3
    from botocore.config import Config

    arguments: dict[str, str] = dict(access.credentials)
    if access.endpoint is not None:
        arguments["endpoint_url"] = access.endpoint
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        arguments.setdefault("region_name", "us-east-1")  # servers that are not AWS have none
    config = Config(
        max_pool_connections=access.connections,
        connect_timeout=10,
        read_timeout=60,
        retries={"total_max_attempts": access.attempts, "mode": "standard"},
    )
    client: Any = boto3.client("s3", config=config, **cast(dict[str, Any], arguments))
    return client


def s3_location(address: str) -> tuple[str, str]:
    """Split `s3://bucket/key` into bucket and key; the key may be empty, or a prefix."""
    bucket, _, key = address.removeprefix("s3:/").removeprefix("/").partition("/")
    if not bucket:
        raise SourceError(address, "names no bucket; want s3://BUCKET/KEY")
    return bucket, key


def is_remote(address: str) -> bool:
    """Tell whether an address is an object of S3 rather than a local path.

    Raises:
        SourceError: it has a scheme that is not read.
    """
    match = _SCHEME.match(address)
    if match is None:
        return False
    scheme = match[1].lower()
    if address.startswith("s3:/"):
        return True
    if scheme == "pipe":
        raise SourceError(
            address, "pipe: is a command and is not run; name a file, or s3://BUCKET/KEY"
        )
    if address.startswith(f"{match[0]}//"):
        raise SourceError(
            address, f"{scheme}:// is not read; mount it, copy it, or name s3://BUCKET/KEY"
        )
    return False  # a file whose name has a colon


def open_source(address: str, access: S3Access = FROM_ENVIRONMENT) -> BinaryIO:
    """Open a source to be read once from its start to its end; close it when done.

    Args:
        address: local path, or `s3://bucket/key`.
    Raises:
        SourceError: its scheme is not read, or the server does not give it.
        OSError: the local file cannot be opened.
    """
    if not is_remote(address):
        return Path(address).open("rb")
    bucket, key = s3_location(address)
    with without_credentials(address):
        body: BinaryIO = s3_client(access).get_object(Bucket=bucket, Key=key)["Body"]
    return body


def source_lines(address: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a list, a local file or an object of S3, with their numbers; see `read_lines`.

    Raises:
        SourceError, OSError: see `open_source`.
        TextError: it is not UTF-8 text.
    """
    if not is_remote(address):
        yield from read_lines(Path(address))
        return
    with open_source(address) as body:
        file = io.BufferedReader(_Body(body))
        compressed = file.peek(2).startswith(GZIP)
        yield from lines_of(gzip.GzipFile(fileobj=file) if compressed else file)


class _Body(io.RawIOBase):
    """What boto3 gives of an object, as a file."""

    def __init__(self, body: BinaryIO) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._body.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def read_source(
    address: str, begin: int = 0, size: int | None = None, access: S3Access = FROM_ENVIRONMENT
) -> bytes:
    """Return the bytes of a source, or some of them: a member of a tar file.

    Args:
        address: local path, or `s3://bucket/key`.
        begin, size: of the bytes; all of them where size is None.
    Raises:
        SourceError, OSError: see `open_source`.
    """
    if not is_remote(address):
        with open(address, "rb") as file:
            file.seek(begin)
            return file.read(-1 if size is None else size)
    bucket, key = s3_location(address)
    last = "" if size is None else begin + size - 1
    part = {} if size is None and not begin else {"Range": f"bytes={begin}-{last}"}
    with without_credentials(address):
        answer = s3_client(access).get_object(Bucket=bucket, Key=key, **part)
        content: bytes = answer["Body"].read()
    return content


def state_of(address: str, access: S3Access = FROM_ENVIRONMENT) -> tuple[int, int | str]:
    """Return the size of a source in bytes, and what changes with its content: a time, or S3's tag.

    Raises:
        SourceError, OSError: see `open_source`.
    """
    if not is_remote(address):
        status = os.stat(address)
        return status.st_size, status.st_mtime_ns
    bucket, key = s3_location(address)
    with without_credentials(address):
        head = s3_client(access).head_object(Bucket=bucket, Key=key)
    return int(head["ContentLength"]), str(head["ETag"])


@contextmanager
def without_credentials(address: str) -> Iterator[None]:
    """Turn what botocore raises into a `SourceError` that says its code and nothing else of it."""
    if not is_remote(address):
        yield
        return
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError:
        raise SourceError(
            address,
            "no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file of them",
        ) from None
    except ClientError as error:
        details = cast(Mapping[str, Mapping[str, str]], error.response)
        code = details.get("Error", {}).get("Code", "")
        raise SourceError(address, f"the server answers {code or 'with an error'}") from None
    except BotoCoreError as error:
        raise SourceError(address, type(error).__name__) from None
