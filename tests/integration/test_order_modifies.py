"""Modifies one after the other through the whole broker: each keeps what those before it asked for, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from contract.brokers import resting
from integration.broker_cases import EACH, Broker, cancel, modify, over_gateway, refusals, simulated
from support import eventually, run

from ibstream.contracts.orders import OrderStatus, OrderStatusChanged, OrderType, Reason, Side
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.domain.lanes import Lane, Waiting
from ibstream_gateway_emulator.faults import verbs

S = OrderStatus


@EACH
def test_two_modifies_at_once_both_hold(broker: Broker, redis_url: str) -> None:
    """Another price and another quantity, the second before anything is shown of the first; then a third, later."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("a"))
            await orders.reaches("a", S.SUBMITTED)

            async def terms() -> tuple[object, object]:
                [listed] = (await rig.port.snapshot()).open_orders
                return listed.quantity, listed.limit_price

            async def told() -> list[OrderStatusChanged]:
                events = [one for one in await orders.events("a") if isinstance(one, OrderStatusChanged)]
                return [one for one in events if one.text == "changed" and one.quantity == 20]

            await orders.send(modify("a", limit_price="1.25"), modify("a", quantity="20"))
            await eventually(told, what="the change told")
            assert await terms() == (20, Decimal("1.25"))
            await orders.send(modify("a", limit_price="1.50"))

            async def is_nearer() -> bool:
                return await terms() == (20, Decimal("1.50"))

            await eventually(is_nearer, what="the third")
            await orders.send(cancel("a"))
            assert (await orders.outcome("a")).quantity == 20
            await orders.check("a")

    run(scenario())


@EACH
def test_a_trailing_stop_keeps_its_distance_when_its_quantity_is_changed(broker: Broker, redis_url: str) -> None:
    """A change of the distance, long taken, is not undone by the next modify."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            terms = {"order_type": OrderType.TRAIL, "limit_price": None, "side": Side.SELL}
            await orders.send(resting("a", **terms, trailing_amount=Decimal("50.00")))
            await orders.reaches("a", S.SUBMITTED)
            for change in ({"trailing_amount": "40.00"}, {"quantity": "5"}):
                before = len(await orders.events("a"))
                await orders.send(modify("a", **change))

                async def told(than: int = before) -> bool:
                    return len(await orders.events("a")) > than

                await eventually(told, what=f"{change} told")
            [listed] = (await rig.port.snapshot()).open_orders
            assert (listed.trailing_amount, listed.quantity) == (40, 5)

    run(scenario())


def test_a_modify_that_ibkr_refused_is_not_carried_on(redis_url: str) -> None:
    """The one before it holds, the one after it holds, and its own price never comes to the order."""

    async def scenario() -> None:
        async with over_gateway(redis_url, reconcile_interval_s=1.0) as rig:
            orders = rig.orders
            await orders.send(resting("a"))
            await orders.reaches("a", S.SUBMITTED)
            await orders.send(modify("a", limit_price="1.25"))
            await eventually(lambda: rig.order("a").placed.limit_price == Decimal("1.25"), what="the first")
            rig.command(verbs.RejectOrders(count=1))
            await orders.send(modify("a", limit_price="1.75"))
            await orders.reaches("a", S.UNKNOWN)
            await orders.reaches("a", S.SUBMITTED)
            await orders.send(modify("a", quantity="20"))
            await eventually(lambda: rig.order("a").placed.quantity == 20, what="the third")
            assert rig.order("a").placed.limit_price == Decimal("1.25")

    run(scenario())


def test_a_modify_that_was_not_sent_does_not_come_with_the_next(redis_url: str) -> None:
    """Its time ran out between its journal and its turn: those staged on it go back with it, and then nothing is wanted."""

    async def scenario() -> None:
        async with simulated(redis_url) as rig:
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.SUBMITTED)
            ledger, changes = rig.service._ledger, rig.service._desk._changes
            until = SYSTEM_CLOCK.now() + timedelta(seconds=0.3)
            requests = modify("a", limit_price="1.25", valid_until=until), modify("a", quantity="20")
            batch = [Waiting(one, Lane.MODIFY, "s", "", target="a") for one in requests]
            await changes.find_targets(batch)
            async with ledger.changing() as change:
                sends = [send for item in batch for send in changes.stage_modify(change, item)]
            await eventually(lambda: SYSTEM_CLOCK.now() > until, what="the end of its time")
            for send in sends:
                await send.perform(rig.port.room)
            async with ledger.changing() as change:
                for send in sends:
                    assert send.failure is not None
                    send.take_back(change, send.failure)
            assert [one.reason for one in await refusals(rig, "a")] == [Reason.EXPIRED, Reason.EXPIRED]
            record = ledger.book.get("a")
            assert record is not None
            assert (record.wanted, record.modify_quantity) == (None, None)
            [listed] = (await rig.port.snapshot()).open_orders
            assert (listed.quantity, listed.limit_price) == (record.request.quantity, record.request.limit_price)

    run(scenario())
