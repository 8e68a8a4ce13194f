from __future__ import annotations

import asyncio
import time

import pytest

from server.engine.supervision import FORGET_SECONDS, Restarts, Supervision


def test_pauses_double_up_to_half_a_minute_and_end_when_there_are_too_many() -> None:
    restarts = Restarts(Supervision(restarts=8))
    pauses = [restarts.pause(now=10.0 * failure) for failure in range(9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, None]


def test_failures_are_forgotten() -> None:
    restarts = Restarts(Supervision(restarts=1))
    assert restarts.pause(0.0) == 0.5
    assert restarts.pause(FORGET_SECONDS + 1) == 0.5
    assert restarts.pause(FORGET_SECONDS + 2) is None


def test_a_server_may_end_at_the_first_failure() -> None:
    assert Restarts(Supervision(restarts=0)).pause(0.0) is None


@pytest.mark.parametrize("name", ["hang_seconds", "load_seconds", "restarts", "pause_seconds"])
def test_a_value_that_makes_no_sense_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is -1; it has to be greater than 0"):
        Supervision(**{name: -1})


async def test_time_in_which_this_process_did_not_run_hardly_counts() -> None:
    supervision = Supervision(hang_seconds=0.2)
    until: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    counted = 0.0
    async for seconds in supervision.looks(until):
        if counted:
            until.set_result(None)
        counted += seconds
        time.sleep(1.0)
    assert counted <= 4 * supervision.look_seconds
