"""Telling WebSocket clients, and who may be one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from support import run

from ibstream.contracts.system import Mode, ModeChanged, ModeReason
from ibstream_gateway_watchdog.announcements import connection_announcement, mode_announcement
from ibstream_gateway_watchdog.domain.picture import ConnectionNews
from ibstream_gateway_watchdog.http import is_same_origin
from ibstream_gateway_watchdog.hub import CLIENTS_MAX, QUEUE_MAX, Hub, TooManyClientsError

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def test_every_client_hears_everything_in_order() -> None:
    """The greeting first, then each message."""

    async def scenario() -> None:
        hub = Hub()
        with hub.subscribed("hello") as one, hub.subscribed("welcome") as other:
            hub.publish("a")
            hub.publish("b")
            assert [await one.next() for _ in range(3)] == ["hello", "a", "b"]
            assert [await other.next() for _ in range(3)] == ["welcome", "a", "b"]
        assert hub.clients == 0

    run(scenario())


def test_a_client_that_does_not_read_is_dropped_and_the_others_are_not() -> None:
    """One message more than the queue holds ends the subscription with code 1013."""

    async def scenario() -> None:
        hub = Hub()
        with hub.subscribed("hello") as lazy, hub.subscribed("hello") as keen:
            await keen.next()
            for number in range(QUEUE_MAX):
                hub.publish(str(number))
            assert hub.clients == 1
            assert await lazy.over() == 1013
            assert [await keen.next() for _ in range(QUEUE_MAX)] == [str(number) for number in range(QUEUE_MAX)]

    run(scenario())


def test_closing_sends_everyone_away_and_latecomers_too() -> None:
    """Code 1001: going away."""

    async def scenario() -> None:
        hub = Hub()
        with hub.subscribed("hello") as early:
            hub.close()
            assert await early.over() == 1001
        with hub.subscribed("hello") as late:
            assert await late.over() == 1001

    run(scenario())


def test_there_is_a_limit_to_clients() -> None:
    """One more than the limit is refused, and no place is lost by it."""

    async def scenario() -> None:
        hub = Hub()
        places = [hub.subscribed("hello") for _ in range(CLIENTS_MAX)]
        for place in places:
            place.__enter__()
        with pytest.raises(TooManyClientsError), hub.subscribed("hello"):
            pass
        places[0].__exit__(None, None, None)
        with hub.subscribed("hello"):
            assert hub.clients == CLIENTS_MAX

    run(scenario())


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "127.0.0.1:8000", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://LOCALHOST:8000", "localhost:8000", True),
        ("http://evil.example", "127.0.0.1:8000", False),
        ("http://127.0.0.1:9999", "127.0.0.1:8000", False),
        ("null", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8000", None, False),
    ],
)
def test_only_pages_of_this_server_may_listen(origin: str | None, host: str | None, allowed: bool) -> None:
    """Programs send no Origin and may; a page from elsewhere may not, sandboxed ones (`null`) included."""
    assert is_same_origin(origin, host) is allowed


def test_what_is_said_of_a_mode() -> None:
    """The message of the stream, with a line of text for people."""
    reasons = [ModeReason(source="broker", code="absent", text="broker: absent")]
    said = json.loads(mode_announcement(ModeChanged(mode=Mode.DEGRADED, reasons=reasons, since=NOW, at=NOW)))
    assert said["type"] == "system.mode.v1"
    assert said["text"] == "mode: degraded (broker: absent)"
    assert said["reasons"] == [{"source": "broker", "code": "absent", "text": "broker: absent"}]
    said = json.loads(mode_announcement(ModeChanged(mode=Mode.NORMAL, since=NOW, at=NOW)))
    assert said["text"] == "mode: normal"


def test_what_is_said_of_a_connection() -> None:
    """The first instance is named like its service, a replica with its slot."""
    news = ConnectionNews("broker", "0", connected=False, reason="closed", words="disconnected")
    assert json.loads(connection_announcement(news, NOW)) == {
        "type": "system.connection",
        "service": "broker",
        "instance": "0",
        "state": "disconnected",
        "reason": "closed",
        "text": "broker: disconnected",
        "at": "2026-11-23T15:00:00Z",
    }
    news = ConnectionNews("feed", "1", connected=True, reason="", words="connected")
    assert json.loads(connection_announcement(news, NOW))["text"] == "feed/1: connected"
