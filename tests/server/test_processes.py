"""CPU and memory from /proc, and who listens on a port."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from server.processes import listeners, machine, usage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_this_process_uses_memory_and_more_cpu_the_longer_it_works() -> None:
    before = usage((os.getpid(),))
    assert before is not None and before.memory > 1_000_000
    while (after := usage((os.getpid(),))) and after.cpu_seconds == before.cpu_seconds:
        sum(range(10_000))
    assert after is not None and after.cpu_seconds > before.cpu_seconds


def test_processes_are_summed() -> None:
    one, two = usage((os.getppid(),)), usage((os.getppid(), os.getpid()))
    assert one is not None and two is not None
    assert two.memory > one.memory


def test_what_cannot_be_read_is_missing_and_not_zero() -> None:
    assert usage(()) is None
    assert usage((2**30,)) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_who_listens_on_a_port_is_found(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert listeners(f"ws://{host}:{port}/asr") == (os.getpid(),)
    assert listeners(f"ws://{host}:{port}/asr") == ()


def test_nothing_is_known_of_another_machine() -> None:
    assert listeners("ws://192.0.2.1:80") == ()
    assert listeners("ws://no.such.host.invalid") == ()


@pytest.mark.parametrize(("cores", "said"), [({0}, "1 core, "), ({0, 1, 5}, "3 cores, ")])
def test_the_machine_is_named_with_its_cores(
    monkeypatch: pytest.MonkeyPatch, cores: set[int], said: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert machine().startswith(said)
    assert machine() != said
