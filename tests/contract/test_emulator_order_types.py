"""Every order type, time in force and kind of instrument at the stand-in Gateway, each to its end, by an unmodified ib_async."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from contract.ib_async_terminal import AAPL, MONDAY, SETTINGS, Terminal, limit, market, session, status, statuses
from ib_async import Contract, Forex, Future, Index, Option, Order, TagValue, Trade
from support import eventually, run

from ibstream.runtime.clock import ManualClock
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import NEW_YORK, to_ns
from ibstream_gateway_emulator.server import GatewayServer

QUOTE = Market(SETTINGS.seed).quote("AAPL", to_ns(MONDAY))
OPEN_S = 6 * 3600
"""From MONDAY, 10:00 in New York, to the close and a little beyond is less than this."""


def order(action: str, order_type: str, **fields: Any) -> Order:
    return Order(action=action, totalQuantity=10, orderType=order_type, **{"tif": "DAY", **fields})


async def wait_for_market(
    clock: ManualClock, gateway: GatewayServer, trade: Trade, *, within_s: int, step_s: float = 1
) -> None:
    """Let the market move until the order has ended."""
    record = gateway.state.orders.records.find(perm_id=trade.order.permId)
    for _ in range(int(within_s / step_s)):
        clock.advance(step_s)
        gateway.state.step()
        if not record.is_live:
            return
    raise AssertionError(f"the order is still {record.status} after {within_s} s")


async def acknowledged(trade: Trade) -> None:
    await eventually(lambda: trade.order.permId, what="the permId")


@pytest.mark.parametrize(
    ("placed", "path"),
    [
        (order("BUY", "MKT"), ["PreSubmitted", "Filled"]),
        (order("BUY", "LMT", lmtPrice=QUOTE.ask), ["PreSubmitted", "Filled"]),
        (order("BUY", "LMT", lmtPrice=QUOTE.bid), ["PreSubmitted", "Submitted", "Filled"]),
        (order("BUY", "STP", auxPrice=round(QUOTE.last + 0.1, 2)), ["PreSubmitted", "Submitted", "Filled"]),
        (
            order("SELL", "STP LMT", auxPrice=round(QUOTE.last - 0.1, 2), lmtPrice=round(QUOTE.last - 5, 2)),
            ["PreSubmitted", "Submitted", "Filled"],
        ),
        (order("SELL", "TRAIL", auxPrice=0.1), ["PreSubmitted", "Submitted", "Filled"]),
        (order("SELL", "TRAIL", trailingPercent=0.05), ["PreSubmitted", "Submitted", "Filled"]),
        (
            order("SELL", "TRAIL LIMIT", auxPrice=0.1, trailStopPrice=round(QUOTE.last - 0.1, 2), lmtPriceOffset=5),
            ["PreSubmitted", "Submitted", "Filled"],
        ),
        (order("BUY", "MIT", auxPrice=round(QUOTE.last - 0.1, 2)), ["PreSubmitted", "Submitted", "Filled"]),
        (
            order("BUY", "LIT", auxPrice=round(QUOTE.last - 0.1, 2), lmtPrice=round(QUOTE.last + 5, 2)),
            ["PreSubmitted", "Submitted", "Filled"],
        ),
        (order("BUY", "REL", auxPrice=0.01), ["PreSubmitted", "Submitted", "Filled"]),
        (order("BUY", "MTL"), ["PreSubmitted", "Filled"]),
        (
            order("BUY", "MKT", algoStrategy="Adaptive", algoParams=[TagValue("adaptivePriority", "Normal")]),
            ["PreSubmitted", "Submitted", "Filled"],
        ),
        (order("BUY", "MKT", algoStrategy="Twap"), ["PreSubmitted", "Submitted", "Filled"]),
        (order("BUY", "MKT", algoStrategy="Vwap"), ["PreSubmitted", "Submitted", "Filled"]),
        (
            order("BUY", "MKT", goodAfterTime="20261123 10:30:00 US/Eastern"),
            ["PreSubmitted", "Submitted", "Filled"],
        ),
    ],
    ids=lambda value: (
        f"{value.orderType} {value.algoStrategy or value.goodAfterTime}" if isinstance(value, Order) else ""
    ),
)
def test_each_type_fills(placed: Order, path: list[str]) -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (gateway, terminal):
            trade = terminal.place(placed)
            await acknowledged(trade)
            if path != statuses(trade)[1:]:
                await wait_for_market(clock, gateway, trade, within_s=3600)
            await status(trade, "Filled")
            assert statuses(trade) == ["PendingSubmit", *path]
            assert sum(fill.execution.shares for fill in trade.fills) == 10
            await eventually(lambda: trade.fills[-1].commissionReport.execId, what="the commission")
            assert terminal.codes == []

    run(scenario())


@pytest.mark.parametrize(
    ("placed", "ends"),
    [
        (order("BUY", "MOC"), "Filled"),
        (order("BUY", "LOC", lmtPrice=9000), "Filled"),
        (order("BUY", "LOC", lmtPrice=1), "Cancelled"),
    ],
    ids=["MOC", "LOC within", "LOC beyond"],
)
def test_an_order_on_the_close_waits_for_it(placed: Order, ends: str) -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (gateway, terminal):
            trade = terminal.place(placed)
            await status(trade, "PreSubmitted")
            await wait_for_market(clock, gateway, trade, within_s=OPEN_S + 60, step_s=60)
            await status(trade, ends)
            closed = datetime(2026, 11, 23, 16, 0, tzinfo=NEW_YORK)
            assert abs(clock.now() - closed) <= timedelta(minutes=1)

    run(scenario())


def test_an_order_for_the_opening_fills_at_the_next_one() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (gateway, terminal):
            trade = terminal.place(order("BUY", "MKT", tif="OPG"))
            await status(trade, "PreSubmitted")
            await wait_for_market(clock, gateway, trade, within_s=86_400, step_s=600)
            await status(trade, "Filled")
            assert clock.now().astimezone(NEW_YORK).hour == 9

    run(scenario())


@pytest.mark.parametrize(("price", "ends"), [(1.0, "Cancelled"), (9999.0, "Filled")])
@pytest.mark.parametrize("tif", ["IOC", "FOK"])
def test_an_order_that_must_fill_at_once_fills_or_ends(tif: str, price: float, ends: str) -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            trade = terminal.place(limit("BUY", 10, price, tif=tif))
            await status(trade, ends)
            assert statuses(trade) == ["PendingSubmit", "PreSubmitted", ends]

    run(scenario())


@pytest.mark.parametrize("good_till", ["20261123 10:05:00 US/Eastern", "20261123-15:05:00"])
def test_an_order_good_till_a_date_ends_then(good_till: str) -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (gateway, terminal):
            trade = terminal.place(limit("BUY", 10, 1.0, tif="GTD", goodTillDate=good_till))
            await status(trade, "Submitted")
            clock.advance(299)
            gateway.state.step()
            assert trade.orderStatus.status == "Submitted"
            clock.advance(2)
            gateway.state.step()
            await status(trade, "Cancelled")

    run(scenario())


@pytest.mark.parametrize(
    "said",
    [
        {
            "outsideRth": True,
            "hidden": True,
            "displaySize": 5,
            "allOrNone": True,
            "orderRef": "all of it",
            "openClose": "C",
        },
        {"tif": "GTD", "goodTillDate": "20991123 10:05:00 US/Eastern", "goodAfterTime": "20261122 10:05:00 US/Eastern"},
        {"ocaGroup": "g", "ocaType": 2, "minQty": 3, "rule80A": "I", "solicited": True, "clearingIntent": "Away"},
        {"algoStrategy": "Adaptive", "algoParams": [TagValue("adaptivePriority", "Patient")]},
    ],
    ids=lambda said: next(iter(said)),
)
def test_every_attribute_that_a_client_said_is_told_back(said: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            trade = terminal.place(limit("BUY", 10, 1.0, **said))
            await acknowledged(trade)
            terminal.ib.wrapper.trades.clear()
            terminal.ib.wrapper.permId2Trade.clear()
            [seen] = await terminal.ib.reqAllOpenOrdersAsync()
            assert {name: getattr(seen.order, name) for name in said} == said
            assert (seen.order.lmtPrice, seen.order.totalQuantity, seen.order.account) == (1.0, 10, "DU9000001")

    run(scenario())


@pytest.mark.parametrize(
    ("contract", "quantity", "multiplier"),
    [
        (Forex("EURUSD"), 20_000, 1),
        (Future("ES", "202612", "CME", currency="USD"), 1, 50),
        (Option("AAPL", "20261218", 250, "C", "SMART", currency="USD"), 1, 100),
    ],
    ids=["pair", "future", "option"],
)
def test_other_instruments_than_stocks_are_traded(contract: Contract, quantity: int, multiplier: int) -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            [found] = await terminal.ib.qualifyContractsAsync(contract)
            assert isinstance(found, Contract)
            trade = terminal.place(market("BUY", quantity), Contract(conId=found.conId, exchange=found.exchange))
            await status(trade, "Filled")
            [fill] = trade.fills
            assert (fill.execution.shares, fill.execution.side) == (quantity, "BOT")
            [position] = await terminal.ib.reqPositionsAsync()
            assert (position.contract.secType, position.contract.localSymbol) == (found.secType, found.localSymbol)
            assert position.position == quantity
            assert position.avgCost == pytest.approx(fill.execution.price * multiplier, rel=0.01)

    run(scenario())


def test_an_index_is_not_traded() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            [found] = await terminal.ib.qualifyContractsAsync(Index("SPX", "CBOE", "USD"))
            terminal.place(market("BUY", 1), found)
            await terminal.told(203)

    run(scenario())


def what_if_of(terminal: Terminal, placed: Order) -> Any:
    return terminal.ib.whatIfOrderAsync(AAPL, placed)


def test_what_if_of_an_order_that_is_too_dear_warns_and_does_not_refuse() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            state = await what_if_of(terminal, market("BUY", 1_000_000))
            assert "insufficient" in state.warningText
            assert float(state.initMarginChange) > 1_000_000
            assert gateway.state.orders.log.orders() == []

    run(scenario())


@pytest.mark.parametrize(
    ("placed", "code"),
    [(market("BUY", 1, transmit=False), 413), (market("BUY", 0), 434), (market("BUY", 1, discretionaryAmt=1.0), 201)],
)
def test_what_if_of_an_order_that_is_wrong_is_refused(placed: Order, code: int) -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            placed.whatIf = True
            terminal.place(placed)
            await terminal.told(code)

    run(scenario())
