"""Instruments of the stand-in Gateway, asked for by an unmodified ib_async 2.1.0 over TCP."""

from __future__ import annotations

from typing import Any

import pytest
from contract.ib_async_terminal import AAPL, MONDAY, SETTINGS, session
from ib_async import Bag, ContFuture, Contract, Forex, Future, Index, Option, Stock
from ib_async.wrapper import RequestError
from support import run

from ibstream.runtime.clock import ManualClock
from ibstream.simulation.listings import STOCK_EXCHANGES


@pytest.mark.parametrize(
    ("contract", "local_symbol"),
    [
        (Stock("AAPL", "SMART", "USD"), "AAPL"),
        (Stock("SPY", "ARCA", "USD"), "SPY"),
        (Forex("EURUSD"), "EUR.USD"),
        (Forex("USDJPY"), "USD.JPY"),
        (Future("ES", "202612", "CME"), "ESZ6"),
        (Future("MES", "20261218", "CME"), "MESZ6"),
        (Future(localSymbol="NQH7", exchange="CME"), "NQH7"),
        (Future("CL", "202701", "NYMEX"), "CLF7"),
        (Future("GC", "202612", "COMEX"), "GCZ6"),
        (Option("AAPL", "20261218", 250, "C", "SMART"), "AAPL  261218C00250000"),
        (Index("SPX", "CBOE"), "SPX"),
    ],
    ids=str,
)
def test_every_kind_of_instrument_is_qualified(contract: Contract, local_symbol: str) -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY)) as (gateway, terminal):
            [qualified] = await terminal.ib.qualifyContractsAsync(contract)
            assert isinstance(qualified, Contract)
            assert qualified.localSymbol == local_symbol
            [details] = await terminal.ib.reqContractDetailsAsync(Contract(conId=qualified.conId))
            assert details.contract is not None
            assert details.contract.localSymbol == local_symbol
            assert details.longName
            assert details.tradingHours.count(";") == details.liquidHours.count(";") == 5
            rules, exchanges = details.marketRuleIds.split(","), details.validExchanges.split(",")
            assert len(rules) == len(exchanges)
            increments = await terminal.ib.reqMarketRuleAsync(int(rules[0]))
            assert increments
            assert min(one.increment for one in increments) == details.minTick
            assert gateway.state.master.by_con_id(qualified.conId) is not None

    run(scenario())


def test_what_is_named_in_part_is_answered_with_all_that_fits() -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY)) as (_, terminal):
            months = await terminal.ib.reqContractDetailsAsync(Future("ES", exchange="CME"))
            assert [one.contract.localSymbol for one in months if one.contract][:2] == ["ESZ6", "ESH7"]
            calls = await terminal.ib.reqContractDetailsAsync(Option("AAPL", "20261218", 0, "C", "SMART"))
            strikes = [one.contract.strike for one in calls if one.contract]
            assert strikes == sorted(strikes)
            assert len(strikes) > 20
            expired = await terminal.ib.reqContractDetailsAsync(Future("MES", "202606", "CME", includeExpired=True))
            assert [one.realExpirationDate for one in expired] == ["20260618"]
            [front] = await terminal.ib.reqContractDetailsAsync(ContFuture("ES", "CME"))
            assert front.contract is not None
            assert (front.contract.secType, front.contract.lastTradeDateOrContractMonth[:8]) == ("CONTFUT", "20261218")
            everywhere = await terminal.ib.reqContractDetailsAsync(Stock("AAPL", "", "USD"))
            assert [one.contract.exchange for one in everywhere if one.contract] == list(STOCK_EXCHANGES)

    run(scenario())


