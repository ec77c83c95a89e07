"""Cards B-60 to B-69 and B-80 to B-94: what-ifs, executions and snapshots, for every executor."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from contract.brokers import (
    EVERY,
    MATCHING,
    Broker,
    combo,
    gateway,
    last,
    resting,
    simulated,
    stub,
    submit,
)
from support import run

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Side
from ibstream_broker.domain.inputs import (
    Executed,
    OrderSeen,
    StatusReported,
)
from ibstream_broker.ports import OrderRefused

D = Decimal


@MATCHING
def test_a_what_if_says_what_an_order_would_bind_and_cost(broker: Broker) -> None:
    """B-60: half the value of the shares, a quarter to hold them, and the commission; nothing is left out."""

    async def scenario() -> None:
        async with broker() as desk:
            told = await desk.what_if(submit("w-1", quantity=D(100)))
            value = 100 * last()
            assert told.initial_margin_change == told.initial_margin_after
            assert told.initial_margin_change == pytest.approx(value / 2, rel=D("0.01"))
            assert told.maintenance_margin_change == pytest.approx(value / 4, rel=D("0.01"))
            assert told.equity_with_loan_after == 1_000_000 + (told.equity_with_loan_change or 0)
            assert (told.commission, told.commission_currency, told.warning) == (1, "USD", "")

    run(scenario())


@EVERY
def test_a_what_if_leaves_nothing_behind(broker: Broker) -> None:
    """B-61: no order, no event, no execution; its id is used up, and the same order may then be placed."""

    async def scenario() -> None:
        async with broker() as desk:
            before = desk.port.next_order_id(1)
            for request in (submit("w-1"), resting("w-2")):
                assert (await desk.what_if(request)).commission
            snapshot = await desk.port.snapshot()
            assert (snapshot.open_orders, snapshot.completed_orders, snapshot.executions) == ([], [], [])
            assert not any(isinstance(one, OrderSeen | StatusReported | Executed) for one in desk.heard)
            order_id = await desk.place(submit("w-1"))
            assert order_id >= before + 3
            await desk.status(order_id, "Filled")

    run(scenario())


@MATCHING
def test_a_what_if_of_an_order_that_is_wrong_is_refused_with_its_code(broker: Broker) -> None:
    """B-62: as the order would be; an order that is only too dear is answered, with a warning."""

    async def scenario() -> None:
        async with broker() as desk:
            with pytest.raises(OrderRefused) as refused:
                await desk.what_if(submit("w-1", limit_price=D("1.005")))
            assert refused.value.code == 110
            told = await desk.what_if(submit("w-2", quantity=D(1_000_000)))
            assert "insufficient" in told.warning
            assert await desk.port.health_check()

    run(scenario())


@MATCHING
def test_a_what_if_of_a_combo_that_smart_routes_is_refused(broker: Broker) -> None:
    """B-63: with 360, as IBKR answers none."""

    async def scenario() -> None:
        async with broker() as desk:
            with pytest.raises(OrderRefused) as refused:
                await desk.what_if(submit("w-1", instrument=combo(), quantity=D(1)))
            assert refused.value.code == 360

    run(scenario())


@EVERY
def test_an_execution_is_told_with_all_that_a_ledger_needs(broker: Broker) -> None:
    """B-80: one id, an exact price on the step, the account, the contract, a time; and what it cost, exactly."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("e-1"))
            fill = await desk.executed("e-1")
            charged = await desk.charged(fill)
            await desk.status(order_id, "Filled")
            assert fill.exec_id.rpartition(".")[2] == "01"
            assert fill.price == fill.price.quantize(D("0.01")) > 0
            assert (fill.account, fill.security_type, fill.exchange != "") == (desk.port.account, "STK", True)
            assert fill.con_id == (await desk.port.terms(Instrument(symbol="AAPL"))).con_id > 0
            assert fill.executed_at.utcoffset() is not None
            assert (charged.commission, charged.currency, charged.realized_pnl) == (D("1"), "USD", None)
            await desk.reconnect()
            await desk.settled()
            assert set(desk.executions("e-1")) == {fill.exec_id}

    run(scenario())


