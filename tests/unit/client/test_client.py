"""The client as a whole: where it finds Redis, what it says of the system, and that it leaves nothing open."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import free_port, run

from ibstream.bus import Bus, BusUnavailable
from ibstream.client import Client
from ibstream.contracts.base import encode
from ibstream.contracts.registry import STATUS_KEY, heartbeat_key
from ibstream.contracts.system import ConnectionState, Heartbeat, Mode, ModeChanged
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import Settings


def heartbeat(service: str, instance: str) -> Heartbeat:
    now = SYSTEM_CLOCK.now()
    return Heartbeat(
        service=service,
        instance=instance,
        state=ConnectionState.READY,
        provider="stub",
        version="0",
        pid=1,
        started_at=now,
        at=now,
    )


def test_the_mode_or_none_where_the_watchdog_is_silent(redis_url: str) -> None:
    """Without the key there is no mode; with it, the message as written."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus, Client(redis_url, settings=Settings()) as client:
            assert await client.status() is None
            mode = ModeChanged(mode=Mode.NORMAL, since=SYSTEM_CLOCK.now(), at=SYSTEM_CLOCK.now())
            await bus.put(STATUS_KEY, encode(mode))
            assert await client.status() == mode
            await bus.put(STATUS_KEY, b"{")
            assert await client.status() is None

    run(play())


def test_heartbeats_of_all_instances_in_order(redis_url: str) -> None:
    """By service, then instance; what cannot be read does not hide the others."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus, Client(redis_url, settings=Settings()) as client:
            for service, instance in (("feed", "0"), ("data", "1"), ("data", "0")):
                await bus.put(heartbeat_key(service, instance), encode(heartbeat(service, instance)))
            await bus.put(heartbeat_key("broker", "0"), b"?")
            beats = await client.heartbeats()
            assert [(beat.service, beat.instance) for beat in beats] == [("data", "0"), ("data", "1"), ("feed", "0")]

    run(play())


def test_redis_away_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a subscription does not wait with a patience that is meant for interruptions; no password is shown."""
    port = free_port()
    monkeypatch.setenv("SA_REDIS__URL", f"redis://:secret@127.0.0.1:{port}/0")

    async def play() -> str:
        async with Client() as client:
            with pytest.raises(BusUnavailable) as caught:
                await client.quotes().open()
            return str(caught.value)

    begun = SYSTEM_CLOCK.monotonic()
    told = run(play())
    assert f"127.0.0.1:{port}" in told
    assert "secret" not in told
    assert SYSTEM_CLOCK.monotonic() - begun < 5


def test_closing_the_client_closes_what_it_opened(redis_url: str) -> None:
    """Connections of subscriptions that nobody left are gone with the client; a closed one is not even remembered."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            async with Client(redis_url, settings=Settings()) as client:
                await client.quotes().open()
                for _ in range(20):
                    async with client.order_events():
                        pass
                assert len(client._subscriptions) <= 2
            listed = await bus.redis.client_list()
            assert [item["name"] for item in listed if item["name"].startswith("ibstream-client")] == []

    run(play())


def test_quotes_may_lie_on_another_server(redis_url: str) -> None:
    """`quotes_url` is where quotes are read, and the bus is not asked for them."""

    async def play() -> None:
        async with Client(redis_url, f"redis://127.0.0.1:{free_port()}/0", settings=Settings()) as client:
            await client.order_events().open()
            with pytest.raises(BusUnavailable):
                await client.quotes().open()

    run(play())


def test_the_package_hands_out_the_client_without_loading_redis() -> None:
    """`from ibstream import Client` works, and importing `ibstream` alone stays light."""
    script = "import sys, ibstream; assert 'redis' not in sys.modules; from ibstream import Client; Client"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