def test_the_option_chain_is_told_exchange_by_exchange() -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY)) as (_, terminal):
            chains = await terminal.ib.reqSecDefOptParamsAsync("AAPL", "", "STK", 265598)
            assert {"SMART", "CBOE"} <= {chain.exchange for chain in chains}
            [chain] = [chain for chain in chains if chain.exchange == "SMART"]
            assert (chain.tradingClass, chain.multiplier) == ("AAPL", "100")
            assert "20261218" in chain.expirations
            for strike in chain.strikes[:: len(chain.strikes) // 3]:
                [found] = await terminal.ib.reqContractDetailsAsync(
                    Option("AAPL", "20261218", strike, "P", "SMART", tradingClass="AAPL")
                )
                assert found.underConId == 265598
            assert await terminal.ib.reqSecDefOptParamsAsync("AAPL", "CME", "STK", 265598) == []

    run(scenario())


@pytest.mark.parametrize(
    ("under", "code"),
    [(("AAPL", "", "STK", 0), 321), (("MSFT", "", "STK", 265598), 200), (("AAPL", "", "STK", 42), 200)],
)
def test_a_chain_of_nothing_is_refused(under: tuple[str, str, str, int], code: int) -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            terminal.ib.client.reqSecDefOptParams(77, *under)
            assert (await terminal.told(code))[0] == 77

    run(scenario())


@pytest.mark.parametrize(
    ("contract", "code"),
    [(Bag(symbol="AAPL", exchange="SMART", currency="USD"), 321), (Contract(secType="STOCK", symbol="AAPL"), 321)],
)
def test_types_without_details_are_refused(contract: Contract, code: int) -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            terminal.ib.client.reqContractDetails(78, contract)
            assert (await terminal.told(code))[0] == 78

    run(scenario())


def test_history_of_a_contract_that_fits_several_instruments_is_refused() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            with pytest.raises(RequestError, match="ambiguous") as refused:
                await terminal.ib.reqHistoricalDataAsync(
                    Future("ES", exchange="CME"), "", "1 D", "1 hour", "TRADES", useRTH=False
                )
            assert refused.value.code == 200

    run(scenario())


def test_an_isin_finds_the_stock_it_is_known_for() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            known = Contract(secIdType="ISIN", secId="US0378331005", exchange="SMART")
            [details] = await terminal.ib.reqContractDetailsAsync(known)
            assert details.contract is not None
            assert details.contract.conId == 265598
            assert [(one.tag, one.value) for one in details.secIdList] == [("ISIN", "US0378331005")]
            for kind, number in (("ISIN", "XX0000000000"), ("CUSIP", "037833100")):
                with pytest.raises(RequestError) as refused:
                    await terminal.ib.reqContractDetailsAsync(Contract(secIdType=kind, secId=number, exchange="SMART"))
                assert refused.value.code == 200

    run(scenario())


def test_a_search_finds_at_most_sixteen_instruments() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            found = await terminal.ib.reqMatchingSymbolsAsync("A")
            assert found
            assert len(found) <= 16
            [exact, *_] = await terminal.ib.reqMatchingSymbolsAsync("AAPL") or []
            assert exact.contract is not None
            assert (exact.contract.symbol, exact.contract.conId) == ("AAPL", 265598)
            assert "OPT" in exact.derivativeSecTypes

    run(scenario())


def test_smart_components_and_depth_exchanges_are_told() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            components = await terminal.ib.reqSmartComponentsAsync("9c0001")
            assert {one.exchange: one.exchangeLetter for one in components}["IEX"] == "V"
            depth = await terminal.ib.reqMktDepthExchangesAsync()
            assert {("NYSE", "STK"), ("CME", "FUT"), ("IDEALPRO", "CASH")} <= {
                (one.exchange, one.secType) for one in depth
            }
            terminal.ib.client.reqSmartComponents(79, "nowhere")
            assert (await terminal.told(321))[0] == 79

    run(scenario())


def test_the_same_questions_have_the_same_answers_everywhere() -> None:
    """Two Gateways of one list of symbols and one clock agree on every id, expiry and strike."""

    async def scenario() -> None:
        answers: list[Any] = []
        for _ in range(2):
            async with session(ManualClock(MONDAY), SETTINGS) as (_, terminal):
                answers.append(
                    [
                        await terminal.ib.reqContractDetailsAsync(Option("AAPL", "20261218", exchange="SMART")),
                        await terminal.ib.reqContractDetailsAsync(Future("CL", exchange="NYMEX")),
                        await terminal.ib.reqSecDefOptParamsAsync("AAPL", "", "STK", AAPL.conId),
                    ]
                )
        assert answers[0] == answers[1]

    run(scenario())
