"""The four services as processes: over the stand-in Gateway on the real wire, and over the simulation alone."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import run
from system import LINES, System, until

from ibstream import Client
from ibstream.contracts.orders import OrderFilled, OrderStatus, Reason, Side


def _path_without_ib_async(tmp_path: Path) -> str:
    """A PYTHONPATH on which importing ib_async fails as it does where it is not installed."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "ib_async.py").write_text("raise ModuleNotFoundError(\"No module named 'ib_async'\", name='ib_async')\n")
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


AFTER_A_FULL_SESSION = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
"""A Tuesday evening; the last session before today may have been half a day."""


@pytest.mark.xdist_group("storms")  # not beside them: it measures seconds
def test_quotes_orders_bars_and_health_travel_through_the_system(redis_url: str, tmp_path: Path) -> None:
    """With a Gateway there: mode normal, live quotes of every line, an order filled once, bars, and a clean stop."""

    async def scenario() -> None:
        async with System(tmp_path, redis_url, lines=100) as system:
            await system.gateway.start()
            await system.services.start()
            await system.mode("normal", within_s=40)
            assert len(await system.fresh_symbols(within_s=10)) == 100
            async with system.client() as client:
                outcome = await client.submit_and_wait("AAPL", Side.BUY, 10)
                assert outcome.status is OrderStatus.FILLED
                fills = [event for event in outcome.events if isinstance(event, OrderFilled)]
                assert sum(fill.quantity for fill in fills) == 10
                bars = await client.bars("AAPL", bar_size="5 mins", duration="1 D", end=AFTER_A_FULL_SESSION)
                assert len(bars) == 78  # a regular session of 6.5 hours
            assert (await system.health())["gateway"]["server_version"] == 178
            assert await system.services.stop() == 0

    run(scenario(), timeout_s=120)


def test_simulated_provider_needs_neither_gateway_nor_ib_async(redis_url: str, tmp_path: Path) -> None:
    """`SA_BROKER__PROVIDER=simulated ibstream up` works where importing ib_async fails, and no Gateway is asked for."""
    path = _path_without_ib_async(tmp_path)

    async def scenario() -> None:
        async with System(tmp_path, redis_url, SA_BROKER__PROVIDER="simulated", PYTHONPATH=path) as system:
            await system.services.start()
            await system.mode("normal", within_s=40)
            assert len(await system.fresh_symbols(within_s=10)) == LINES
            async with system.client() as client:
                outcome = await client.submit_and_wait("MSFT", Side.SELL, 5)
                assert outcome.status is OrderStatus.FILLED
                assert await client.bars("MSFT", bar_size="1 hour", duration="2 D")
            assert (await system.health())["gateway"]["up"] is None

    run(scenario(), timeout_s=120)


def test_ibkr_provider_without_ib_async_says_what_to_install(redis_url: str, tmp_path: Path) -> None:
    """The provider ibkr without ib_async ends with status 78 and a sentence that names the way out."""
    path = _path_without_ib_async(tmp_path)

    async def scenario() -> None:
        async with System(tmp_path, redis_url, PYTHONPATH=path) as system:
            await system.services.start()
            async with asyncio.timeout(30):
                status = await system.services.ended()
            assert status == 78
            assert "pip install 'ibstream[ibkr]'" in system.services.said()

    run(scenario(), timeout_s=60)


def test_halting_refuses_orders_and_outlives_the_broker(redis_url: str, tmp_path: Path) -> None:
    """A halt on `system:control` refuses orders with its reason, shows as the mode, and still stands after a restart."""

    async def refused(client: Client) -> None:
        outcome = await client.submit_and_wait("AAPL", Side.BUY, 1)
        assert (outcome.status, outcome.reason) == (OrderStatus.REJECTED, Reason.HALTED)

    async def scenario() -> None:
        async with System(tmp_path, redis_url, SA_BROKER__PROVIDER="simulated") as system:
            await system.services.start()
            await system.mode("normal", within_s=40)
            async with system.client() as client:
                await system.halt("a test", "to see it")
                await system.mode("halted", within_s=5)
                await refused(client)
                assert await system.services.stop(signal.SIGTERM) == 0
                await system.services.start()
                await system.mode("halted", within_s=40)
                await refused(client)
                async with system.listening() as heard:
                    await system.resume("a test")
                    await until(heard, "mode: normal", within_s=5)
                assert (await client.submit_and_wait("AAPL", Side.BUY, 1)).status is OrderStatus.FILLED

    run(scenario(), timeout_s=150)
