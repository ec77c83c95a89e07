"""Orders far from the market are passed over, and miss nothing by it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ibstream.simulation import lifecycle, watch
from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.interest import Interest
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import Event, Filled, OrderType, Side, Ticket, TimeInForce
from ibstream.simulation.sessions import to_ns
from ibstream.simulation.view import MarketView

D = Decimal
MARKET = Market(7)
NOW_NS = to_ns(datetime(2026, 11, 23, 17, 0, tzinfo=UTC))
STEP_NS = 500_000_000
LADDER = range(-30, 31, 3)
ALONE = (-15, -5, 5, 15)
PRICED = {
    OrderType.LIMIT: "limit_price",
    OrderType.STOP: "aux_price",
    OrderType.MARKET_IF_TOUCHED: "aux_price",
}


def ladder(kind: OrderType, side: Side, rungs: Iterable[int]) -> list[Event]:
    """What happens to orders of one kind, so many ticks from the market, in ten minutes."""
    book = MatchingEngine(MARKET, SimulatedAccount(D(100_000_000)))
    last = MarketView(MARKET).last("AAPL", NOW_NS)
    events: list[Event] = []
    for number, ticks in enumerate(rungs):
        price: dict[str, Any] = {PRICED[kind]: last + ticks * D("0.01")}
        ticket = Ticket(
            order_id=number,
            symbol="AAPL",
            side=side,
            quantity=D(1),
            order_type=kind,
            time_in_force=TimeInForce.GTC,
            **price,
        )
        events += book.submit(ticket, NOW_NS)
    for step in range(1, 1200):
        events += book.evaluate(NOW_NS + step * STEP_NS)
    return events


def everything(kind: OrderType, side: Side) -> list[Event]:
    """Many orders in one book, then each of a few alone in its own."""
    return ladder(kind, side, LADDER) + [event for rung in ALONE for event in ladder(kind, side, [rung])]


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("kind", PRICED)
def test_passing_over_far_orders_changes_nothing(kind: OrderType, side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same fills at the same ticks as when every order is looked at on every tick."""
    passing_over = everything(kind, side)
    monkeypatch.setattr(watch, "joined", lambda _: Interest(every_tick=True, timed=True))
    assert passing_over == everything(kind, side)
    later = [event for event in passing_over if isinstance(event, Filled) and event.time_ns > NOW_NS]
    assert len(later) > 1


def test_far_orders_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """No order is looked at while the market is away from all of them."""
    book = MatchingEngine(MARKET, SimulatedAccount(D(100_000_000)))
    for number in range(50):
        book.submit(
            Ticket(
                order_id=number,
                symbol="AAPL",
                side=Side.BUY,
                quantity=D(1),
                order_type=OrderType.LIMIT,
                limit_price=D(1),
            ),
            NOW_NS,
        )
    looked: list[object] = []
    monkeypatch.setattr(lifecycle.Lifecycle, "look", lambda *order: looked.append(order))
    for step in range(1, 100):
        book.evaluate(NOW_NS + step * STEP_NS)
    assert looked == []
