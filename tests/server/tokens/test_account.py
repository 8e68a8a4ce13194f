from __future__ import annotations

import pytest

from server.limits import Limits
from server.refusals import Refusal
from server.tokens.account import Account, Lease
from server.tokens.file import Token

HASH = "a" * 64


class Clock:
    """The time of a test, seconds since 1970."""

    def __init__(self, now: float = 1000 * 86_400.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def refused(account: Account, protocol: str = "vosk") -> Refusal | None:
    """Return why an account is refused a stream, None where it gets one."""
    try:
        with account.lease(protocol):
            return None
    except Refusal as refusal:
        return refusal


class Stream:
    """A stream with some audio, which notes why it is ended."""

    def __init__(self, lease: Lease) -> None:
        self.audio = 0.0
        self.ended: list[Refusal] = []
        lease.bind(lambda: self.audio, self.ended.append)


def test_only_so_many_streams_are_open_at_a_time() -> None:
    account = Account("desk", Token(sha256=HASH, streams=2))
    with account.lease("vosk"):
        with account.lease("openai"):
            refusal = refused(account)
            assert refusal is not None and refusal.status == 429
            assert str(refusal) == "the token 'desk' has its 2 streams open"
            assert (refusal.headers["Retry-After"], refusal.reason) == ("1", "quota")
        assert refused(account) is None
    assert (account.streams, len(account.leases)) == (3, 0)
    assert account.refused == {"quota": 1}


def test_a_token_for_metrics_alone_has_no_streams() -> None:
    account = Account("prometheus", Token(sha256=HASH, streams=0, metrics=True))
    assert refused(account) is not None


def test_the_audio_of_a_minute_and_of_a_day_ends_streams_and_refuses_new_ones() -> None:
    clock = Clock()
    limits = {"audio_seconds_per_minute": 30.0, "audio_seconds_per_day": 50.0}
    account = Account("desk", Token(sha256=HASH, **limits), clock)
    with account.lease("vosk") as lease:
        stream = Stream(lease)
        stream.audio = 29.9
        account.count()
        assert stream.ended == [] and refused(account) is None
        stream.audio = 31.0
        clock.now += 2
        account.count()
        account.count()  # while its rest is being sent
        assert [str(each) for each in stream.ended] == [
            "the token 'desk' has used its 30 s of audio per minute"
        ]
    refusal = refused(account)
    assert refusal is not None and refusal.headers["Retry-After"] == "58"
    clock.now += 58
    with account.lease("vosk") as lease:
        Stream(lease).audio = 19.0  # counted when the lease ends
    refusal = refused(account)
    assert refusal is not None and "50 s of audio per day" in str(refusal)
    assert refusal.headers["Retry-After"] == str(86_400 - 60)
    clock.now += 86_340
    assert refused(account) is None
    assert account.audio_seconds == 50.0
    assert account.refused == {"quota": 3}


def test_audio_is_counted_once_however_often_it_is_looked_at() -> None:
    account = Account("desk", Token(sha256=HASH))
    with account.lease("vosk") as lease:
        stream = Stream(lease)
        for stream.audio in (1.0, 2.5, 2.5):
            account.count()
        stream.audio = 0.0  # an upload that was given another slot begins again
        account.count()
    assert account.audio_seconds == 2.5


def test_a_clock_that_is_set_back_begins_a_new_window() -> None:
    clock = Clock()
    account = Account("desk", Token(sha256=HASH, audio_seconds_per_day=1.0), clock)
    with account.lease("vosk") as lease:
        Stream(lease).audio = 2.0
    assert refused(account) is not None
    clock.now -= 86_400
    assert refused(account) is None


def test_a_token_may_be_for_some_protocols_and_models() -> None:
    account = Account("desk", Token(sha256=HASH, protocols=("vosk",), models=("fr",)))
    refusal = refused(account, "sherpa")
    assert refusal is not None and (refusal.status, refusal.reason) == (403, "permission")
    assert str(refusal) == "the token 'desk' may not use the protocol 'sherpa'"
    with account.lease("vosk") as lease:
        lease.check_model("fr")
        with pytest.raises(Refusal, match="the token 'desk' may not use the model 'en'"):
            lease.check_model("en")
    assert account.refused == {"permission": 2}


def test_a_token_narrows_the_servers_limits_and_never_widens_them() -> None:
    server = Limits(stream_seconds=60.0)
    for seconds, granted in ((None, 60.0), (10.0, 10.0), (600.0, 60.0)):
        account = Account("desk", Token(sha256=HASH, stream_seconds=seconds))
        with account.lease("vosk") as lease:
            assert lease.narrowed(server).stream_seconds == granted


def test_a_stream_of_a_token_that_was_withdrawn_while_it_was_uploaded_ends_as_it_begins() -> None:
    account = Account("desk", Token(sha256=HASH))
    with account.lease("openai") as lease:
        account.withdraw()
        assert [str(each) for each in Stream(lease).ended] == ["the token was withdrawn"]
    assert account.refused == {"permission": 1}
