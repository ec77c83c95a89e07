"""The journal tells what is so at IBKR, whoever was told of it: also while the link is lost, and of what was turned away."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal

from contract.ib_async_terminal import AAPL, SETTINGS, Terminal, connected, limit, market, status
from contract.wire_client import AAPL as AAPL_FIELDS
from contract.wire_client import logged_in
from ib_async import Forex, LimitOrder, StopOrder
from support import eventually, run

from ibstream_gateway_emulator.control.handle import GatewayControl
from ibstream_gateway_emulator.control.transcript import MESSAGES_AT_ONCE
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings


@contextlib.asynccontextmanager
async def trading() -> AsyncIterator[tuple[GatewayServer, GatewayControl, Terminal]]:
    async with running_gateway(SETTINGS) as gateway, connected(gateway) as terminal:
        yield gateway, GatewayControl(gateway.state), terminal


def test_a_fill_while_the_link_is_lost_is_in_the_journal_at_once() -> None:
    """The client is told nothing, and the Gateway's own lists still show the order as it was; the journal knows."""

    async def scenario() -> None:
        async with trading() as (gateway, control, terminal):
            trade = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            await status(trade, "Submitted")
            await control.lose_link()
            await control.fill(order_ref="a", quantity=Decimal(4), price=Decimal("0.99"))
            [order] = await control.orders()
            assert (order.filled, order.remaining, order.status) == (4, 6, "Submitted")
            [execution] = await control.executions()
            assert (execution.quantity, execution.price) == (4, Decimal("0.99"))
            await control.correct_execution(exec_id=execution.exec_id, price=Decimal("0.98"))
            [corrected] = await control.executions()
            assert (corrected.replaces, corrected.price) == (execution.exec_id, Decimal("0.98"))
            assert trade.fills == []
            assert [record.filled for record in gateway.state.orders.records] == [0], "the Gateway has not heard of it"
            await control.restore_link()
            await eventually(lambda: trade.orderStatus.filled == 4, what="the fill to be told")
            assert [one.exec_id for one in await control.executions()] == [corrected.exec_id]

    run(scenario())


def test_an_order_kept_for_the_link_is_in_the_journal_and_goes_out_though_its_client_has_left() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            control = GatewayControl(gateway.state)
            async with connected(gateway) as terminal:
                await control.lose_link()
                terminal.place(limit("BUY", 10, 1.0, orderRef="kept"))
                row = await control.wait_for_order(order_ref="kept")
                assert (row.outcome, row.status, row.is_change) == ("kept", "", False)
            await control.restore_link()
            [row] = await control.orders()
            assert (row.outcome, row.status, row.order_ref) == ("taken", "Submitted", "kept")

    run(scenario())


def test_lost_data_ends_books_ticks_and_real_time_bars_too() -> None:
    """After 1101 a client must ask for everything anew."""

    async def scenario() -> None:
        settings = EmulatorSettings(symbols=("AAPL",), port=0, tick_interval_ms=10, limits=Limits.lifted())
        async with running_gateway(settings) as gateway, logged_in(gateway) as client:
            control = GatewayControl(gateway.state)
            client.writer.write(frame(("10", "5", "1", *AAPL_FIELDS, "5", "1", "")))
            client.writer.write(frame(("97", "2", *AAPL_FIELDS, "BidAsk", "0", "0")))
            client.writer.write(frame(("50", "3", "3", *AAPL_FIELDS, "5", "TRADES", "0", "")))
            await client.receive_until("13")
            await client.receive_until("99")
            await control.lose_link()
            await control.restore_link(data_lost=True)
            while (await client.receive_until("4"))[3] != "1101":
                pass
            for cancel in (("11", "1", "1", "1"), ("98", "2"), ("51", "1", "3"), ("17", "1")):
                client.writer.write(frame(cancel))
            heard = []
            while (fields := await client.receive())[0] != "15":
                heard.append((fields[0], fields[2]))
            assert heard == [("4", "1"), ("4", "2"), ("4", "3")], "nothing streams, and there is nothing to cancel"

    run(scenario())


def test_a_correction_that_completes_an_order_ends_it() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            trade = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            await status(trade, "Submitted")
            await control.fill(order_ref="a", quantity=Decimal(5))
            [execution] = await control.executions()
            assert execution.price == 1, "without a price a limit order fills at its limit"
            await control.correct_execution(exec_id=execution.exec_id, quantity=Decimal(10))
            [order] = await control.orders()
            assert (order.status, order.filled, order.remaining) == ("Filled", 10, 0)
            assert order.completed is not None
            await status(trade, "Filled")
            assert await terminal.ib.reqAllOpenOrdersAsync() == []

    run(scenario())


