"""For the tests of training: torch as it was, a corpus of tones, an S3 server with a bucket of small objects."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from train.data.storage.sources import S3Access, s3_client


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    torch = sys.modules.get("torch")  # not imported where a test does without
    threads = torch.get_num_threads() if torch else 0
    yield
    if torch:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus in which every word is a tone, with a configuration."""
    pytest.importorskip("torch")
    from tests.train.tones import corpus_of_tones

    return corpus_of_tones(tmp_path_factory.mktemp("corpus"))


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
