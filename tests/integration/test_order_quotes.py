"""The order path and the quotes server: what is judged by quotes is, and nothing waits for a server that hangs."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from contract.brokers import resting
from integration.broker_cases import cancel, over_gateway
from redis_for_tests import KillableServer
from support import run

from ibstream.contracts.orders import OrderStatus, Reason
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.domain.limits import Limits, RiskLimits

COLLARED = RiskLimits(strategies={"collared": Limits(price_collar_percent=Decimal(10))})


def test_a_quotes_server_that_hangs_stops_only_what_needs_quotes(
    redis_url: str, private_server: Callable[[], KillableServer]
) -> None:
    """In one batch: orders under a collar, of many symbols, are refused for want of a quote; a cancel and the others go on."""

    async def scenario() -> None:
        server = private_server()
        async with server, over_gateway(redis_url, quotes_url=server.url, limits=COLLARED) as rig:
            await rig.orders.send(resting("before"))
            await rig.orders.reaches("before", OrderStatus.SUBMITTED)
            async with server.frozen():
                symbols = ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN")
                collared = [resting(f"c-{one}", symbol=one, strategy="collared") for one in symbols]
                started = SYSTEM_CLOCK.monotonic()
                await rig.orders.send(*collared, resting("free"), cancel("before"))
                for order in collared:
                    refused = await rig.orders.outcome(order.client_order_id, within_s=5)
                    assert (refused.status, refused.reason) == (OrderStatus.REJECTED, Reason.RISK_NO_QUOTE)
                await rig.orders.reaches("free", OrderStatus.SUBMITTED, within_s=5)
                assert (await rig.orders.outcome("before", within_s=5)).status is OrderStatus.CANCELLED
                assert SYSTEM_CLOCK.monotonic() - started < 4.5, "each question alone would have taken five seconds"

    run(scenario())