def test_a_child_can_be_changed_as_open_order_tells_it_after_a_reconnect() -> None:
    """openOrder names the group of a bracket's children after their parent; a change that repeats it is no other group."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            async with connected(gateway) as terminal:
                parent = terminal.place(LimitOrder("BUY", 10, 1.0, tif="GTC", transmit=False))
                child = StopOrder("SELL", 10, 0.5, tif="GTC", parentId=parent.order.orderId)
                terminal.place(child)
                await eventually(lambda: len(gateway.state.orders.records.live()) == 2, what="both orders")
            async with connected(gateway) as terminal:
                [stop] = [one for one in terminal.ib.openTrades() if one.order.orderType == "STP"]
                assert stop.order.ocaGroup
                stop.order.auxPrice = 0.4
                terminal.place(stop.order)
                await eventually(
                    lambda: (
                        terminal.codes
                        or any(one.placed.aux_price == Decimal("0.4") for one in gateway.state.orders.records.live())
                    ),
                    what="the stop to be moved",
                )
                assert terminal.errors[3:] == []

    run(scenario())


def test_what_the_gateway_refuses_is_in_the_journal() -> None:
    """A read-only API, an order that cannot be read, and one that came too soon after others."""

    async def scenario() -> None:
        settings = EmulatorSettings(symbols=("AAPL",), port=0, limits=Limits(messages_per_s=3))
        async with running_gateway(settings) as gateway, logged_in(gateway) as client:
            control = GatewayControl(gateway.state)
            client.writer.write(frame(("3", "17", *AAPL_FIELDS, "", "", "BUY", "many", "MKT")))
            for order_id in range(18, 22):
                client.writer.write(frame(("3", str(order_id), *AAPL_FIELDS, "", "", "BUY", "1")))
            await eventually(lambda: len(gateway.state.orders.log.orders()) == 5, what="five refusals")
            assert [one.code for one in await control.orders()] == [320, 320, 320, 100, 100]
        async with trading() as (_, control, terminal):
            await control.read_only_api()
            terminal.place(limit("BUY", 1, 1.0, orderRef="r"))
            row = await control.wait_for_order(order_ref="r")
            assert (row.outcome, row.code) == ("rejected", 321)

    run(scenario())


def test_a_what_if_is_no_order_and_a_refused_change_says_what_it_is() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.reject_orders(count=1)
            state = await terminal.ib.whatIfOrderAsync(AAPL, limit("BUY", 1, 1.0))
            assert state.initMarginChange
            trade = terminal.place(limit("BUY", 1, 1.0, orderRef="a"))
            row = await control.wait_for_order(order_ref="a")
            assert (row.outcome, row.is_change) == ("rejected", False), "the what-if has not used it up"
            await eventually(trade.isDone, what="the refusal to be told")
            kept = terminal.place(limit("BUY", 1, 1.0, orderRef="b"))
            await status(kept, "Submitted")
            await control.reject_orders(count=1)
            kept.order.lmtPrice = 1.5
            terminal.place(kept.order)
            await eventually(lambda: terminal.codes.count(201) == 2, what="the refusal of the change")
            rows = [(one.outcome, one.is_change) for one in await control.orders() if one.order_ref == "b"]
            assert sorted(rows) == [("rejected", True), ("taken", False)]

    run(scenario())


def test_profit_in_yen_is_reported_in_the_currency_that_is_named() -> None:
    """Buying and selling 50,000 USD against yen loses the spread, some dollars; told in yen it would look like hundreds."""

    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            [pair] = await terminal.ib.qualifyContractsAsync(Forex("USDJPY"))
            for action in ("BUY", "SELL"):
                trade = terminal.place(market(action, 50_000), pair)
                await status(trade, "Filled")
            await eventually(lambda: trade.fills and trade.fills[0].commissionReport.execId, what="the commission")
            report = trade.fills[0].commissionReport
            in_yen = (await control.executions())[-1].realized_pnl
            assert in_yen is not None
            assert report.currency == "USD"
            assert abs(report.realizedPNL) < abs(float(in_yen)) / 50

    run(scenario())


def test_the_messages_told_at_once_are_bounded_and_the_latest() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            control = GatewayControl(gateway.state)
            for number in range(MESSAGES_AT_ONCE):
                client.writer.write(frame(("81", str(number), "AAPL")))
            for _ in range(MESSAGES_AT_ONCE):
                await client.receive_until("79")
            told = await control.messages()
            seen = gateway.state.journal.messages_seen
            assert [one.number for one in told.messages] == list(range(seen - MESSAGES_AT_ONCE + 1, seen + 1))
            assert (told.left_out, told.dropped) == (seen - MESSAGES_AT_ONCE, 0)
            assert (await control.messages(limit=1)).messages == told.messages[-1:]
            first = await control.messages(after=3, limit=2)
            assert ([one.number for one in first.messages], first.left_out) == ([4, 5], seen - 5)

    run(scenario())
