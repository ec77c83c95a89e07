"""Brackets, one-cancels-all groups and combinations at the stand-in Gateway, by an unmodified ib_async over TCP."""

from __future__ import annotations

from decimal import Decimal

import pytest
from contract.ib_async_terminal import (
    AAPL,
    MONDAY,
    Terminal,
    connected,
    happens,
    limit,
    market,
    session,
    status,
    statuses,
)
from ib_async import Bag, ComboLeg, Contract, Stock, Trade
from support import eventually, run

from ibstream.runtime.clock import ManualClock
from ibstream_gateway_emulator.protocol.messages import Error, Message, OrderStatus
from ibstream_gateway_emulator.server import GatewayServer

RESTING, FAR_ABOVE = 1.0, 9999.0


def bracket(terminal: Terminal, price: float) -> tuple[Trade, Trade, Trade]:
    """ib_async's own bracket: parent, profit taker, stop."""
    orders = terminal.ib.bracketOrder("BUY", 10, price, 9000.0, 0.5, tif="GTC")
    parent, target, stop = (terminal.place(order) for order in orders)
    return parent, target, stop


def test_a_bracket_lives_from_its_parent_to_one_of_its_children() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            parent, target, stop = bracket(terminal, RESTING)
            await status(parent, "Submitted")
            for child, why in ((target, "child"), (stop, "child,trigger")):
                await status(child, "PreSubmitted")
                assert child.orderStatus.whyHeld == why
                assert child.orderStatus.parentId == parent.order.orderId
            parent.order.lmtPrice, parent.order.transmit = FAR_ABOVE, True
            terminal.place(parent.order)
            await status(parent, "Filled")
            await status(target, "Submitted")
            await eventually(lambda: stop.orderStatus.whyHeld == "trigger", what="the stop to be armed")
            happens(gateway, gateway.state.engine.fill_now(target.order.permId, gateway.state.now_ns()))
            await status(target, "Filled")
            await status(stop, "Cancelled")
            assert await terminal.told(202) == (stop.order.orderId, 202, "Order Canceled - reason:")
            assert await terminal.ib.reqPositionsAsync() == []

    run(scenario())


def test_a_bracket_ends_with_its_parent() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            trades = bracket(terminal, RESTING)
            await status(trades[0], "Submitted")
            terminal.ib.cancelOrder(trades[0].order)
            for trade in trades:
                await status(trade, "Cancelled")
            assert terminal.codes == [202] * 3
            assert await terminal.ib.reqAllOpenOrdersAsync() == []

    run(scenario())


def test_nothing_is_told_of_a_bracket_that_is_not_transmitted() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            parent, target, stop = terminal.ib.bracketOrder("BUY", 10, RESTING, 9000.0, 0.5, tif="GTC")
            kept = [terminal.place(parent), terminal.place(target)]
            await eventually(lambda: len(gateway.state.engine.working) == 2, what="the orders to have come")
            assert [trade.orderStatus.status for trade in kept] == ["PendingSubmit"] * 2
            last = terminal.place(stop)
            await status(last, "PreSubmitted")
            await status(kept[0], "Submitted")

    run(scenario())


@pytest.mark.parametrize(
    ("oca_type", "expected", "remaining"), [(1, "Cancelled", 10), (2, "Submitted", 6), (3, "Submitted", 6)]
)
def test_a_partial_fill_does_to_its_group_what_the_type_says(oca_type: int, expected: str, remaining: int) -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            first, second = (
                terminal.place(limit("BUY", 10, price, ocaGroup="pair", ocaType=oca_type)) for price in (1.0, 2.0)
            )
            await status(second, "Submitted")
            now_ns = gateway.state.now_ns()
            happens(gateway, gateway.state.engine.fill_now(first.order.permId, now_ns, quantity=Decimal(4)))
            await eventually(lambda: first.orderStatus.filled == 4, what="the fill")
            await status(second, expected)
            await eventually(lambda: second.orderStatus.remaining == remaining, what="the rest")

    run(scenario())


