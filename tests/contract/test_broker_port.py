"""One suite for every executor of orders: the matching engine, the stub, and a Gateway on the wire.

`PaperStubBroker` fills everything at once and knows every symbol, by design: what needs a resting order, a refusal or a
position runs against the other two (`MATCHING`).
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from contract.brokers import CLIENT_ID, Broker, gateway, resting, simulated, stub, submit
from support import run

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Reason, Side, TimeInForce
from ibstream.runtime.connection import Trigger
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    CommissionReported,
    OrderSeen,
    PositionReported,
    StatusReported,
)
from ibstream_broker.ports import InstrumentRefused

EVERY = pytest.mark.parametrize("broker", [simulated, stub, gateway])
MATCHING = pytest.mark.parametrize("broker", [simulated, gateway])


@EVERY
def test_a_session_is_healthy_until_it_ends(broker: Broker) -> None:
    """True on a live session, False after; sessions are counted; the account has a name; closing twice is no error."""

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
    """Whoever waits for the next one is told."""

    async def scenario() -> None:
        async with broker() as desk:
            waiting = asyncio.create_task(desk.port.next_event())
            await desk.port.close()
            async with asyncio.timeout(5):
                assert (await waiting).trigger is Trigger.LOST

    run(scenario())


@EVERY
def test_terms_of_a_known_instrument(broker: Broker) -> None:
    """Its price tick is exact; a share class is found under its canonical name."""

    async def scenario() -> None:
        async with broker() as desk:
            for symbol in ("AAPL", "BRK.B"):
                assert (await desk.port.terms(Instrument(symbol=symbol))).price_tick == Decimal("0.01")

    run(scenario())


@MATCHING
def test_an_unknown_instrument_is_refused_by_name(broker: Broker) -> None:
    """And the session goes on."""

    async def scenario() -> None:
        async with broker() as desk:
            for _ in range(2):
                with pytest.raises(InstrumentRefused, match="NOPE") as refused:
                    await desk.port.terms(Instrument(symbol="NOPE"))
                assert refused.value.reason is Reason.UNKNOWN_INSTRUMENT
            assert await desk.port.health_check()

    run(scenario())


@EVERY
def test_a_market_order_is_acknowledged_executed_charged_and_filled(broker: Broker) -> None:
    """All four are told, in whatever order; money is exact decimals."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("m-1"))
            fill = await desk.executed("m-1")
            acknowledged = await desk.seen("m-1")
            filled = await desk.status(order_id, "Filled")
            charged = await desk.hears(CommissionReported, lambda one: one.exec_id == fill.exec_id)
            assert acknowledged.order_id == filled.order_id == fill.order_id == order_id
            assert acknowledged.perm_id == filled.perm_id == fill.perm_id != 0
            assert (fill.quantity, fill.side, fill.symbol) == (10, Side.BUY, "AAPL")
            assert filled.filled == 10
            assert fill.account == desk.port.account
            assert isinstance(fill.price, Decimal)
            assert fill.price == fill.price.quantize(Decimal("0.01")) > 0
            assert charged.commission > 0
            assert charged.currency == "USD"

    run(scenario())


@MATCHING
def test_a_sale_of_a_share_class_comes_back_under_its_canonical_name(broker: Broker) -> None:
    """`BRK.B`, whatever IBKR writes; sold, not bought."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.place(submit("m-2", symbol="BRK.B", side=Side.SELL))
            fill = await desk.executed("m-2")
            assert (fill.symbol, fill.side) == ("BRK.B", Side.SELL)

    run(scenario())


@MATCHING
def test_a_limit_order_rests_until_it_is_cancelled(broker: Broker) -> None:
    """Submitted, then cancelled; without a fill."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(resting("r-1"))
            await desk.status(order_id, "Submitted")
            seen = await desk.seen("r-1")
            assert (seen.quantity, seen.limit_price) == (10, Decimal("1.0"))
            await desk.port.cancel(order_id)
            assert (await desk.status(order_id, "Cancelled")).filled == 0
            assert await desk.port.health_check()

    run(scenario())


