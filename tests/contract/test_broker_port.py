"""Cards B-01 to B-09 and B-20 to B-29: sessions, identity, room. One suite for every executor: the matching engine,
the stub, and a Gateway on the wire.

`PaperStubBroker` fills everything at once and knows every instrument, by design: what needs a resting order, a refusal or a
market runs against the other two (`MATCHING`). The cards stand in `docs/broker-contract.md`.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest
from contract.brokers import (
    CLIENT_ID,
    EVERY,
    HIGH,
    MATCHING,
    Broker,
    resting,
    submit,
)
from support import run

from ibstream.contracts.orders import Side, TimeInForce
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.connection import Trigger
from ibstream_broker.domain.inputs import CodeReported, OrderSeen, StatusReported

D = Decimal


@EVERY
def test_a_session_is_healthy_until_it_ends(broker: Broker) -> None:
    """B-01: True on a live session, False after; sessions are counted; the account has a name; closing twice is no error."""

    async def scenario() -> None:
        async with broker() as desk:
            assert await desk.port.health_check() is True
            assert (desk.port.session, bool(desk.port.account)) == (1, True)
            await desk.port.close()
            await desk.port.close()
            assert await desk.port.health_check() is False
            await desk.port.connect(CLIENT_ID)
            assert await desk.port.health_check() is True
            assert desk.port.session == 2

    run(scenario())


@EVERY
def test_the_end_of_a_session_is_its_last_event(broker: Broker) -> None:
    """B-02: whoever waits for the next one is told."""

    async def scenario() -> None:
        async with broker() as desk:
            waiting = asyncio.create_task(desk.port.next_event())
            await SYSTEM_CLOCK.sleep(0)
            await desk.port.close()
            async with asyncio.timeout(5):
                assert (await waiting).trigger is Trigger.LOST

    run(scenario())


@EVERY
def test_what_was_decided_in_a_session_is_sent_in_no_other(broker: Broker) -> None:
    """B-03: place, modify and cancel raise `ConnectionError`, and nothing of them has arrived anywhere."""

    async def scenario() -> None:
        async with broker() as desk:
            placed = await desk.place(submit("before"))
            await desk.status(placed, "Filled")
            late, before = await desk.placement(submit("late")), desk.port.session
            await desk.reconnect()
            desk.heard.clear()
            with pytest.raises(ConnectionError):
                await desk.port.place(late, session=before)
            with pytest.raises(ConnectionError):
                await desk.port.modify(late, session=before)
            with pytest.raises(ConnectionError):
                await desk.port.cancel(placed, session=before)
            snapshot = await desk.port.snapshot()  # a round trip: whatever had been sent would be there
            assert snapshot.open_orders == []
            assert {one.order_ref for one in snapshot.completed_orders} == {"before"}
            assert not any(isinstance(one, StatusReported | CodeReported) for one in desk.heard)

    run(scenario())


@MATCHING
def test_a_working_order_is_out_of_reach_of_an_ended_session(broker: Broker) -> None:
    """B-03: it is neither changed nor cancelled by what was decided before a reconnect, and both work after it."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id, before = await desk.place(resting("w-1")), desk.port.session
            await desk.status(order_id, "Submitted")
            await desk.reconnect()
            changed = resting("w-1", limit_price=D("1.25"))
            with pytest.raises(ConnectionError):
                await desk.port.cancel(order_id, session=before)
            [standing] = (await desk.port.snapshot()).open_orders
            assert (standing.order_id, standing.limit_price) == (order_id, D("1"))
            await desk.modify(order_id, changed)
            await desk.seen("w-1", lambda one: one.limit_price == D("1.25"))
            await desk.cancel(order_id)
            await desk.status(order_id, "Cancelled")

    run(scenario())


@EVERY
def test_order_ids_are_never_used_twice_and_not_below_what_is_asked(broker: Broker) -> None:
    """B-20: whatever the journal has seen, and across sessions, where the journal says how far it got."""

    async def scenario() -> None:
        async with broker() as desk:
            ids = [desk.port.next_order_id(1) for _ in range(3)]
            ids.append(desk.port.next_order_id(500))
            ids.append(desk.port.next_order_id(1))
            await desk.reconnect()
            ids.append(desk.port.next_order_id(ids[-1] + 1))
            assert ids == sorted(set(ids))
            assert ids[3] >= 500

    run(scenario())


@EVERY
def test_an_order_id_is_good_for_one_order(broker: Broker) -> None:
    """B-21: a second order under the id of one that has ended is refused, and the first one's story stays as it is."""

    async def scenario() -> None:
        async with broker() as desk:
            placement = await desk.placement(submit("first"))
            await desk.port.place(placement, session=desk.port.session)
            await desk.status(placement.order_id, "Filled")
            again = await desk.placement(submit("second"))
            await desk.port.place(
                msgspec.structs.replace(again, order_id=placement.order_id), session=desk.port.session
            )
            refused = await desk.code(placement.order_id)
            assert (refused.cancelled, refused.advice) == (False, False)
            snapshot = await desk.port.snapshot()
            assert [one.order_ref for one in snapshot.completed_orders] == ["first"]
            assert {one.order_ref for one in snapshot.executions} == {"first"}

    run(scenario())


@MATCHING
def test_an_order_comes_back_as_it_was_sent(broker: Broker) -> None:
    """B-22: its reference, ids, client, account, symbol, side, size, prices and time in force."""

    async def scenario() -> None:
        async with broker() as desk:
            request = resting("echo:1_A-z", symbol="BRK.B", side=Side.SELL, limit_price=HIGH, quantity=D(7),
                              time_in_force=TimeInForce.GTC)  # fmt: skip
            order_id = await desk.place(request)
            seen = await desk.seen("echo:1_A-z")
            assert seen.perm_id > 0
            [listed] = (await desk.port.snapshot()).open_orders
            for one in (seen, listed):
                assert (one.order_ref, one.order_id, one.client_id) == ("echo:1_A-z", order_id, CLIENT_ID)
                assert (one.account, one.symbol, one.side) == (desk.port.account, "BRK.B", Side.SELL)
                assert (one.quantity, one.limit_price, one.time_in_force) == (7, HIGH, "GTC")
                assert one.perm_id == seen.perm_id

    run(scenario())


@EVERY
def test_there_is_room_for_orders_at_once_on_a_quiet_session(broker: Broker) -> None:
    """B-23: pacing costs nothing before the limit is near, and what there is room for is told without waiting."""

    async def scenario() -> None:
        async with broker() as desk, asyncio.timeout(0.5):
            assert desk.port.capacity() >= 5
            for _ in range(5):
                await desk.port.room()
            assert desk.port.capacity() >= 0
            assert not any(isinstance(one, OrderSeen) for one in desk.heard)

    run(scenario())
