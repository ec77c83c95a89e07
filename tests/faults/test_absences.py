"""What the system does while something it needs is away: it says so everywhere, refuses with a reason, and recovers."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from redis_for_tests import KillableServer
from support import eventually, run
from system import LINES, System, until

from ibstream.bus import Bus, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.orders import OrderStatus, Reason, Side
from ibstream.contracts.registry import EDGES, SERVICES

NOTICED_S = 3.0
RECOVERED_S = 15.0


async def edges(redis_url: str) -> dict[str, list[str]]:
    """The edges that stand in the streams: per service, in order."""
    found: dict[str, list[str]] = {}
    for service in SERVICES:
        for stream in EDGES[service]:
            async with Bus(redis_url, client_name="test") as bus, StreamReader(bus, {stream: BEGINNING}) as reader:
                found[stream.name] = [type(entry.message).__name__ for entry in await reader.read(block_s=0.01)]
    return found


async def assert_refused(system: System) -> None:
    async with system.client() as client:
        outcome = await client.submit_and_wait("AAPL", Side.BUY, 1)
    assert (outcome.status, outcome.reason) == (OrderStatus.REJECTED, Reason.GATEWAY_DISCONNECTED)


async def assert_works(system: System) -> None:
    assert len(await system.fresh_symbols(within_s=15)) == LINES
    async with system.client() as client:
        assert (await client.submit_and_wait("AAPL", Side.BUY, 1)).status is OrderStatus.FILLED


def test_gateway_absent_at_start(redis_url: str, tmp_path: Path) -> None:
    """Everything starts, degraded; the log, the health API, the edges and every refused order say why; then it recovers."""

    async def scenario() -> None:
        async with System(tmp_path, redis_url) as system:
            await system.services.start()
            await system.mode("degraded", within_s=40)
            reasons = {(reason["source"], reason["code"]) for reason in (await system.health())["reasons"]}
            assert {(service, "disconnected") for service in SERVICES} <= reasons
            assert "gateway" in {source for source, _ in reasons}
            await eventually(
                lambda: (
                    {r["service"] for r in system.services.records() if r["event"] == "ibkr_gateway.not_connected"}
                    == set(SERVICES)
                ),
                what="ibkr_gateway.not_connected in the log of each service",
            )
            await assert_refused(system)
            told = await edges(redis_url)
            assert [told[f"system:{service}:disconnected"] for service in SERVICES] == [["Disconnected"]] * len(
                SERVICES
            )
            await system.gateway.start()
            await system.mode("normal", within_s=RECOVERED_S)
            await assert_works(system)

    run(scenario(), timeout_s=120)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_gateway_dies_and_returns(redis_url: str, tmp_path: Path, number: signal.Signals) -> None:
    """Within 3 s the system is degraded and says so everywhere; within 15 s of the Gateway's return all is as before."""

    async def scenario() -> None:
        async with System(tmp_path, redis_url) as system:
            await system.gateway.start()
            await system.services.start()
            await system.mode("normal", within_s=40)
            async with system.listening() as heard:
                await system.gateway.stop(number)
                await system.mode("degraded", within_s=NOTICED_S)
                await until(heard, "broker: disconnected", within_s=NOTICED_S)
            health = await system.health()
            assert {reason["source"] for reason in health["reasons"]} >= set(SERVICES)
            await assert_refused(system)
            await system.gateway.start()
            await system.mode("normal", within_s=RECOVERED_S)
            await assert_works(system)
            told = await edges(redis_url)
            for service in SERVICES:
                assert told[f"system:{service}:disconnected"] == ["Disconnected"]
                assert told[f"system:{service}:reconnected"] == ["Reconnected", "Reconnected"]

    run(scenario(), timeout_s=120)


def test_redis_dies_and_returns(private_server: Callable[[], KillableServer], tmp_path: Path) -> None:
    """Killed and started again on its data: no service dies, the health API says so meanwhile, and all is as before."""

    async def scenario() -> None:
        async with private_server() as server, System(tmp_path, server.url) as system:
            await system.gateway.start()
            await system.services.start()
            await system.mode("normal", within_s=40)
            await assert_works(system)
            await server.kill()
            await eventually(
                lambda: _blames_the_bus(system), within_s=NOTICED_S * 2, what="the health API blaming the bus"
            )
            await server.start()
            await system.mode("normal", within_s=RECOVERED_S)
            await assert_works(system)
            assert "service_died" not in system.services.said()

    run(scenario(), timeout_s=120)


async def _blames_the_bus(system: System) -> bool:
    return any(reason["source"] == "bus" for reason in (await system.health()).get("reasons", []))