@MATCHING
def test_a_working_order_is_changed_in_place(broker: Broker) -> None:
    """The same order with another quantity and price; a change that is refused leaves it as it was."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(resting("r-2"))
            await desk.status(order_id, "Submitted")
            changed = resting("r-2", quantity=Decimal(20), limit_price=Decimal("1.25"))
            await desk.port.modify(order_id, changed, desk.port.account, session=desk.port.session)
            [listed] = (await desk.port.snapshot()).open_orders  # one order, however often it is shown meanwhile
            await desk.hears(OrderSeen, lambda one: one.quantity == 20)
            too_much = resting("r-2", quantity=Decimal(1_000_000), limit_price=Decimal("900.00"))
            with pytest.raises(ConnectionError):
                await desk.port.modify(order_id, changed, desk.port.account, session=desk.port.session - 1)
            await desk.port.modify(order_id, too_much, desk.port.account, session=desk.port.session)
            refused = await desk.code(order_id)
            assert not refused.cancelled
            [listed] = (await desk.port.snapshot()).open_orders
            assert (listed.order_ref, listed.quantity, listed.limit_price) == ("r-2", 20, Decimal("1.25"))

    run(scenario())


@MATCHING
def test_an_order_beyond_the_account_is_refused_with_a_code(broker: Broker) -> None:
    """A refusal of a new order, which IBKR never shows as its own; and it is listed nowhere."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("x-1", quantity=Decimal(1_000_000)))
            refused = await desk.code(order_id)
            assert (refused.code, refused.dead_if_new, refused.cancelled, refused.advice) == (201, True, False, False)
            snapshot = await desk.port.snapshot()
            assert (snapshot.open_orders, snapshot.completed_orders, snapshot.executions) == ([], [], [])

    run(scenario())


@MATCHING
def test_an_order_that_must_fill_at_once_or_not_at_all_ends_cancelled(broker: Broker) -> None:
    """IOC away from the market."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(resting("i-1", time_in_force=TimeInForce.IOC))
            assert (await desk.status(order_id, "Cancelled")).filled == 0

    run(scenario())


@MATCHING
def test_a_cancel_of_an_order_that_nobody_has_is_answered_with_a_code(broker: Broker) -> None:
    """One that says neither that the order is cancelled nor that it lives."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.port.cancel(4711)
            refused = await desk.code(4711)
            assert refused.code == 10147
            assert (refused.cancelled, refused.dead_if_new, refused.advice) == (False, False, False)

    run(scenario())


@MATCHING
def test_after_a_reconnect_a_snapshot_tells_everything_that_was(broker: Broker) -> None:
    """What works, what ended, what was executed and charged: enough to recover each order by its reference."""

    async def scenario() -> None:
        async with broker() as desk:
            filled_id = await desk.place(submit("filled"))
            await desk.status(filled_id, "Filled")
            cancelled_id = await desk.place(resting("cancelled"))
            await desk.port.cancel(cancelled_id)
            await desk.status(cancelled_id, "Cancelled")
            open_id = await desk.place(resting("open"))
            await desk.status(open_id, "Submitted")
            await desk.reconnect()
            snapshot = await desk.port.snapshot()
            [open_order] = snapshot.open_orders
            assert (open_order.order_ref, open_order.order_id) == ("open", open_id)
            assert open_order.status in ("PreSubmitted", "Submitted")
            assert {one.order_ref: one.status for one in snapshot.completed_orders} == {
                "filled": "Filled",
                "cancelled": "Cancelled",
            }
            assert {(one.order_ref, one.quantity) for one in snapshot.executions} == {("filled", Decimal(10))}
            assert {one.exec_id for one in snapshot.commissions} == {one.exec_id for one in snapshot.executions}
            await desk.port.cancel(open_id)
            await desk.status(open_id, "Cancelled")

    run(scenario())


