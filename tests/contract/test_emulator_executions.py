"""Executions, completed orders and what a Gateway does with orders while nobody listens, by an unmodified ib_async over TCP."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from contract.ib_async_terminal import AAPL, MONDAY, SETTINGS, connected, happens, limit, market, session, status
from ib_async import ExecutionFilter, Stock
from support import eventually, run

from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import NEW_YORK, to_ns
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings, Holding


def test_executions_pass_the_filter() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            [msft] = await terminal.ib.qualifyContractsAsync(Stock("MSFT", "SMART", "USD"))
            for contract, action in ((AAPL, "BUY"), (msft, "BUY"), (AAPL, "SELL")):
                await status(terminal.place(market(action, 10), contract), "Filled")

            async def found(**fields: Any) -> int:
                return len(await terminal.ib.reqExecutionsAsync(ExecutionFilter(**fields)))

            assert await found() == 3
            assert await found(symbol="AAPL") == 2
            assert await found(symbol="AAPL", side="SELL") == 1
            assert await found(clientId=1) == 3
            assert await found(clientId=9) == 0
            assert await found(acctCode="U1") == 0
            assert await found(secType="STK", exchange="SMART") == 3
            assert await found(secType="FUT") == 0
            tomorrow = SYSTEM_CLOCK.now() + timedelta(days=1)
            assert await found(time=tomorrow.strftime("%Y%m%d-%H:%M:%S")) == 0
            assert await found(time=tomorrow.strftime("%Y%m%d %H:%M:%S UTC")) == 0
            yesterday = SYSTEM_CLOCK.now() - timedelta(days=1)
            assert await found(time=yesterday.strftime("%Y%m%d-%H:%M:%S")) == 3

    run(scenario())


def test_executions_are_those_since_midnight_in_new_york() -> None:
    async def scenario() -> None:
        clock = ManualClock(datetime(2026, 11, 23, 23, 58, tzinfo=NEW_YORK))
        async with session(clock) as (_, terminal):
            await status(terminal.place(market("BUY", 1)), "Filled")
            assert len(await terminal.ib.reqExecutionsAsync()) == 1
            clock.advance(180)
            assert await terminal.ib.reqExecutionsAsync() == []
            assert await terminal.ib.reqCompletedOrdersAsync(apiOnly=False) == []

    run(scenario())


def test_a_resting_order_fills_when_the_market_comes_to_it_while_nobody_is_connected() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with running_gateway(SETTINGS, clock=clock) as gateway:
            bid = Market(7).quote("AAPL", to_ns(MONDAY)).bid
            async with connected(gateway) as terminal:
                trade = terminal.place(limit("BUY", 10, bid, orderRef="left alone"))
                await status(trade, "Submitted")
            for _ in range(3600):
                clock.advance(1)
                gateway.state.step()
                if not gateway.state.engine.working:
                    break
            async with connected(gateway) as terminal:
                assert terminal.ib.openTrades() == []
                [fill] = terminal.ib.fills()
                assert (fill.execution.orderRef, fill.execution.shares) == ("left alone", 10)
                assert fill.execution.price <= bid
                assert fill.commissionReport.execId == fill.execution.execId
                [done] = await terminal.ib.reqCompletedOrdersAsync(apiOnly=False)
                assert (done.order.permId, done.orderStatus.status) == (fill.execution.permId, "Filled")

    run(scenario())


def test_what_happened_while_a_client_was_away_is_told_to_whoever_asks_and_never_by_itself() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            state = gateway.state
            async with connected(gateway) as terminal:
                trade = terminal.place(limit("BUY", 10, 1.0))
                await status(trade, "Submitted")
            record = state.orders.records.find(client_id=1)
            traded = {"quantity": Decimal(4), "price": Decimal("0.99")}
            happens(gateway, state.engine.fill_now(record.perm_id, state.now_ns(), **traded))
            async with connected(gateway) as terminal:
                [seen] = terminal.ib.openTrades()
                assert (seen.order.permId, seen.orderStatus.status) == (record.perm_id, "Submitted")
                [fill] = terminal.ib.fills()
                assert (fill.execution.shares, fill.execution.price, fill.execution.cumQty) == (4, 0.99, 4)
                # ib_async emits execDetails only of what is told unasked.
                assert [entry.status for entry in seen.log] == ["Submitted"]

    run(scenario())


def test_a_correction_is_told_to_the_owner_and_listed_in_the_place_of_the_first() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            trade = terminal.place(market("BUY", 10))
            await status(trade, "Filled")
            first = trade.fills[0].execution
            state = gateway.state
            happens(gateway, state.engine.correct(first.execId, state.now_ns(), price=Decimal("1.23")))
            await eventually(lambda: len(trade.fills) == 2, what="the correction")
            corrected = trade.fills[1].execution
            assert corrected.execId == first.execId.removesuffix("01") + "02"
            assert (corrected.price, corrected.shares, corrected.time) == (1.23, 10, first.time)
            [listed] = await terminal.ib.reqExecutionsAsync()
            assert listed.execution.execId == corrected.execId
            [position] = await terminal.ib.reqPositionsAsync()
            assert position.avgCost == pytest.approx(1.23, abs=0.11)

    run(scenario())


def test_the_master_client_hears_of_the_orders_of_all() -> None:
    async def scenario() -> None:
        settings = msgspec.structs.replace(SETTINGS, master_client_id=7)
        async with session(settings=settings, client_id=1) as (gateway, owner), connected(gateway, 7) as master:
            trade = owner.place(market("BUY", 10))
            await status(trade, "Filled")
            await eventually(master.ib.fills, what="the master's view of the fill")
            [seen] = master.ib.trades()
            assert (seen.order.permId, seen.order.clientId) == (trade.order.permId, 1)
            assert gateway.state.orders.next_order_id(7) == trade.order.orderId + 1

    run(scenario())


def test_what_the_account_holds_at_the_start_can_be_sold() -> None:
    async def scenario() -> None:
        held = Holding(symbol="AAPL", quantity=Decimal(100), average_cost=Decimal("12.50"))
        settings = EmulatorSettings(symbols=("AAPL",), port=0, tick_interval_ms=20, holdings=(held,))
        async with session(settings=settings) as (_, terminal):
            [position] = terminal.ib.positions()
            assert (position.position, position.avgCost) == (100, 12.5)
            trade = terminal.place(market("SELL", 100))
            await status(trade, "Filled")
            await eventually(lambda: trade.fills[0].commissionReport.execId, what="the commission")
            execution, report = trade.fills[0].execution, trade.fills[0].commissionReport
            assert report.realizedPNL == pytest.approx((execution.price - 12.5) * 100 - report.commission)
            assert await terminal.ib.reqPositionsAsync() == []

    run(scenario())


def test_orders_and_executions_that_really_were_are_listed_for_tests() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            await status(terminal.place(market("BUY", 10, orderRef="filled")), "Filled")
            terminal.place(market("BUY", 0, orderRef="refused"))
            await terminal.told(434)
            orders = gateway.state.orders.log.orders()
            assert [(one.order_ref, one.outcome, one.status) for one in orders] == [
                ("filled", "taken", "Filled"),
                ("refused", "rejected", ""),
            ]
            [execution] = gateway.state.orders.log.executions()
            assert (execution.order_ref, execution.quantity) == ("filled", 10)
            assert msgspec.json.encode([orders, execution])

    run(scenario())
