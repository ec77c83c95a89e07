"""Positions and account values on the bus: each change once, and what was closed while away."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from support import run
from unit.broker.stories import NOW

from ibstream.bus import Bus, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.portfolio import AccountValueChanged, PositionChanged
from ibstream.contracts.registry import PORTFOLIO_EVENTS, account_key, positions_key
from ibstream_broker.domain.inputs import AccountValueReported, PositionReported, PositionsListed
from ibstream_broker.portfolio import Portfolio


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
    return pairs


def test_changes_are_told_once_and_the_latest_stands_in_the_hashes(redis_url: str) -> None:
    """IBKR repeats account values every three minutes; a repetition is no change."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            portfolio = Portfolio(bus)
            for one in (AAPL, CASH, AAPL, CASH, position("AAPL", 150, 1), CASH):
                await portfolio.tell(one, NOW)
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
                await portfolio.tell(one, NOW)
            await portfolio.tell(PositionsListed(account="DU1", positions=[MSFT]), NOW)
            assert await held(bus) == {"MSFT": -20}
            await portfolio.tell(AAPL, NOW)
            assert await told(bus) == [("AAPL", 100), ("MSFT", -20), ("AAPL", 0), ("AAPL", 100)]
            assert await held(bus) == {"AAPL": 100, "MSFT": -20}

    run(scenario())


def test_a_list_of_positions_replaces_what_an_earlier_broker_left(redis_url: str) -> None:
    """The hash holds exactly what the account holds; another account's stays."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await Portfolio(bus).tell(AAPL, NOW)
            other = msgspec.structs.replace(AAPL, account="DU2")
            await Portfolio(bus).tell(other, NOW)
            successor = Portfolio(bus)
            await successor.tell(PositionsListed(account="DU1", positions=[MSFT]), NOW)
            assert await held(bus) == {"MSFT": -20}
            assert await bus.hash(positions_key("DU2"))

    run(scenario())
