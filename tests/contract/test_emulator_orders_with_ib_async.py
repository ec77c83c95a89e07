"""The life of plain orders at the stand-in Gateway, placed by an unmodified ib_async 2.1.0 over TCP."""

from __future__ import annotations

from datetime import datetime

import pytest
from contract.ib_async_terminal import (
    AAPL,
    MONDAY,
    SETTINGS,
    connected,
    limit,
    market,
    session,
    status,
    statuses,
)
from ib_async import Order, Stock
from support import eventually, run

from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.simulation.sessions import NEW_YORK
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings


def test_a_market_order_fills_with_the_events_of_a_recorded_session() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            events: list[str] = []
            terminal.ib.openOrderEvent += lambda _trade: events.append("openOrder")
            terminal.ib.orderStatusEvent += lambda trade: events.append(trade.orderStatus.status)
            terminal.ib.execDetailsEvent += lambda _trade, _fill: events.append("execDetails")
            terminal.ib.commissionReportEvent += lambda *_: events.append("commission")
            trade = terminal.place(market("BUY", 100, orderRef="s-1", account="DU9000001"))
            await eventually(lambda: "commission" in events, what="the commission")
            assert events == [
                "openOrder",
                "PreSubmitted",
                "execDetails",
                "openOrder",
                "Filled",
                "commission",
            ]
            [fill] = trade.fills
            execution = fill.execution
            assert (execution.shares, execution.cumQty, execution.side) == (100, 100, "BOT")
            assert (execution.orderRef, execution.acctNumber, execution.clientId) == ("s-1", "DU9000001", 1)
            assert execution.execId.endswith(".01.01")
            assert abs((execution.time - SYSTEM_CLOCK.now()).total_seconds()) < 5
            assert fill.commissionReport.commission == 1.0
            assert trade.orderStatus.avgFillPrice == execution.price
            assert trade.order.permId == execution.permId > 0

    run(scenario())


def test_a_fill_changes_position_portfolio_and_account_at_once() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            bought = terminal.place(market("BUY", 100))
            await eventually(terminal.ib.positions, what="a position")
            [position] = terminal.ib.positions()
            price = bought.fills[0].execution.price
            assert (position.position, position.contract.conId) == (100, 265598)
            assert position.avgCost == pytest.approx(price + 0.01)
            await eventually(terminal.ib.portfolio, what="a portfolio item")
            assert terminal.ib.portfolio()[0].averageCost == pytest.approx(price + 0.01)
            cash = {value.tag: value.value for value in terminal.ib.accountValues() if value.currency == "USD"}
            assert float(cash["TotalCashValue"]) == pytest.approx(1_000_000 - 100 * price - 1, abs=0.01)
            sold = terminal.place(market("SELL", 100))
            await eventually(lambda: not terminal.ib.positions() and not terminal.ib.portfolio(), what="no position")
            report = sold.fills[0].commissionReport
            await eventually(lambda: report.execId, what="the commission")
            gained = 100 * (sold.fills[0].execution.price - price) - 2
            assert report.realizedPNL == pytest.approx(gained)

    run(scenario())


def test_a_limit_order_rests_changes_and_fills() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            order = limit("BUY", 10, 1.0, tif="DAY")
            trade = terminal.place(order)
            await status(trade, "Submitted")
            assert statuses(trade) == ["PendingSubmit", "PreSubmitted", "Submitted"]
            order.lmtPrice, order.totalQuantity = 2.0, 20
            terminal.place(order)
            await eventually(lambda: gateway.state.engine.working[0].ticket.quantity == 20, what="the change")
            order.lmtPrice = 9999.0
            terminal.place(order)
            await status(trade, "Filled")
            assert trade.orderStatus.filled == 20
            quote_ask = trade.fills[0].execution.price
            assert quote_ask < 9999
            assert terminal.codes == []

    run(scenario())


