"""Positions, account values, profits and mismatches on the bus: each change once, in one write, by the active broker only."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from bus_helpers import raw
from support import run
from unit.broker.stories import NOW

from ibstream.bus import Bus, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.portfolio import AccountValueChanged, PnlChanged, PositionChanged, PositionMismatch
from ibstream.contracts.registry import ORDER_FENCE_KEY, PORTFOLIO_EVENTS, account_key, pnl_key, positions_key
from ibstream_broker.domain.inputs import AccountValueReported, PnlReported, PositionReported, PositionsListed
from ibstream_broker.portfolio import Portfolio
from ibstream_broker.ports import Fenced


def position(symbol: str, quantity: int, con_id: int) -> PositionReported:
    return PositionReported(
        account="DU1",
        con_id=con_id,
        symbol=symbol,
        security_type="STK",
        currency="USD",
        quantity=Decimal(quantity),
        average_cost=Decimal("49.99"),
    )


AAPL, MSFT = position("AAPL", 100, 1), position("MSFT", -20, 2)
CASH = AccountValueReported(account="DU1", tag="TotalCashValue", value="1000.00", currency="USD")
PNL = PnlReported(account="DU1", daily=Decimal("12.50"), unrealized=Decimal(7))
MISMATCH = PositionMismatch(account="DU1", con_id=1, symbol="AAPL", by_fills=Decimal(100), by_ibkr=Decimal(60), at=NOW)


async def held(bus: Bus) -> dict[str, Decimal]:
    """The positions in the hash, by symbol."""
    fields = await bus.hash(positions_key("DU1"))
    decoded = [msgspec.json.decode(value, type=PositionChanged) for value in fields.values()]
    return {one.symbol: one.quantity for one in decoded}


async def told(bus: Bus) -> list[tuple[str, object]]:
    """Everything on the stream: symbol or tag, and quantity or value."""
    async with StreamReader(bus, {PORTFOLIO_EVENTS: BEGINNING}) as reader:
        entries = await reader.read(block_s=0.01)
    pairs: list[tuple[str, object]] = []
    for entry in entries:
        match entry.message:
            case PositionChanged() as one:
                pairs.append((one.symbol, int(one.quantity)))
            case AccountValueChanged() as value:
                pairs.append((value.tag, value.value))
            case PnlChanged() as pnl:
                pairs.append(("daily", pnl.daily))
            case PositionMismatch() as mismatch:
                pairs.append((f"{mismatch.symbol} by fills", int(mismatch.by_fills)))
    return pairs


def test_changes_are_told_once_and_the_latest_stands_in_the_hashes(redis_url: str) -> None:
    """IBKR repeats account values every three minutes; a repetition is no change."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            portfolio = Portfolio(bus)
            for one in (AAPL, CASH, AAPL, CASH, position("AAPL", 150, 1), CASH):
                await portfolio.tell_all([one], NOW)
            assert await told(bus) == [("AAPL", 100), ("TotalCashValue", "1000.00"), ("AAPL", 150)]
            assert await held(bus) == {"AAPL": 150}
            assert list(await bus.hash(account_key("DU1"))) == [b"TotalCashValue:USD"]

    run(scenario())


def test_what_was_closed_while_away_is_told_and_gone_from_the_hash(redis_url: str) -> None:
    """IBKR lists only what is held; bought again, a position is told again even if it is the same as before."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            portfolio = Portfolio(bus)
            for one in (AAPL, MSFT):
                await portfolio.tell_all([one], NOW)
            await portfolio.tell_all([PositionsListed(account="DU1", positions=[MSFT])], NOW)
            assert await held(bus) == {"MSFT": -20}
            await portfolio.tell_all([AAPL], NOW)
            assert await told(bus) == [("AAPL", 100), ("MSFT", -20), ("AAPL", 0), ("AAPL", 100)]
            assert await held(bus) == {"AAPL": 100, "MSFT": -20}

    run(scenario())


def test_a_list_of_positions_replaces_what_an_earlier_broker_left(redis_url: str) -> None:
    """The hash holds exactly what the account holds; another account's stays."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await Portfolio(bus).tell_all([AAPL], NOW)
            other = msgspec.structs.replace(AAPL, account="DU2")
            await Portfolio(bus).tell_all([other], NOW)
            successor = Portfolio(bus)
            await successor.tell_all([PositionsListed(account="DU1", positions=[MSFT])], NOW)
            assert await held(bus) == {"MSFT": -20}
            assert await bus.hash(positions_key("DU2"))

    run(scenario())


