"""Sources: local paths, objects of a real S3 server (moto), and schemes that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.errors import ArgumentError
from train.data.storage.sources import (
    S3Access,
    SourceError,
    is_remote,
    open_source,
    read_credentials,
    read_source,
    state_of,
)

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("gs://bucket/a.wav", "gs:// is not read"),
        ("https://host/a.wav", "https:// is not read"),
        ("pipe:curl https://host/a.tar", "is a command and is not run"),
        ("s3:///key", "names no bucket"),
    ],
)
def test_other_schemes_are_refused_by_name(address: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(address)


@pytest.mark.parametrize("path", ["a.wav", "/mnt/x/a.wav", r"C:\a.wav", "12:30.wav", "nine:30.wav"])
def test_paths_with_a_colon_are_paths(path: str) -> None:
    assert not is_remote(path)


def test_a_local_file_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with open_source(str(path)) as file:
        assert file.read() == b"abc"
    assert read_source(str(path)) == b"abc"
    assert read_source(str(path), 1, 1) == b"b"
    assert state_of(str(path))[0] == 3


def test_an_object_is_read_in_parts_and_whole(s3: S3Access, bucket: str) -> None:
    with open_source(f"s3://{bucket}/clips/1.flac", s3) as body:
        assert body.read(3) == b"\x01\x01\x01"
    address = f"s3://{bucket}/clips/1.flac"
    assert read_source(address, access=s3) == b"\x01" * 1001
    assert read_source(address, 990, access=s3) == b"\x01" * 11
    assert read_source(address, 10, 20, access=s3) == b"\x01" * 20
    assert read_source(str(Path(address)), access=s3) == b"\x01" * 1001  # one slash less
    assert state_of(address, s3) == state_of(address, s3) != state_of(address[:-6] + "2.flac", s3)


def test_a_missing_object_is_named_with_the_servers_code(s3: S3Access, bucket: str) -> None:
    with pytest.raises(SourceError, match=f"s3://{bucket}/no: the server answers NoSuchKey"):
        open_source(f"s3://{bucket}/no", s3)


def test_a_server_that_is_not_there_is_an_error_without_credentials() -> None:
    access = S3Access(
        "http://127.0.0.1:1",
        (("aws_access_key_id", "AKIA"), ("aws_secret_access_key", SECRET)),
        attempts=1,
    )
    assert SECRET not in repr(access)
    with pytest.raises(SourceError, match="EndpointConnectionError") as caught:
        open_source("s3://bucket/key", access)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_endpoint_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ArgumentError) as caught:
        S3Access(f"http://user:{SECRET}@127.0.0.1:1")
    assert SECRET not in str(caught.value)
    with pytest.raises(ArgumentError, match="is no URL"):
        S3Access("tos.example.com")


@pytest.mark.parametrize(
    "text",
    [
        f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\nregion = eu-west-1\n",
        f"# mine\nexport AWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY='{SECRET}'\nAWS_REGION=eu-west-1\n",
        f'TOS_ACCESS_KEY_ID=AKIA\r\nTOS_SECRET_ACCESS_KEY="{SECRET}"\r\nTOS_REGION=eu-west-1\r\n',
    ],
    ids=["aws", "env", "another prefix"],
)
def test_credentials_are_read_from_the_usual_files(text: str, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(text)
    assert read_credentials(path) == {
        "aws_access_key_id": "AKIA",
        "aws_secret_access_key": SECRET,
        "region_name": "eu-west-1",
    }


def test_a_file_without_a_key_names_the_key_and_no_value(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(f"aws_secret_access_key={SECRET}\n")
    with pytest.raises(SourceError, match="no line aws_access_key_id") as caught:
        read_credentials(path)
    assert SECRET not in str(caught.value)
    with pytest.raises(SourceError, match="No such file"):
        read_credentials(tmp_path / "none")