@EVERY
def test_an_execution_is_told_again_in_a_snapshot_with_the_same_id(broker: Broker) -> None:
    """The ledger's key must not change with the way on which an execution comes."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.place(submit("m-3"))
            fill = await desk.executed("m-3")
            await desk.reconnect()
            [listed] = (await desk.port.snapshot()).executions
            assert (listed.exec_id, listed.quantity, listed.price) == (fill.exec_id, fill.quantity, fill.price)
            assert (listed.order_ref, listed.perm_id) == (fill.order_ref, fill.perm_id)

    run(scenario())


@EVERY
def test_two_snapshots_at_once_are_both_whole(broker: Broker) -> None:
    """One that took what belongs to the other would find orders missing."""

    async def scenario() -> None:
        async with broker() as desk:
            for number in range(3):
                order_id = await desk.place(submit(f"m-{number}"))
                await desk.status(order_id, "Filled")
            snapshots = await asyncio.gather(*(desk.port.snapshot() for _ in range(3)))
            assert [len(one.completed_orders) for one in snapshots] == [3, 3, 3]
            assert [len(one.executions) for one in snapshots] == [3, 3, 3]

    run(scenario())


@EVERY
def test_an_order_is_sent_in_its_session_or_not_at_all(broker: Broker) -> None:
    """A session made meanwhile has not been reconciled: `ConnectionError`, and nothing has arrived anywhere."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.port.terms(Instrument(symbol="AAPL"))
            order_id, before = desk.port.next_order_id(1), desk.port.session
            await desk.reconnect()
            with pytest.raises(ConnectionError):
                await desk.port.place(order_id, submit("late"), desk.port.account, session=before)
            assert await desk.port.health_check()  # a round trip: whatever had been sent would be there
            snapshot = await desk.port.snapshot()
            assert (snapshot.open_orders, snapshot.completed_orders, snapshot.executions) == ([], [], [])
            assert not any(isinstance(one, StatusReported) for one in desk.heard)

    run(scenario())


@EVERY
def test_order_ids_are_never_used_twice_and_not_below_what_is_asked(broker: Broker) -> None:
    """Whatever the journal has seen, and across sessions, where the journal says how far it got."""

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


@MATCHING
def test_positions_follow_the_fills(broker: Broker) -> None:
    """As events while they happen, and as a list after a reconnect."""

    async def scenario() -> None:
        async with broker() as desk:
            assert await desk.port.positions() == []
            await desk.place(submit("p-1"))
            await desk.hears(PositionReported, lambda one: one.quantity == 10)
            await desk.place(submit("p-2", symbol="MSFT", side=Side.SELL, quantity=Decimal(3)))
            await desk.hears(PositionReported, lambda one: one.quantity == -3)
            await desk.reconnect()
            held = {one.symbol: one for one in await desk.port.positions()}
            assert {symbol: one.quantity for symbol, one in held.items()} == {"AAPL": 10, "MSFT": -3}
            assert all(one.average_cost > 0 and one.con_id > 0 for one in held.values())
            assert {one.account for one in held.values()} == {desk.port.account}

    run(scenario())


@EVERY
def test_account_values_are_told(broker: Broker) -> None:
    """At least what the account is worth."""

    async def scenario() -> None:
        async with broker() as desk:
            worth = await desk.hears(AccountValueReported, lambda one: one.tag == "NetLiquidation")
            assert Decimal(worth.value) == 1_000_000
            assert worth.account == desk.port.account

    run(scenario())


@EVERY
def test_there_is_room_for_an_order_at_once_on_a_quiet_session(broker: Broker) -> None:
    """Pacing costs nothing before the limit is near."""

    async def scenario() -> None:
        async with broker() as desk, asyncio.timeout(0.5):
            for _ in range(5):
                await desk.port.room()

    run(scenario())
