"""Positions, account values, profit and loss of the stand-in Gateway under an unmodified ib_async 2.1.0, over TCP."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import msgspec
import pytest
from contract.ib_async_terminal import AAPL, MONDAY, SETTINGS, connected, market, session, status
from contract.wire_client import Peer, logged_in
from ib_async import Contract, Forex, Future, Option, PnLSingle
from support import eventually, run

from ibstream.runtime.clock import ManualClock
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings, Holding

ACCOUNT = "DU9000001"
RECORDED = (
    Holding(symbol="AMZN", quantity=Decimal(15), average_cost=Decimal("200.25")),
    Holding(symbol="AAPL", quantity=Decimal(10), average_cost=Decimal("256.10")),
    Holding(symbol="XWZ2026", quantity=Decimal(1), average_cost=Decimal("6384.43")),
    Holding(symbol="QQQ   270115P00500000", quantity=Decimal(-3), average_cost=Decimal("2100.6321")),
)
"""The positions of grounded_positions."""


def holding() -> EmulatorSettings:
    return msgspec.structs.replace(SETTINGS, symbols=(*SETTINGS.symbols, "AMZN"), holdings=RECORDED)


def test_preset_positions_are_told_as_recorded() -> None:
    """grounded_positions: order, local symbols, trading classes, multipliers, and the exchange of stocks alone."""

    async def scenario() -> None:
        async with session(ManualClock(MONDAY), holding()) as (_, terminal):
            told = [
                (
                    one.contract.localSymbol,
                    one.contract.secType,
                    one.contract.conId,
                    one.contract.exchange,
                    one.contract.multiplier,
                    one.contract.tradingClass,
                    one.contract.lastTradeDateOrContractMonth,
                    one.contract.strike,
                    one.contract.right,
                    one.position,
                    one.avgCost,
                )
                for one in await terminal.ib.reqPositionsAsync()
            ]
            assert told == [
                ("AMZN", "STK", 3691937, "NASDAQ", "", "NMS", "", 0.0, "", 15, 200.25),
                ("AAPL", "STK", 265598, "NASDAQ", "", "NMS", "", 0.0, "", 10, 256.1),
                ("XWZ6", "FUT", 715358256, "", "1000", "XW", "20261214", 0.0, "", 1, 6384.43),
                ("QQQ   270115P00500000", "OPT", 728937835, "", "100", "QQQ", "20270115", 500.0, "P", -3, 2100.6321),
            ]

    run(scenario())


def test_the_portfolio_shows_what_is_held_and_what_it_is_worth() -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY), holding()) as (gateway, terminal):
            items = {item.contract.localSymbol: item for item in terminal.ib.portfolio()}
            assert set(items) == {"AMZN", "AAPL", "XWZ6", "QQQ   270115P00500000"}
            for key, item in (("AAPL", items["AAPL"]), ("QQQ   270115P00500000", items["QQQ   270115P00500000"])):
                multiplier = 100 if item.contract.secType == "OPT" else 1
                last = gateway.state.market.quote(key, gateway.state.now_ns()).last
                assert item.marketPrice == last
                assert item.marketValue == pytest.approx(item.position * last * multiplier, abs=0.01)
                assert item.unrealizedPNL == pytest.approx(
                    item.marketValue - item.position * item.averageCost, abs=0.01
                )

    run(scenario())


def test_account_values_are_told_in_the_base_currency() -> None:
    async def scenario() -> None:
        settings = msgspec.structs.replace(SETTINGS, base_currency="EUR", cash=110_000)
        async with session(ManualClock(MONDAY), settings) as (gateway, terminal):
            rate = gateway.state.market.quote("EUR.USD", gateway.state.now_ns()).last
            values = {(one.tag, one.currency): one.value for one in terminal.ib.accountValues()}
            assert float(values["NetLiquidation", "EUR"]) == pytest.approx(110_000 / rate, abs=0.01)
            assert values["CashBalance", "USD"] == "110000.00"
            assert values["CashBalance", "EUR"] == "0.00"
            assert float(values["CashBalance", "BASE"]) == pytest.approx(110_000 / rate, abs=0.01)
            assert float(values["ExchangeRate", "USD"]) == pytest.approx(1 / rate, abs=1e-6)
            assert values["RealCurrency", "BASE"] == "EUR"

    run(scenario())


def test_a_trade_in_a_pair_moves_the_balance_of_both_currencies() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            [pair] = await terminal.ib.qualifyContractsAsync(Forex("EURUSD"))
            assert isinstance(pair, Contract)
            await status(terminal.place(market("BUY", 20_000), pair), "Filled")

            def balance(currency: str) -> str:
                values = {(one.tag, one.currency): one.value for one in terminal.ib.accountValues()}
                return values.get(("CashBalance", currency), "")

            await eventually(lambda: balance("EUR") == "20000.00", what="the euros")
            assert 970_000 < float(balance("USD")) < 985_000
            assert gateway.state.engine.account.balances["EUR"] == 20_000

    run(scenario())


def test_the_summary_is_sorted_by_tag_as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """grounded_account_summary: asked for in one order, told in that of the alphabet, then the end."""

    async def scenario() -> None:
        async with session(ManualClock(MONDAY)) as (_, terminal):
            heard: list[str] = []
            wrapper = terminal.ib.wrapper
            monkeypatch.setattr(wrapper, "accountSummary", lambda _id, _account, tag, *_: heard.append(tag))
            monkeypatch.setattr(wrapper, "accountSummaryEnd", lambda _: heard.append("end"))
            terminal.ib.client.reqAccountSummary(
                900, "All", "NetLiquidation,TotalCashValue,BuyingPower,ExcessLiquidity"
            )
            await eventually(lambda: "end" in heard, what="the end of the summary")
            assert heard == ["BuyingPower", "ExcessLiquidity", "NetLiquidation", "TotalCashValue", "end"]

    run(scenario())


def test_two_summaries_at_once_and_no_more() -> None:
    async def scenario() -> None:
        limited = msgspec.structs.replace(SETTINGS, limits=Limits(messages_per_s=None))
        async with session(settings=limited) as (_, terminal):
            for req_id in (901, 902, 903):
                terminal.ib.client.reqAccountSummary(req_id, "All", "NetLiquidation")
            req_id, _, text = await terminal.told(322)
            assert (req_id, "Maximum number of account summary requests exceeded" in text) == (903, True)
            terminal.ib.client.cancelAccountSummary(901)
            terminal.errors.clear()
            terminal.ib.client.reqAccountSummary(904, "All", "NetLiquidation")
            terminal.ib.client.reqAccountSummary(905, "Friends", "NetLiquidation")
            assert (await terminal.told(321))[0] == 905
            assert 322 not in terminal.codes

    run(scenario())


def test_the_account_has_one_follower_and_the_former_is_told() -> None:
    async def scenario() -> None:
        limited = msgspec.structs.replace(SETTINGS, limits=Limits(messages_per_s=None))
        async with running_gateway(limited) as gateway, connected(gateway, 1) as first:
            assert first.ib.accountValues()
            async with connected(gateway, 2) as second:
                assert (await first.told(2100))[0] == -1
                assert second.ib.accountValues()
                await status(second.place(market("BUY", 5)), "Filled")
                await eventually(second.ib.portfolio, what="the position in the portfolio of the follower")
                assert first.ib.portfolio() == []
                assert 2100 not in second.codes

    run(scenario())


def test_another_account_is_not_to_be_had_least_of_all_while_somebody_follows_this_one() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway, 3) as alone:
            other_account = frame(("6", "2", "1", "DU7777777"))
            alone.writer.write(other_account)
            assert await _code(alone) == "321"
            async with connected(gateway, 1):
                alone.writer.write(other_account)
                assert await _code(alone) == "2101"

    async def _code(client: Peer) -> str:
        while (fields := await client.receive_until("4"))[3] in ("2104", "2106", "2158"):
            pass
        return fields[3]

    run(scenario())


def test_positions_are_told_under_a_request_id(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with session(settings=holding()) as (_, terminal):
            heard: list[tuple[str, float]] = []
            ended: list[int] = []

            def told(_id: int, _account: str, _model: str, contract: Contract, position: float, _cost: float) -> None:
                heard.append((contract.localSymbol, position))

            monkeypatch.setattr(terminal.ib.wrapper, "positionMulti", told)
            monkeypatch.setattr(terminal.ib.wrapper, "positionMultiEnd", ended.append)
            terminal.ib.client.reqPositionsMulti(950, ACCOUNT, "")
            await eventually(lambda: ended == [950], what="the end of the positions")
            assert [symbol for symbol, _ in heard] == ["AMZN", "AAPL", "XWZ6", "QQQ   270115P00500000"]
            await status(terminal.place(market("SELL", 4)), "Filled")
            await eventually(lambda: heard[-1] == ("AAPL", 6), what="the changed position")
            terminal.ib.client.cancelPositionsMulti(950)

    run(scenario())


def _is_worth(single: PnLSingle, value: float) -> bool:
    return bool(single.value == pytest.approx(value))


def test_profit_and_loss_follow_the_market_once_a_second() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock, holding()) as (gateway, terminal):
            pnl = terminal.ib.reqPnL(ACCOUNT)
            single = terminal.ib.reqPnLSingle(ACCOUNT, "", 265598)
            await eventually(lambda: pnl.dailyPnL == pnl.dailyPnL and single.position == 10, what="the first figures")
            for _ in range(3):
                before = single.value
                while gateway.state.market.quote("AAPL", clock.time_ns()).last * 10 == before:
                    clock.advance(1)
                clock.advance(1)
                last = gateway.state.market.quote("AAPL", clock.time_ns()).last
                await eventually(partial(_is_worth, single, last * 10), what="the new value")
            day = gateway.state.market.day("AAPL", clock.time_ns())
            assert single.dailyPnL == pytest.approx((last - day.previous_close) * 10, abs=0.01)
            assert single.unrealizedPnL == pytest.approx((last - 256.1) * 10, abs=0.01)
            assert single.realizedPnL == 0

    run(scenario())


def test_profit_that_was_realized_is_told() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            pnl = terminal.ib.reqPnL(ACCOUNT)
            single = terminal.ib.reqPnLSingle(ACCOUNT, "", AAPL.conId)
            await status(terminal.place(market("BUY", 100)), "Filled")
            await eventually(lambda: single.position == 100, what="the position")
            await status(terminal.place(market("SELL", 100)), "Filled")
            await eventually(lambda: single.position == 0 and single.realizedPnL < 0, what="the loss by the spread")
            await eventually(lambda: pnl.realizedPnL == single.realizedPnL, what="the same of the account")
            assert single.dailyPnL == pytest.approx(single.realizedPnL, abs=0.01)

    run(scenario())


def test_profit_and_loss_of_nothing_is_refused() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            terminal.ib.client.reqPnL(960, "U999", "")
            assert (await terminal.told(321))[0] == 960
            terminal.ib.client.reqPnLSingle(961, ACCOUNT, "", 42)
            assert (await terminal.told(200))[0] == 961

    run(scenario())


def test_futures_and_options_are_held_with_their_multipliers() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            found = await terminal.ib.qualifyContractsAsync(
                Future("MES", "202612", "CME"), Option("AAPL", "20261218", 250, "C", "SMART")
            )
            for contract in found:
                assert isinstance(contract, Contract)
                await status(terminal.place(market("BUY", 2), contract), "Filled")
            await eventually(lambda: len(terminal.ib.positions()) == 2, what="the positions")
            held = {one.contract.localSymbol: one for one in terminal.ib.positions()}
            price = gateway.state.engine.account.position("MESZ2026").average_cost
            assert held["MESZ6"].avgCost == pytest.approx(float(price))
            assert held["MESZ6"].avgCost > 5 * 3_000, "the average cost contains the multiplier"
            assert held["AAPL  261218C00250000"].contract.multiplier == "100"

    run(scenario())
