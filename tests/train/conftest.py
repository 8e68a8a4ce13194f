"""An S3 server of moto's on a free port, with a bucket of small objects."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from train.data.storage.sources import S3Access, s3_client


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Access]:
    pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    server.start()
    host, port = server.get_host_and_port()
    access = S3Access(
        f"http://{host}:{port}",
        (("aws_access_key_id", "testing"), ("aws_secret_access_key", "testing")),
    )
    yield access
    server.stop()


@pytest.fixture(scope="session")
def bucket(s3: S3Access) -> str:
    client = s3_client(s3)
    client.create_bucket(Bucket="speech")
    for number in range(8):
        client.put_object(
            Bucket="speech", Key=f"clips/{number}.flac", Body=bytes([number]) * (1000 + number)
        )
    return "speech"
