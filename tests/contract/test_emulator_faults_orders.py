"""Faults of orders, each seen by an unmodified ib_async or on the bare wire."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from contract.ib_async_terminal import SETTINGS, Terminal, connected, limit, market, status, statuses
from contract.wire_client import logged_in
from ib_async import ExecutionFilter, Trade
from support import eventually, run

from ibstream_gateway_emulator.control.handle import CommandError, GatewayControl
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import GatewayServer, running_gateway

FAR = 1.0
"""A limit to buy at that no price of the simulated market comes to."""


@contextlib.asynccontextmanager
async def trading() -> AsyncIterator[tuple[GatewayServer, GatewayControl, Terminal]]:
    async with running_gateway(SETTINGS) as gateway, connected(gateway) as terminal:
        yield gateway, GatewayControl(gateway.state), terminal


async def settled(terminal: Terminal) -> None:
    """Whatever the Gateway had to say by now has been heard."""
    await asyncio.wait_for(terminal.ib.reqAllOpenOrdersAsync(), 5)


async def resting(terminal: Terminal, ref: str = "a", quantity: float = 10) -> Trade:
    trade = terminal.place(limit("BUY", quantity, FAR, orderRef=ref))
    await status(trade, "Submitted")
    return trade


def test_read_only_api_refuses_orders_and_cancels_with_321() -> None:
    """The text is that of real Gateways; `em` stands where they name an obfuscated class."""

    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            trade = await resting(terminal)
            await control.read_only_api()
            terminal.place(limit("BUY", 1, FAR, orderRef="b"))
            said = await terminal.told(321)
            assert said[2].endswith("cause - The API interface is currently in Read-Only mode.")
            terminal.ib.cancelOrder(trade.order)
            await settled(terminal)
            await control.clear(fault="read_only_api")
            told = [(one.order_ref, one.status, one.code) for one in await control.orders()]
            assert told == [("a", "Submitted", 0), ("b", "", 321)]

    run(scenario())


def test_read_only_api_may_refuse_lists_under_no_request_id() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            await GatewayControl(gateway.state).read_only_api(refuses_lists=True)
            client.writer.write(frame(("5", "1")))
            while (said := await client.receive_until("4"))[3] != "321":
                pass
            assert said[2] == "-1"

    run(scenario())


def test_reject_orders_rejects_the_next_with_201_and_no_more() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.reject_orders(count=1, symbol="AAPL", text="Order rejected - reason:too much")
            rejected = terminal.place(limit("BUY", 1, FAR, orderRef="a"))
            await status(rejected, "Cancelled")
            assert (await terminal.told(201))[2] == "Order rejected - reason:too much"
            await resting(terminal, "b")
            outcomes = {one.order_ref: (one.outcome, one.code) for one in await control.orders()}
            assert outcomes == {"a": ("rejected", 201), "b": ("taken", 0)}

    run(scenario())


def test_reject_orders_by_order_ref_leaves_the_others() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.reject_orders(order_ref="bad", code=203, text="not allowed")
            await resting(terminal, "good")
            terminal.place(limit("BUY", 1, FAR, orderRef="bad"))
            assert (await terminal.told(203))[2] == "not allowed"

    run(scenario())


@pytest.mark.parametrize(("code", "after"), [(399, "ValidationError"), (10349, "Cancelled")])
def test_order_warning_sounds_like_an_end_while_the_order_lives_on(code: int, after: str) -> None:
    """ib_async takes 10349 for the end of an order that works (its issue 217)."""

    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.order_warning(code=code, count=1)
            trade = terminal.place(limit("BUY", 1, FAR, orderRef="a"))
            await terminal.told(code)
            assert trade.orderStatus.status == after
            assert (await control.wait_for_order(order_ref="a")).status == "Submitted"

    run(scenario())


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (161, "Cancel attempted when order is not in a cancellable state. Order permId ="),
        (10148, "that needs to be cancelled cannot be cancelled, state: PendingCancel."),
    ],
)
def test_cancel_error_answers_the_cancel_while_the_order_works(code: int, text: str) -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            trade = await resting(terminal)
            await control.command(verbs.from_builtins({"verb": "cancel_error", "code": code}))
            terminal.ib.cancelOrder(trade.order)
            assert text in (await terminal.told(code))[2]
            assert (await control.wait_for_order(order_ref="a")).status == "Submitted"
            await control.clear()
            await control.fill(order_ref="a", price=Decimal(1))
            await status(trade, "Filled")

    run(scenario())


def test_commission_before_execution_is_lost_on_ib_async() -> None:
    """ib_async drops a report of an execution it does not know yet."""

    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.commission_before_execution()
            trade = terminal.place(market("BUY", 10, orderRef="a"))
            await status(trade, "Filled")
            await settled(terminal)
            assert [fill.commissionReport.commission for fill in trade.fills] == [0.0]
            said = (await control.messages(direction="out")).messages
            names = [one.name for one in said if one.name in ("ExecDetails", "CommissionReport")]
            assert names == ["CommissionReport", "ExecDetails"]

    run(scenario())


def test_duplicate_order_status_comes_three_times() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.duplicate_order_status(copies=2)
            await resting(terminal)
            said = (await control.messages(name="OrderStatus")).messages
            assert len(said) == 3
            assert len({one.fields for one in said}) == 1

    run(scenario())


def test_lose_acknowledgement_lets_the_order_work_unsaid_until_the_client_reconnects() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            control = GatewayControl(gateway.state)
            await control.lose_acknowledgement(order_ref="a")
            async with connected(gateway) as terminal:
                trade = terminal.place(limit("BUY", 10, FAR, orderRef="a"))
                known = await resting(terminal, "b")
                assert statuses(trade) == ["PendingSubmit"]
                unsaid = await control.wait_for_order(order_ref="a", status="Submitted")
                assert not unsaid.acknowledged
                await settled(terminal)
                assert {one.order.orderRef for one in terminal.ib.openTrades()} == {"a", "b"}
                assert known.orderStatus.status == "Submitted"
            async with connected(gateway) as again:
                await control.fill(order_ref="a", price=Decimal(1))
                await eventually(again.ib.fills, what="the fill to be told")

    run(scenario())


def test_omit_orders_leaves_no_trace_in_lists_but_the_used_id() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            resting_trade = await resting(terminal, "a")
            filled = terminal.place(market("BUY", 10, orderRef="a"))
            await eventually(filled.isDone, what="the fill")
            await resting(terminal, "b")
            await control.omit_orders(order_ref="a")
            listed = await terminal.ib.reqAllOpenOrdersAsync()
            assert {one.order.orderRef for one in listed} == {"b"}
            assert await terminal.ib.reqCompletedOrdersAsync(apiOnly=False) == []
            assert await terminal.ib.reqExecutionsAsync() == []
            [client] = await control.clients()
            assert client.next_order_id > filled.order.orderId > resting_trade.order.orderId
            await control.clear(fault="omit_orders")
            listed = await terminal.ib.reqAllOpenOrdersAsync()
            assert {one.order.orderRef for one in listed} == {"a", "b"}
            assert len(await terminal.ib.reqCompletedOrdersAsync(apiOnly=False)) == 1
            assert len(await terminal.ib.reqExecutionsAsync()) == 1

    run(scenario())


def test_lose_order_does_nothing_and_says_nothing_but_to_the_journal() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.lose_order(count=1)
            trade = terminal.place(limit("BUY", 10, FAR, orderRef="a"))
            await resting(terminal, "b")
            assert statuses(trade) == ["PendingSubmit"]
            assert terminal.codes == []
            rows = {one.order_ref: (one.outcome, one.text) for one in await control.orders()}
            assert rows == {"a": ("lost", "lose_order"), "b": ("taken", "")}

    run(scenario())


def test_fill_happens_at_its_price_while_nobody_listens() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            control = GatewayControl(gateway.state)
            async with connected(gateway) as terminal:
                await resting(terminal, quantity=10)
            await control.fill(order_ref="a", quantity=Decimal(4), price=Decimal("0.5"))
            await control.fill(order_ref="a")
            assert [one.quantity for one in await control.executions()] == [4, 6]
            async with connected(gateway) as again:
                fills = again.ib.fills()
                assert next((one.execution.shares, one.execution.price) for one in fills) == (4, 0.5)
                assert sum(one.execution.shares for one in fills) == 10

    run(scenario())


def test_fill_of_what_is_not_there_says_what_is_missing() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await resting(terminal, "a")
            with pytest.raises(CommandError, match="order_ref=nothing"):
                await control.fill(order_ref="nothing")
            with pytest.raises(CommandError):
                await control.fill(order_ref="a", quantity=Decimal(11))
            assert (await control.wait_for_order(order_ref="a")).filled == 0

    run(scenario())


def test_cancel_order_is_done_by_the_system() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            trade = await resting(terminal)
            await control.cancel_order(order_ref="a", text="the exchange is closed")
            await status(trade, "Cancelled")
            [completed] = await terminal.ib.reqCompletedOrdersAsync(apiOnly=False)
            assert completed.orderStatus.status == "Cancelled"
            assert (await terminal.told(202))[2].endswith("the exchange is closed")

    run(scenario())


def test_correct_execution_replaces_the_execution_under_the_next_id() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            trade = terminal.place(market("BUY", 10, orderRef="a"))
            await status(trade, "Filled")
            [old] = await control.executions()
            assert old.exec_id.endswith(".01")
            await control.correct_execution(exec_id=old.exec_id, price=old.price - 1)
            await eventually(lambda: len(trade.fills) == 2, what="the correction")
            corrected = trade.fills[1].execution
            assert corrected.execId == old.exec_id[:-2] + "02"
            assert corrected.price == float(old.price - 1)
            [counts] = await control.executions()
            assert (counts.exec_id, counts.replaces) == (corrected.execId, old.exec_id)
            asked = await terminal.ib.reqExecutionsAsync(ExecutionFilter())
            assert corrected.execId in {one.execution.execId for one in asked}
            with pytest.raises(CommandError):
                await control.correct_execution(exec_id=old.exec_id, price=old.price)

    run(scenario())


def test_roll_back_order_ids_tells_a_lower_next_id() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            control = GatewayControl(gateway.state)
            client.writer.write(frame(("8", "1", "10")))
            assert (await client.receive_until("9"))[2] == "11"
            await control.roll_back_order_ids(by=4, client_id=1)
            client.writer.write(frame(("8", "1", "0")))
            assert (await client.receive_until("9"))[2] == "7"

    run(scenario())
