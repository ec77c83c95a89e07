"""A request that kills whoever handles it ends among the dead letters, and whoever asked hears of it by name."""

from __future__ import annotations

import pytest
from broker_rig import Orders
from bus_helpers import dead_letters, ensure_group, pending, raw
from contract.brokers import resting, submit
from integration.broker_cases import simulated
from support import eventually, run

from ibstream.bus import Bus
from ibstream.bus.group import MAX_DELIVERIES
from ibstream.contracts.orders import OrderStatus, Reason
from ibstream.contracts.registry import ORDER_REQUESTS


async def die_of(bus: Bus, times: int) -> None:
    """Be given everything on the stream, so often, and die of it each time."""
    await ensure_group(bus, ORDER_REQUESTS)
    for number in range(times):
        position = ">" if number == 0 else "0"
        await raw(bus).xreadgroup(ORDER_REQUESTS.group, "broker-0", {ORDER_REQUESTS.name: position})


@pytest.mark.parametrize("times", [MAX_DELIVERIES - 1, MAX_DELIVERIES])
def test_a_request_that_nobody_could_handle_is_refused_by_name(redis_url: str, times: int) -> None:
    """Delivered once too often it is rejected, once, and kept as a letter; before that it is simply handled."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await Orders(bus).send(resting("poison"))
            await die_of(bus, times)
            async with simulated(redis_url) as rig:
                await rig.orders.send(submit("after"))
                assert (await rig.orders.outcome("after")).status is OrderStatus.FILLED
                if times < MAX_DELIVERIES:
                    await rig.orders.reaches("poison", OrderStatus.SUBMITTED)
                    assert await dead_letters(bus, ORDER_REQUESTS) == []
                    return
                outcome = await rig.orders.outcome("poison")
                assert (outcome.status, outcome.reason) == (OrderStatus.REJECTED, Reason.UNHANDLED)
                await eventually(lambda: dead_letters(bus, ORDER_REQUESTS), what="the letter")
                await eventually(lambda: _nothing_pending(bus), what="everything acknowledged")

    run(scenario())


async def _nothing_pending(bus: Bus) -> bool:
    return not await pending(bus, ORDER_REQUESTS)