def test_a_working_order_is_seen_and_cancelled_after_a_reconnect() -> None:
    """As recorded from a live paper Gateway: api_reconnect_active_order_aapl."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            async with connected(gateway) as terminal:
                trade = terminal.place(limit("BUY", 10, 13.27, orderRef="r"))
                await status(trade, "Submitted")
                perm_id = trade.order.permId
            async with connected(gateway) as terminal:
                [seen] = terminal.ib.openTrades()
                assert (seen.order.permId, seen.order.orderRef, seen.order.totalQuantity) == (perm_id, "r", 10)
                assert seen.orderStatus.status == "Submitted"
                terminal.ib.cancelOrder(seen.order)
                await status(seen, "Cancelled")
                await terminal.told(202)
                assert gateway.state.orders.next_order_id(1) == seen.order.orderId + 1

    run(scenario())


def test_client_0_sees_and_cancels_the_order_of_another() -> None:
    """As recorded from a live paper Gateway: api_client_id0_order_observation_aapl."""

    async def scenario() -> None:
        async with session(client_id=1) as (gateway, owner), connected(gateway, 0) as observer:
            trade = owner.place(limit("BUY", 10, 13.27))
            await status(trade, "Submitted")
            [seen] = await observer.ib.reqAllOpenOrdersAsync()
            assert (seen.order.orderId, seen.order.clientId) == (trade.order.orderId, 1)
            observer.ib.client.cancelOrder(trade.order.orderId)
            await status(trade, "Cancelled")
            assert (await observer.told(202))[0] == trade.order.orderId

    run(scenario())


def test_clients_see_their_own_orders_and_all_on_request() -> None:
    async def scenario() -> None:
        async with session(client_id=1) as (gateway, first), connected(gateway, 2) as second:
            trade = first.place(limit("BUY", 10, 1.0))
            await status(trade, "Submitted")
            assert await second.ib.reqOpenOrdersAsync() == []
            assert len(await second.ib.reqAllOpenOrdersAsync()) == 1
            second.ib.client.cancelOrder(trade.order.orderId)
            await second.told(10147)
            assert trade.orderStatus.status == "Submitted"
            second.ib.reqGlobalCancel()
            await status(trade, "Cancelled")

    run(scenario())


def test_positions_are_told_to_all_and_fills_to_their_owner_alone() -> None:
    async def scenario() -> None:
        async with session(client_id=1) as (gateway, first), connected(gateway, 2) as second:
            first.place(market("BUY", 10))
            await eventually(second.ib.positions, what="the other client's view of the position")
            assert second.ib.fills() == []
            assert len(first.ib.fills()) == 1

    run(scenario())


def test_a_cancel_goes_through_the_states_and_text_of_a_recorded_session() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            seen: list[str] = []
            trade = terminal.place(limit("BUY", 1, 10.0))
            await status(trade, "Submitted")
            terminal.ib.orderStatusEvent += lambda trade: seen.append(trade.orderStatus.status)
            terminal.ib.client.cancelOrder(trade.order.orderId)
            order_id, _, text = await terminal.told(202)
            assert seen == ["Cancelled"]
            assert (order_id, text) == (trade.order.orderId, "Order Canceled - reason:")

    run(scenario())


def test_cancels_of_what_is_not_there_or_has_ended_are_told_apart() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            terminal.ib.client.cancelOrder(4711)
            assert await terminal.told(10147) == (4711, 10147, "OrderId 4711 that needs to be cancelled is not found.")
            trade = terminal.place(market("BUY", 1))
            await status(trade, "Filled")
            order_id = trade.order.orderId
            terminal.ib.client.cancelOrder(order_id)
            assert await terminal.told(10148) == (
                order_id,
                10148,
                f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: Filled.",
            )
            assert trade.orderStatus.status == "Filled"

    run(scenario())


def test_an_order_id_is_used_once() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            order = limit("BUY", 1, 10.0)
            trade = terminal.place(order)
            await status(trade, "Submitted")
            terminal.ib.cancelOrder(order)
            await status(trade, "Cancelled")
            terminal.ib.client.placeOrder(order.orderId, AAPL, order)
            assert (await terminal.told(103))[2] == "Duplicate order id"
            filled = terminal.place(market("BUY", 1))
            await status(filled, "Filled")
            terminal.ib.client.placeOrder(filled.order.orderId, AAPL, filled.order)
            await terminal.told(104)
            assert len(await terminal.ib.reqCompletedOrdersAsync(apiOnly=False)) == 2

    run(scenario())


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (market("BUY", 1.5), 10243),
        (market("BUY", 0), 434),
        (market("BUY", 1_000_000), 201),
        (limit("BUY", 1, 10.001), 110),
        (limit("BUY", 1, 10.0, tif="DTC"), 201),
        (limit("BUY", 1, 10.0, tif="GTD"), 334),
        (limit("BUY", 1, 10.0, tif="GTD", goodTillDate="tomorrow"), 343),
        (limit("BUY", 1, 10.0, goodAfterTime="soon"), 337),
        (limit("BUY", 1, 10.0, discretionaryAmt=0.5), 201),
        (limit("BUY", 1, 10.0, algoStrategy="DarkIce"), 439),
        (limit("BUY", 1, 10.0, parentId=4711), 10006),
        (limit("BUY", 1, 10.0, cashQty=500), 10244),
        (limit("BUY", 1, 10.0, account="U1"), 321),
        (limit("SSHORT", 1, 10.0), 201),
        (Order(action="BUY", totalQuantity=1, orderType="MIDPRICE", tif="DAY"), 387),
        (Order(action="BUY", totalQuantity=1, orderType="TRAIL", tif="DAY"), 158),
        (Order(action="BUY", totalQuantity=1, orderType="MOC", tif="GTC"), 113),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_an_order_that_is_not_taken_is_answered_with_its_code(order: Order, code: int) -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            trade = terminal.place(order)
            order_id, _, text = await terminal.told(code)
            assert order_id == trade.order.orderId
            assert text
            assert gateway.state.engine.working == ()
            assert await terminal.ib.reqAllOpenOrdersAsync() == []

    run(scenario())


def test_a_change_that_is_not_taken_leaves_the_order_working() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            order = limit("BUY", 10, 10.0)
            await status(terminal.place(order), "Submitted")
            before = gateway.state.engine.working
            for changes, code in (({"lmtPrice": 10.001}, 110), ({"action": "SELL"}, 105), ({"orderType": "MKT"}, 329)):
                changed = limit("BUY", 10, 10.0, orderId=order.orderId)
                for name, value in changes.items():
                    setattr(changed, name, value)
                terminal.ib.client.placeOrder(order.orderId, AAPL, changed)
                await terminal.told(code)
            assert gateway.state.engine.working == before

    run(scenario())


def test_a_large_order_fills_in_parts_where_the_size_shown_counts() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        settings = EmulatorSettings(symbols=("AAPL", "F"), port=0, partial_fills=True)
        async with session(clock, settings) as (gateway, terminal):
            [ford] = await terminal.ib.qualifyContractsAsync(Stock("F", "SMART", "USD"))
            trade = terminal.place(market("BUY", 3000), ford)
            await status(trade, "Submitted")
            assert 0 < trade.orderStatus.filled < 3000
            for _ in range(60):
                clock.advance(1)
                gateway.state.step()
            await status(trade, "Filled")
            assert sum(fill.execution.shares for fill in trade.fills) == 3000
            assert trade.fills[-1].execution.cumQty == 3000
            assert sum(fill.commissionReport.commission for fill in trade.fills) == pytest.approx(15.0)

    run(scenario())


def test_what_if_tells_margin_and_commission_and_places_nothing() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            state = await terminal.ib.whatIfOrderAsync(AAPL, market("BUY", 1000))
            assert state.commission == 5.0
            assert float(state.initMarginChange) > 0
            assert float(state.initMarginAfter) == float(state.initMarginBefore) + float(state.initMarginChange)
            assert gateway.state.engine.account.positions == {}
            assert await terminal.ib.reqAllOpenOrdersAsync() == []

    run(scenario())


def test_a_day_order_ends_with_its_day() -> None:
    async def scenario() -> None:
        clock = ManualClock(datetime(2026, 11, 23, 23, 59, tzinfo=NEW_YORK))
        async with session(clock) as (_, terminal):
            day, lasting = terminal.place(limit("BUY", 1, 1.0, tif="DAY")), terminal.place(limit("BUY", 1, 1.0))
            await status(lasting, "Submitted")
            clock.advance(61)
            await status(day, "Cancelled")
            assert lasting.orderStatus.status == "Submitted"

    run(scenario())
