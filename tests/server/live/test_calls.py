from __future__ import annotations

import asyncio

from server.live.calls import BEHIND, Calls

FINAL = '{"is_final":true,"text":"one"}'


async def test_a_watcher_that_comes_first_waits_and_gets_all_messages() -> None:
    calls = Calls()
    messages = calls.watch("", "CA1f")
    first = asyncio.ensure_future(anext(messages))
    await asyncio.sleep(0)
    publish = calls.open("", "CA1f")
    publish("a")
    publish("b")
    publish(None)
    assert [await first, *[each async for each in messages]] == ["a", "b"]


async def test_one_that_comes_late_gets_the_finals_so_far_and_the_rest() -> None:
    calls = Calls()
    publish = calls.open("", "CA1f")
    publish('{"is_final":false}')
    publish(FINAL, keep=True)
    messages = calls.watch("", "CA1f")
    assert await anext(messages) == FINAL
    publish("b")
    publish(None)
    assert [each async for each in messages] == ["b"]


async def test_another_account_sees_nothing_of_a_call() -> None:
    calls = Calls()
    waiting = asyncio.ensure_future(anext(calls.watch("other", "CA1f")))
    await asyncio.sleep(0)
    calls.open("mine", "CA1f")(FINAL, keep=True)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()


async def test_two_streams_of_a_call_are_one_until_both_have_ended() -> None:
    calls = Calls()
    first, second = calls.open("", "CA1f"), calls.open("", "CA1f")
    first(FINAL, keep=True)
    messages = calls.watch("", "CA1f")
    assert await anext(messages) == FINAL
    first(None)
    second("b")
    assert await anext(messages) == "b"
    second(None)
    assert [each async for each in messages] == []


async def test_a_watcher_that_does_not_read_is_let_go_and_nothing_is_kept_afterwards() -> None:
    calls = Calls()
    publish = calls.open("", "CA1f")
    messages = calls.watch("", "CA1f")
    publish(FINAL, keep=True)
    await anext(messages)
    for _ in range(BEHIND + 10):
        publish("more")
    assert len([each async for each in messages]) < BEHIND
    publish(None)
    assert not calls._calls
