"""Connections over a transport that takes what it is told to take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from server.limits import Limits
from server.live.connection import Connection
from server.live.transport import Message
from server.protocol.states import Close, State
from stream.engine.engine import Result

SILENT = Result(0, 0.0, 0.06, "", (), False)


class Transport:
    """Keeps what is sent; takes it at once while `room`, else when `taking` is set."""

    close_code = None

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.closed: list[Close] = []
        self.room = True
        self.paused = False
        self.taking = asyncio.Event()
        self.receive: Callable[[Message], None]

    async def read(self, receive: Callable[[Message], None]) -> None:
        self.receive = receive
        await asyncio.Event().wait()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def try_send(self, message: Message) -> bool:
        if self.room:
            self.sent.append(message)
        return self.room

    async def send(self, message: Message) -> None:
        await self.taking.wait()
        self.sent.append(message)

    async def close(self, close: Close) -> None:
        self.closed.append(close)


class Echo:
    """A protocol that sends back what it gets; results break it where `broken`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.state = State.OPEN
        self.unanswered = 0
        self.audio_seconds = 0.0
        self.broken = False

    def has_slot(self) -> bool:
        return True

    def receive(self, message: Message) -> bool:
        self._connection.send(message)
        return True

    def receive_idle(self, seconds: float) -> None:
        self._close(f"idle {seconds:g}")

    def receive_stall(self, seconds: float) -> None:
        self._close(f"stall {seconds:g}")

    def receive_shutdown(self, reason: str, code: int) -> None:
        self._close(reason)

    def receive_gone(self) -> None:
        self.state = State.CLOSED

    def receive_result(self, result: Result) -> None:
        if self.broken:
            raise ZeroDivisionError

    def receive_fault(self, reason: str) -> None:
        self._close(reason)

    def _close(self, reason: str) -> None:
        self.state = State.CLOSED
        self._connection.close(Close(1008, reason))


async def started(**limits: float) -> tuple[Transport, Connection, Echo, asyncio.Task[None]]:
    transport = Transport()
    connection = Connection(cast(Any, transport), Limits(**cast(Any, limits)))
    protocol = Echo(connection)
    connection.protocol = cast(Any, protocol)
    task = asyncio.create_task(connection.run())
    await asyncio.sleep(0.01)
    return transport, connection, protocol, task


async def test_messages_go_out_at_once_where_there_is_room_and_keep_their_order() -> None:
    transport, connection, _, task = await started()
    transport.receive("a")
    assert transport.sent == ["a"]
    transport.room = False
    transport.receive("b")
    transport.room = True
    transport.receive("c")
    assert transport.sent == ["a"]
    transport.taking.set()
    await asyncio.sleep(0.01)
    assert transport.sent == ["a", "b", "c"]
    connection.end_stream("over")
    await task
    assert transport.closed == [connection.sent_close] == [Close(1008, "over")]


async def test_what_the_peer_does_not_read_counts_and_the_socket_is_left_alone() -> None:
    transport, connection, _, task = await started(unanswered_bytes=10)
    transport.room = False
    transport.receive("123456789")
    assert not transport.paused
    transport.receive("123456789")  # the first is on its way, this one waits
    transport.receive("1")
    assert transport.paused
    transport.taking.set()
    await asyncio.sleep(0.01)
    assert not transport.paused
    connection.end_stream("over")
    await task


async def test_a_peer_that_reads_nothing_gets_a_close_and_not_what_waits() -> None:
    transport, _, _, task = await started(stall_seconds=0.05)
    transport.room = False
    for message in ("a", "b"):
        transport.receive(message)
    await task
    assert (transport.sent, transport.closed) == ([], [Close(1008, "stall 0.05")])


async def test_a_peer_that_sends_nothing_is_idle() -> None:
    transport, _, _, task = await started(idle_seconds=0.05)
    await task
    assert transport.closed == [Close(1008, "idle 0.05")]


async def test_a_fault_in_the_protocols_code_ends_its_own_connection() -> None:
    _, connection, protocol, task = await started()
    protocol.broken = True
    connection.receive_result(SILENT)
    with pytest.raises(ExceptionGroup) as raised:
        await task
    assert raised.group_contains(ZeroDivisionError)