@pytest.mark.parametrize(("oca_type", "filled"), [(2, [10, 0]), (3, [10, 10])], ids=["with block", "without block"])
def test_two_orders_of_a_group_meet_one_tick(oca_type: int, filled: list[int]) -> None:
    """With a block the first one's fill takes the other away; without, the group fills twice what one of them asked for."""

    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (gateway, terminal):
            later = {"goodAfterTime": "20261123 10:30:00 US/Eastern", "ocaGroup": "pair", "ocaType": oca_type}
            trades = [terminal.place(limit("BUY", 10, FAR_ABOVE, **later)) for _ in range(2)]
            for trade in trades:
                await status(trade, "PreSubmitted")
            clock.advance(31 * 60)
            gateway.state.step()
            for trade, quantity in zip(trades, filled, strict=True):
                await status(trade, "Filled" if quantity else "Cancelled")
                assert trade.orderStatus.filled == quantity
            [held] = await terminal.ib.reqPositionsAsync()
            assert held.position == sum(filled)

    run(scenario())


async def spread(terminal: Terminal) -> Contract:
    """Two of AAPL against one MSFT."""
    [msft] = await terminal.ib.qualifyContractsAsync(Stock("MSFT", "SMART", "USD"))
    assert isinstance(msft, Contract)
    legs = [ComboLeg(AAPL.conId, 2, "BUY", "SMART"), ComboLeg(msft.conId, 1, "SELL", "SMART")]
    return Bag(symbol="AAPL", exchange="SMART", currency="USD", comboLegs=legs)


def test_a_combination_fills_leg_by_leg() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            trade = terminal.place(market("BUY", 3), await spread(terminal))
            await status(trade, "Filled")
            await eventually(
                lambda: sum(bool(fill.commissionReport.execId) for fill in trade.fills) == 2, what="what the legs cost"
            )
            combination, *legs = trade.fills
            net = 2 * legs[0].execution.price - legs[1].execution.price
            assert combination.execution.price == pytest.approx(net)
            assert [(leg.execution.shares, leg.execution.side) for leg in legs] == [(6, "BOT"), (3, "SLD")]
            assert not combination.commissionReport.execId
            assert len({fill.execution.execId for fill in trade.fills}) == 3
            held = {one.contract.symbol: one.position for one in await terminal.ib.reqPositionsAsync()}
            assert held == {"AAPL": 6, "MSFT": -3}

    run(scenario())


def test_a_combination_rests_at_a_net_price_and_is_seen_with_its_legs() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            contract = await spread(terminal)
            trade = terminal.place(limit("BUY", 1, -9000.0), contract)
            await status(trade, "Submitted")
            assert statuses(trade) == ["PendingSubmit", "Submitted"]
            async with connected(gateway, 2) as observer:
                [seen] = await observer.ib.reqAllOpenOrdersAsync()
                assert (seen.contract.secType, seen.order.lmtPrice) == ("BAG", -9000.0)
                assert [(leg.conId, leg.ratio, leg.action) for leg in seen.contract.comboLegs] == [
                    (leg.conId, leg.ratio, leg.action) for leg in contract.comboLegs
                ]
            terminal.ib.cancelOrder(trade.order)
            await status(trade, "Cancelled")

    run(scenario())


def told_of(gateway: GatewayServer, order_id: int) -> list[Message]:
    """What the journal says was told about an order."""
    said = [one.content for one in gateway.state.journal.messages if one.direction == "out"]
    return [
        message
        for message in said
        if (isinstance(message, OrderStatus) and message.order_id == order_id)
        or (isinstance(message, Error) and message.req_id == order_id)
    ]


def test_a_child_without_a_parent_is_refused() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            orphan = terminal.place(limit("SELL", 1, 9000.0, parentId=4711))
            await terminal.told(10006)
            gone = terminal.place(market("BUY", 1))
            await status(gone, "Filled")
            terminal.place(limit("SELL", 1, 9000.0, parentId=gone.order.orderId))
            assert (await terminal.told(135))[2] == f"Can't find order with id ={gone.order.orderId}"
            assert len(told_of(gateway, orphan.order.orderId)) == 1

    run(scenario())
