"""The stand-in Gateway under an unmodified ib_async 2.1.0, over TCP: connecting, instruments, quotes, account, restarts."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from contract.ib_async_terminal import (
    AAPL,
    FARMS,
    MONDAY,
    SETTINGS,
    SYMBOL_LIST,
    Terminal,
    connected,
    limit,
    market,
    session,
    status,
)
from ib_async import Contract, Future, Option, Stock, Ticker
from ib_async.ib import StartupFetchNONE
from ib_async.wrapper import RequestError
from support import eventually, run

from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.runtime.symbols import load_symbols
from ibstream.simulation.market import Market
from ibstream_gateway_emulator.domain.account_values import LEDGER_KEYS
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings


@pytest.mark.parametrize("version", [176, 177, 178])
def test_connects_and_synchronises_in_every_version(version: int) -> None:
    async def scenario() -> None:
        async with session(version=version) as (gateway, terminal):
            assert terminal.ib.client.serverVersion() == version
            assert terminal.ib.managedAccounts() == ["DU9000001"]
            assert [code for _, code, _ in terminal.errors] == FARMS
            trade = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            await status(trade, "Submitted")
            assert gateway.state.clients.keys() == {1}
            [details] = await terminal.ib.reqContractDetailsAsync(AAPL)
            assert details.contract is not None
            assert details.contract.symbol == "AAPL"

    run(scenario())


def test_the_whole_synchronisation_takes_a_moment() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            before = SYSTEM_CLOCK.monotonic()
            async with connected(gateway):
                assert SYSTEM_CLOCK.monotonic() - before < 2.0

    run(scenario())


def test_a_client_id_in_use_is_refused_and_its_owner_stays() -> None:
    async def scenario() -> None:
        async with session() as (gateway, owner):
            second = Terminal()
            with pytest.raises(TimeoutError):  # how ib_async takes a 326
                await second.ib.connectAsync("127.0.0.1", gateway.port, clientId=1, timeout=0.5)
            assert second.codes == [326]
            assert owner.ib.isConnected()
            assert (await owner.ib.reqCurrentTimeAsync()).tzinfo is not None

    run(scenario())


def test_a_client_id_is_free_again_once_its_client_has_left() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            for _ in range(5):
                async with connected(gateway, client_id=7):
                    assert 7 in gateway.state.clients

    run(scenario())


def test_many_clients_are_connected_side_by_side() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, contextlib.AsyncExitStack() as stack:
            for client_id in range(1, 11):
                await stack.enter_async_context(connected(gateway, client_id, fetchFields=StartupFetchNONE))
            assert sorted(gateway.state.clients) == list(range(1, 11))

    run(scenario())


def _moved(ticker: Ticker, field: str, before: object) -> bool:
    return bool(getattr(ticker, field) != before)


def test_every_symbol_of_the_shipped_list_has_contract_details() -> None:
    async def scenario() -> None:
        symbols = load_symbols(SYMBOL_LIST)
        async with session(settings=EmulatorSettings(symbols=tuple(symbols), port=0, limits=Limits.lifted())) as (
            _,
            terminal,
        ):
            asked = [Stock(symbol.replace(".", " "), "SMART", "USD") for symbol in symbols]
            answers = await terminal.ib.qualifyContractsAsync(*asked)
            qualified = [one for one in answers if isinstance(one, Contract)]
            assert [contract.symbol for contract in qualified] == [symbol.replace(".", " ") for symbol in symbols]
            assert len({contract.conId for contract in qualified}) == len(symbols)
            assert {contract.primaryExchange for contract in qualified} == {"NASDAQ", "NYSE"}

    run(scenario(), timeout_s=30)


@pytest.mark.parametrize(
    "contract",
    [
        Stock("ZZZQ", "SMART", "USD"),
        Stock("BRK.B", "SMART", "USD"),
        Stock("AAPL", "SMART", "EUR"),
        Stock("AAPL", "NOWHERE", "USD"),
        Stock("AAPL", "SMART", "USD", primaryExchange="NYSE"),
        Stock("MSFT", "SMART", "USD", conId=265598),
        Stock(conId=42),
        Option("AAPL", "20261219", 200, "C", "SMART"),
        Future("ES", "202611", "CME"),
    ],
    ids=str,
)
def test_a_contract_that_does_not_exist_is_error_200(contract: Any) -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            with pytest.raises(RequestError) as refused:
                await terminal.ib.reqContractDetailsAsync(contract)
            assert refused.value.code == 200
            assert refused.value.message == "No security definition has been found for the request"

    run(scenario())


def test_a_contract_is_found_by_id_symbol_and_local_symbol() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            for contract in (
                Stock(conId=265598),
                Stock("AAPL", "SMART", "USD", primaryExchange="ISLAND"),
                Stock(localSymbol="AAPL", exchange="SMART", currency="USD"),
            ):
                [details] = await terminal.ib.reqContractDetailsAsync(contract)
                assert details.contract is not None
                assert (details.contract.conId, details.longName, details.minTick) == (265598, "APPLE INC", 0.01)
            found = await terminal.ib.reqMatchingSymbolsAsync("BRK")
            assert [one.contract.symbol for one in found or [] if one.contract] == ["BRK B"]
            assert await terminal.ib.reqMarketRuleAsync(26) is not None

    run(scenario())


def test_quotes_stream_and_are_the_markets() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (_, terminal):
            ticker = terminal.ib.reqMktData(AAPL)
            await eventually(ticker.hasBidAsk, what="a first quote")
            simulated = Market(7)
            for _ in range(5):
                seen = ticker.volume
                clock.advance(1)
                await eventually(partial(_moved, ticker, "volume", seen), what="the next quote")
                quote = simulated.quote("AAPL", clock.time_ns())
                assert (ticker.bid, ticker.ask, ticker.last) == (quote.bid, quote.ask, quote.last)
                assert (ticker.bidSize, ticker.askSize, ticker.lastSize) == (
                    quote.bid_size,
                    quote.ask_size,
                    quote.last_size,
                )
                assert ticker.volume == quote.volume
            day = simulated.day("AAPL", clock.time_ns())
            assert (ticker.open, ticker.close) == (day.open, day.previous_close)
            assert ticker.low <= ticker.last <= ticker.high
            assert (ticker.marketDataType, ticker.minTick) == (1, 0.01)

    run(scenario())


def test_a_cancelled_subscription_falls_silent_and_another_goes_on() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (gateway, terminal):
            [msft] = await terminal.ib.qualifyContractsAsync(Stock("MSFT", "SMART", "USD"))
            assert isinstance(msft, Contract)
            silent, speaking = terminal.ib.reqMktData(AAPL), terminal.ib.reqMktData(msft)
            await eventually(lambda: silent.hasBidAsk() and speaking.hasBidAsk(), what="quotes")
            assert terminal.ib.cancelMktData(AAPL)
            client = gateway.state.clients[1]
            await eventually(lambda: gateway.state.quotes.count(client) == 1, what="the end of one subscription")
            last_heard = silent.time
            for _ in range(3):
                heard = speaking.time
                clock.advance(1)
                await eventually(partial(_moved, speaking, "time", heard), what="the other subscription")
            assert silent.time == last_heard

    run(scenario())


def test_a_snapshot_ends_by_itself() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            [ticker] = await terminal.ib.reqTickersAsync(AAPL)
            assert ticker.bid < ticker.ask
            assert gateway.state.quotes.count(gateway.state.clients[1]) == 0

    run(scenario())


def test_quotes_of_an_unknown_contract_and_cancels_of_nothing_are_errors() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            terminal.ib.reqMktData(Stock("ZZZQ", "SMART", "USD", conId=42))
            await terminal.told(200)
            terminal.ib.client.cancelMktData(4242)
            assert (await terminal.told(300))[0] == 4242

    run(scenario())


def test_generic_ticks_are_said_to_be_missing_while_the_quotes_flow() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            ticker = terminal.ib.reqMktData(AAPL, "258")
            await terminal.told(10090)
            await eventually(ticker.hasBidAsk, what="a quote")

    run(scenario())


def test_the_account_summary_gives_the_tags_asked_for() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            values = {value.tag: value.value for value in await terminal.ib.accountSummaryAsync()}
            assert values["NetLiquidation"] == "1000000.00"
            assert values["AccountType"] == "INDIVIDUAL"
            assert values["TotalCashBalance"] == "1000000.00"

    run(scenario())


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("NetLiquidation", {("NetLiquidation", "USD")}),
        ("AccountType,Cushion", {("AccountType", ""), ("Cushion", "")}),
        ("NoSuchTag", set()),
        ("$LEDGER", {("CashBalance", "BASE"), ("TotalCashBalance", "BASE")}),
        ("BuyingPower,$LEDGER:USD", {("BuyingPower", "USD"), ("CashBalance", "USD"), ("TotalCashBalance", "USD")}),
        ("$LEDGER:EUR", set()),
    ],
)
def test_the_ledger_is_told_in_the_currencies_asked_for(
    tags: str, expected: set[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            await terminal.ib.accountSummaryAsync()
            terminal.ib.wrapper.acctSummary.clear()
            ended: list[int] = []
            monkeypatch.setattr(terminal.ib.wrapper, "accountSummaryEnd", ended.append)
            terminal.ib.client.reqAccountSummary(900, "All", tags)
            await eventually(lambda: ended, what="the end of the summary")
            told = {(value.tag, value.currency) for value in terminal.ib.wrapper.acctSummary.values()}
            other_ledgers = LEDGER_KEYS - {"CashBalance", "TotalCashBalance"}
            assert {one for one in told if one[0] not in other_ledgers} == expected

    run(scenario())


def test_account_updates_of_an_unknown_account_are_refused() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            terminal.ib.client.reqAccountUpdates(subscribe=True, acctCode="U999")
            assert "U999" in (await terminal.told(321))[2]

    run(scenario())


def test_a_request_that_is_not_supported_fails_at_once_instead_of_hanging() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            for request in (
                terminal.ib.reqHistogramDataAsync(AAPL, useRTH=True, period="1 week"),
                terminal.ib.reqFundamentalDataAsync(AAPL, "ReportSnapshot"),
            ):
                with pytest.raises(RequestError, match="not supported by this emulator"):
                    await request

    run(scenario())


def test_the_front_can_restart_on_its_port_and_nothing_is_lost() -> None:
    async def scenario() -> None:
        state = Gateway(SETTINGS)
        async with running_gateway(SETTINGS, state=state) as gateway:
            port, terminal = gateway.port, Terminal()
            gone: list[bool] = []
            terminal.ib.disconnectedEvent += lambda: gone.append(True)
            await terminal.ib.connectAsync("127.0.0.1", port, clientId=1, timeout=5)
            resting = terminal.place(limit("BUY", 10, 1.0, orderRef="survivor"))
            await status(resting, "Submitted")
            await status(terminal.place(market("BUY", 5)), "Filled")
        await eventually(lambda: gone, what="the client to notice")
        again = EmulatorSettings(symbols=SETTINGS.symbols, port=port)
        async with running_gateway(again, state=state) as gateway, connected(gateway) as terminal:
            assert gateway.port == port
            [trade] = terminal.ib.openTrades()
            assert trade.order.orderRef == "survivor"
            [position] = terminal.ib.positions()
            assert position.position == 5
            assert state.engine.account.position("AAPL").quantity == Decimal(5)

    run(scenario())