@MATCHING
def test_a_trade_that_closes_says_what_it_earned(broker: Broker) -> None:
    """B-81: in the commission's currency, both commissions deducted."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.place(submit("in"))
            bought = await desk.executed("in")
            await desk.place(submit("out", side=Side.SELL))
            sold = await desk.executed("out")
            assert (sold.side, sold.quantity) == (Side.SELL, 10)
            earned = (await desk.charged(sold)).realized_pnl
            assert earned == 10 * (sold.price - bought.price) - 2

    run(scenario())


@MATCHING
def test_after_a_reconnect_a_snapshot_tells_everything_that_was(broker: Broker) -> None:
    """B-90: what works, what ended, what was executed and charged: enough to recover each order by its reference."""

    async def scenario() -> None:
        async with broker() as desk:
            filled_id = await desk.place(submit("filled"))
            await desk.status(filled_id, "Filled")
            cancelled_id = await desk.place(resting("cancelled"))
            await desk.cancel(cancelled_id)
            await desk.status(cancelled_id, "Cancelled")
            open_id = await desk.place(resting("open"))
            await desk.status(open_id, "Submitted")
            await desk.reconnect()
            snapshot = await desk.port.snapshot()
            [open_order] = snapshot.open_orders
            assert (open_order.order_ref, open_order.order_id) == ("open", open_id)
            assert open_order.status in ("PreSubmitted", "Submitted")
            completed = {one.order_ref: (one.status, one.quantity, one.symbol) for one in snapshot.completed_orders}
            assert completed == {"filled": ("Filled", 10, "AAPL"), "cancelled": ("Cancelled", 10, "AAPL")}
            assert {(one.order_ref, one.quantity) for one in snapshot.executions} == {("filled", D(10))}
            assert {one.exec_id for one in snapshot.commissions} == {one.exec_id for one in snapshot.executions}
            assert snapshot.executions_complete
            await desk.cancel(open_id)
            await desk.status(open_id, "Cancelled")

    run(scenario())


@EVERY
def test_an_execution_is_told_again_in_a_snapshot_as_it_was(broker: Broker) -> None:
    """B-91: the ledger's key must not change with the way on which an execution comes."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.place(submit("m-3"))
            fill = await desk.executed("m-3")
            charged = await desk.charged(fill)
            await desk.reconnect()
            snapshot = await desk.port.snapshot()
            [listed], [cost] = snapshot.executions, snapshot.commissions
            assert (listed.exec_id, listed.quantity, listed.price) == (fill.exec_id, fill.quantity, fill.price)
            assert (listed.order_ref, listed.perm_id, listed.con_id) == (fill.order_ref, fill.perm_id, fill.con_id)
            assert cost == charged

    run(scenario())


@EVERY
def test_two_snapshots_at_once_are_both_whole(broker: Broker) -> None:
    """B-92: one that took what belongs to the other would find orders missing."""

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
def test_a_snapshot_says_up_to_where_order_ids_have_come(broker: Broker) -> None:
    """B-93: every id that has arrived lies below; an order of a higher id has provably not."""

    async def scenario() -> None:
        async with broker() as desk:
            assert (await desk.port.snapshot()).next_order_id >= 1
            order_id = await desk.place(submit("m-1"))
            await desk.status(order_id, "Filled")
            reached = (await desk.port.snapshot()).next_order_id
            assert reached > order_id
            await desk.reconnect()
            assert (await desk.port.snapshot()).next_order_id >= reached

    run(scenario())


@pytest.mark.parametrize(("broker", "volatile"), [(simulated, True), (stub, True), (gateway, False)])
def test_an_executor_says_whether_it_forgets(broker: Broker, volatile: bool) -> None:
    """B-94: what one that lives in this process does not list does not exist any more."""

    async def scenario() -> None:
        async with broker() as desk:
            assert (await desk.port.snapshot()).volatile is volatile

    run(scenario())