def test_a_batch_of_every_kind_is_one_command(redis_url: str) -> None:
    """However much IBKR says at once, Redis is asked once; and a batch without news asks it nothing."""

    async def commands(bus: Bus) -> int:
        statistics = await raw(bus).info("commandstats")
        return sum(statistics.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            portfolio = Portfolio(bus)
            await portfolio.tell_all([position("SPY", 1, 9)], NOW)  # the script is sent once
            before = await commands(bus)
            await portfolio.tell_all([AAPL, CASH, PNL, MISMATCH, MSFT], NOW)
            assert await commands(bus) == before + 1
            await portfolio.tell_all([AAPL, CASH, PNL], NOW)
            assert await commands(bus) == before + 1
            assert await told(bus) == [
                ("SPY", 1),
                ("AAPL by fills", 100),
                ("AAPL", 100),
                ("TotalCashValue", "1000.00"),
                ("daily", Decimal("12.50")),
                ("MSFT", -20),
            ]
            ((field, value),) = (await bus.hash(pnl_key("DU1"))).items()
            pnl = msgspec.json.decode(value, type=PnlChanged)
            assert (field, pnl.daily, pnl.unrealized, pnl.realized) == (b"0", Decimal("12.50"), 7, None)

    run(scenario())


def test_what_is_sold_goes_from_the_hash_and_is_told(redis_url: str) -> None:
    """The hash holds what is held; the stream says that nothing is."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            portfolio = Portfolio(bus)
            await portfolio.tell_all([AAPL, MSFT], NOW)
            await portfolio.tell_all([position("AAPL", 0, 1)], NOW)
            assert await held(bus) == {"MSFT": -20}
            assert (await told(bus))[-1] == ("AAPL", 0)

    run(scenario())


def test_the_first_listing_clears_the_profits_that_an_earlier_broker_left(redis_url: str) -> None:
    """Those that this one has told stay."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await Portfolio(bus).tell_all([PnlReported(account="DU1", con_id=77, unrealized=Decimal(1))], NOW)
            portfolio = Portfolio(bus)
            await portfolio.tell_all([PNL, PositionsListed(account="DU1", positions=[])], NOW)
            assert list(await bus.hash(pnl_key("DU1"))) == [b"0"]

    run(scenario())


def test_a_listing_heals_hashes_that_redis_has_lost(redis_url: str) -> None:
    """Redis came back empty: nothing has changed at IBKR, and the positions stand in the hash again."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            portfolio = Portfolio(bus)
            listed = PositionsListed(account="DU1", positions=[AAPL, MSFT])
            await portfolio.tell_all([listed], NOW)
            await raw(bus).flushall()
            await portfolio.tell_all([listed], NOW)
            assert await held(bus) == {"AAPL": 100, "MSFT": -20}
            assert await told(bus) == []

    run(scenario())


def test_a_broker_without_its_lease_tells_nothing_of_the_portfolio(redis_url: str) -> None:
    """It was paused, and another one is active: what it believes is old. What it could not write is not believed told."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            portfolio = Portfolio(bus)
            portfolio.reopen(3)
            await portfolio.tell_all([AAPL], NOW)
            await bus.put(ORDER_FENCE_KEY, b"4")
            with pytest.raises(Fenced):
                await portfolio.tell_all([MSFT, CASH], NOW)
            assert await told(bus) == [("AAPL", 100)]
            assert await held(bus) == {"AAPL": 100}
            portfolio.reopen(5)
            await portfolio.tell_all([AAPL, MSFT], NOW)
            assert await told(bus) == [("AAPL", 100), ("AAPL", 100), ("MSFT", -20)]

    run(scenario())
