"""What becomes of an order: accepted, rested, filled, cancelled, refused, and what it does to the account."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibstream.contracts.orders import Side
from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.fills import Asking, Trade, match
from ibstream.simulation.market import Market, Quote
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import (
    Accepted,
    Cancelled,
    CancelReason,
    Filled,
    OrderType,
    Refused,
    Rejected,
    Replaced,
    Ticket,
    TimeInForce,
    Working,
    WorkingOrder,
)
from ibstream.simulation.sessions import day_window, new_york_date, to_ns
from ibstream.simulation.view import MarketView, exact

NOW_NS = to_ns(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
SECOND_NS = 1_000_000_000
HUNDRED = Decimal(100)


def engine(*, displayed_size: bool = False) -> MatchingEngine:
    return MatchingEngine(Market(7), displayed_size=displayed_size)


def market_order(order_id: int = 1, side: Side = Side.BUY, quantity: Decimal = HUNDRED) -> Ticket:
    return Ticket(order_id=order_id, symbol="AAPL", side=side, quantity=quantity)


def limit_order(
    price: Decimal | str | None,
    order_id: int = 1,
    side: Side = Side.BUY,
    tif: TimeInForce = TimeInForce.GTC,
    quantity: Decimal = HUNDRED,
) -> Ticket:
    return Ticket(
        order_id=order_id,
        symbol="AAPL",
        side=side,
        quantity=quantity,
        order_type=OrderType.LIMIT,
        limit_price=None if price is None else Decimal(price),
        time_in_force=tif,
    )


def to_price(price: float) -> Decimal:
    return exact(price, Decimal("0.01"))


def quote() -> Quote:
    return Market(7).quote("AAPL", NOW_NS)


@pytest.mark.parametrize(("side", "touch"), [(Side.BUY, "ask"), (Side.SELL, "bid")])
def test_a_market_order_fills_at_the_opposite_touch(side: Side, touch: str) -> None:
    accepted, fill = engine().submit(market_order(side=side), NOW_NS)
    assert isinstance(accepted, Accepted)
    assert isinstance(fill, Filled)
    assert fill.price == to_price(getattr(quote(), touch))
    assert (fill.quantity, fill.remaining, fill.cumulative_quantity) == (100, 0, 100)
    assert fill.commission == Decimal("1.00")
    assert fill.realized_pnl is None
    assert not fill.added_liquidity


def test_a_marketable_limit_order_fills_at_the_touch_not_at_its_limit() -> None:
    _, fill = engine().submit(limit_order("900.00"), NOW_NS)
    assert isinstance(fill, Filled)
    assert fill.price == to_price(quote().ask)


def test_a_limit_order_rests_and_fills_once_the_market_comes_to_it() -> None:
    book = engine()
    limit = to_price(quote().bid)
    accepted, working = book.submit(limit_order(limit), NOW_NS)
    assert isinstance(accepted, Accepted)
    assert isinstance(working, Working)
    assert book.evaluate(NOW_NS) == []
    fills = [event for second in range(3600) for event in book.evaluate(NOW_NS + second * SECOND_NS)]
    assert len(fills) == 1
    assert isinstance(fills[0], Filled)
    assert fills[0].price <= limit
    assert to_price(Market(7).quote("AAPL", fills[0].time_ns).ask) == fills[0].price
    assert fills[0].added_liquidity
    assert book.working == ()


def test_immediate_or_cancel_leaves_nothing_in_the_book() -> None:
    book = engine()
    _, ended = book.submit(limit_order("1.00", tif=TimeInForce.IOC), NOW_NS)
    assert isinstance(ended, Cancelled)
    assert (ended.reason, ended.remaining) == (CancelReason.IMMEDIATE_OR_CANCEL, 100)
    assert book.working == ()


def test_a_day_order_ends_at_new_yorks_midnight_and_a_lasting_one_does_not() -> None:
    book = engine()
    book.submit(limit_order("1.00", 1, tif=TimeInForce.DAY), NOW_NS)
    book.submit(limit_order("1.00", 2, tif=TimeInForce.GTC), NOW_NS)
    midnight_ns = day_window(new_york_date(NOW_NS))[1]
    assert book.evaluate(midnight_ns - 1) == []
    (ended,) = book.evaluate(midnight_ns)
    assert isinstance(ended, Cancelled)
    assert (ended.order_id, ended.reason) == (1, CancelReason.EXPIRED)
    assert [order.ticket.order_id for order in book.working] == [2]


def test_a_modified_price_can_fill_at_once() -> None:
    book = engine()
    book.submit(limit_order("1.00"), NOW_NS)
    replaced, fill = book.modify(1, NOW_NS, limit_price=Decimal("900.00"))
    assert isinstance(replaced, Replaced)
    assert isinstance(fill, Filled)


def test_a_modified_quantity_counts_from_the_original() -> None:
    book = engine()
    book.submit(limit_order("1.00"), NOW_NS)
    replaced, working = book.modify(1, NOW_NS, quantity=Decimal(40))
    assert isinstance(replaced, Replaced)
    assert isinstance(working, Working)
    order = book.order(1)
    assert order is not None
    assert (order.remaining, order.ticket.limit_price) == (40, Decimal("1.00"))


@pytest.mark.parametrize(
    ("change", "code"), [({"limit_price": Decimal("1.005")}, 110), ({"quantity": Decimal("0.5")}, 10243)]
)
def test_a_refused_change_leaves_the_order_as_it_was(change: dict[str, Decimal], code: int) -> None:
    book = engine()
    book.submit(limit_order("1.00"), NOW_NS)
    before = book.working
    (refused,) = book.modify(1, NOW_NS, **change)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert book.working == before


def test_cancel_ends_a_working_order_and_only_that() -> None:
    book = engine()
    book.submit(limit_order("1.00"), NOW_NS)
    (ended,) = book.cancel(1, NOW_NS)
    assert isinstance(ended, Cancelled)
    assert ended.reason is CancelReason.REQUESTED
    (refused,) = book.cancel(1, NOW_NS)
    assert isinstance(refused, Refused)
    assert refused.code == 10147


@pytest.mark.parametrize(
    ("ticket", "code"),
    [
        (market_order(quantity=Decimal(0)), 434),
        (market_order(quantity=Decimal(-5)), 434),
        (market_order(quantity=Decimal("1.5")), 10243),
        (market_order(quantity=Decimal("NaN")), 434),
        (limit_order(None), 201),
        (limit_order("0"), 201),
        (limit_order("10.001"), 110),
        (market_order(quantity=Decimal(1_000_000)), 201),
    ],
)
def test_orders_ibkr_would_not_take_are_rejected_with_its_code(ticket: Ticket, code: int) -> None:
    book = engine()
    (rejected,) = book.submit(ticket, NOW_NS)
    assert isinstance(rejected, Rejected)
    assert rejected.code == code
    assert book.working == ()
    assert book.account.cash == 1_000_000


def test_an_id_that_still_works_is_a_duplicate() -> None:
    book = engine()
    book.submit(limit_order("1.00"), NOW_NS)
    (rejected,) = book.submit(market_order(), NOW_NS)
    assert isinstance(rejected, Rejected)
    assert rejected.code == 103


def test_displayed_size_fills_a_large_order_piece_by_piece_once_per_tick() -> None:
    book = engine(displayed_size=True)
    events = book.submit(market_order(quantity=Decimal(2000)), NOW_NS)
    first = events[1]
    assert isinstance(first, Filled)
    assert first.quantity == quote().ask_size
    assert book.evaluate(NOW_NS) == [], "the same tick is not traded against twice"
    fills = [first]
    for step in range(1, 200):
        fills += [one for one in book.evaluate(NOW_NS + step * SECOND_NS // 4) if isinstance(one, Filled)]
    assert fills[-1].remaining == 0
    assert sum(fill.quantity for fill in fills) == 2000
    assert sum(fill.commission for fill in fills) == Decimal("10.00")
    value = sum(fill.quantity * fill.price for fill in fills)
    assert fills[-1].average_price == value / 2000
    assert len({fill.exec_id for fill in fills}) == len(fills)


def test_execution_ids_differ_even_after_a_restart() -> None:
    _, first = engine().submit(market_order(), NOW_NS)
    _, second = engine().submit(market_order(), NOW_NS + SECOND_NS)
    assert isinstance(first, Filled)
    assert isinstance(second, Filled)
    assert first.exec_id != second.exec_id


@settings(deadline=None)
@given(
    st.sampled_from(Side),
    st.integers(1, 500),
    st.decimals("1.00", "800.00", places=2),
    st.booleans(),
)
def test_match_never_trades_through_a_limit(side: Side, quantity: int, limit: Decimal, shown: bool) -> None:
    order = WorkingOrder(ticket=limit_order(limit, side=side, quantity=Decimal(quantity)), expires_ns=None)
    top = MarketView(Market(7)).top_of("AAPL", NOW_NS)
    trade = match(order, top, Asking(limit), available=top.shown(side) if shown else None)
    touch = to_price(quote().ask if side is Side.BUY else quote().bid)
    reachable = touch <= limit if side is Side.BUY else touch >= limit
    assert (trade is not None) == reachable
    if trade is not None:
        assert trade == Trade(min(trade.quantity, Decimal(quantity)), touch)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(Side), st.integers(1, 300), st.sampled_from(["AAPL", "MSFT"])), min_size=1, max_size=8
    )
)
def test_cash_and_profit_add_up(trades: list[tuple[Side, int, str]]) -> None:
    """However positions were built and turned, wealth is cash plus stock, and profit is what wealth gained."""
    book = MatchingEngine(Market(7), SimulatedAccount(Decimal(10_000_000)))
    paid = Decimal(0)
    for number, (side, quantity, symbol) in enumerate(trades):
        ticket = Ticket(order_id=number, symbol=symbol, side=side, quantity=Decimal(quantity))
        for event in book.submit(ticket, NOW_NS + number * SECOND_NS):
            if isinstance(event, Filled):
                signed = event.quantity if event.side is Side.BUY else -event.quantity
                paid += signed * event.price + event.commission
    values = book.values(NOW_NS + len(trades) * SECOND_NS)
    assert book.account.cash == 10_000_000 - paid
    gained = values.net_liquidation - 10_000_000
    assert abs(gained - values.realized_pnl - values.unrealized_pnl) < Decimal("1e-12")
