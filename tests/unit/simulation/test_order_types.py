"""Each order type and time in force against the simulated market: what it waits for, where it trades, when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import (
    Accepted,
    Cancelled,
    CancelReason,
    Event,
    Filled,
    Held,
    HoldReason,
    Hours,
    OrderType,
    Rejected,
    Side,
    Ticket,
    TimeInForce,
    Working,
)
from ibstream.simulation.sessions import to_ns
from ibstream.simulation.view import MarketView

D = Decimal
SECOND_NS = 1_000_000_000
TICK = D("0.01")
MARKET = Market(7)
VIEW = MarketView(MARKET)


def at(day: int, hour: int, minute: int = 0) -> int:
    """A moment of November 2026 in UTC; New York is five hours behind, the 23rd is a Monday."""
    return to_ns(datetime(2026, 11, day, hour, minute, tzinfo=UTC))


NOON_NS = at(23, 17)
CLOSE_NS = at(23, 21)


def engine(**settings: Any) -> MatchingEngine:
    return MatchingEngine(MARKET, SimulatedAccount(D(100_000_000)), **settings)


def ticket(order_type: OrderType, side: Side = Side.BUY, **details: Any) -> Ticket:
    told = {"order_id": 1, "symbol": "AAPL", "quantity": D(100), **details}
    return Ticket(side=side, order_type=order_type, **told)


def last(now_ns: int = NOON_NS, symbol: str = "AAPL") -> Decimal:
    return VIEW.last(symbol, now_ns)


def run(book: MatchingEngine, start_ns: int, seconds: int = 7200) -> Iterator[Event]:
    """What happens in the seconds after `start_ns`."""
    for step in range(1, seconds):
        yield from book.evaluate(start_ns + step * SECOND_NS)


def filled(events: Iterator[Event] | list[Event]) -> Filled:
    return next(event for event in events if isinstance(event, Filled))


STOPS = [(OrderType.STOP, Side.BUY, 5), (OrderType.STOP, Side.SELL, -5)]
TOUCHES = [(OrderType.MARKET_IF_TOUCHED, Side.BUY, -5), (OrderType.MARKET_IF_TOUCHED, Side.SELL, 5)]


@pytest.mark.parametrize(("order_type", "side", "ticks"), STOPS + TOUCHES)
def test_a_triggered_order_waits_for_its_price_then_trades_at_the_market(
    order_type: OrderType, side: Side, ticks: int
) -> None:
    book, trigger = engine(), last() + ticks * TICK
    accepted, held = book.submit(ticket(order_type, side, aux_price=trigger), NOON_NS)
    assert isinstance(accepted, Accepted)
    assert isinstance(held, Held)
    assert held.reason is HoldReason.TRIGGER
    working, fill = [event for event, _ in zip(run(book, NOON_NS), range(2), strict=False)]
    assert isinstance(working, Working)
    assert isinstance(fill, Filled)
    assert fill.price == VIEW.top_of("AAPL", fill.time_ns).touch(side)
    beyond = [last(moment) >= trigger for moment in range(NOON_NS, fill.time_ns + 1, SECOND_NS)]
    assert beyond == [ticks < 0] * (len(beyond) - 1) + [ticks > 0] or last(fill.time_ns) == trigger


def test_a_stop_beyond_the_market_triggers_at_once() -> None:
    accepted, fill = engine().submit(ticket(OrderType.STOP, aux_price=last() - TICK), NOON_NS)
    assert isinstance(accepted, Accepted)
    assert isinstance(fill, Filled)


@pytest.mark.parametrize(
    ("order_type", "side", "ticks"), [(OrderType.STOP_LIMIT, Side.SELL, -5), (OrderType.LIMIT_IF_TOUCHED, Side.SELL, 5)]
)
def test_a_triggered_limit_order_never_trades_beyond_its_limit(order_type: OrderType, side: Side, ticks: int) -> None:
    book, trigger = engine(), last() + ticks * TICK
    limit = trigger + 3 * TICK
    book.submit(ticket(order_type, side, aux_price=trigger, limit_price=limit), NOON_NS)
    events = run(book, NOON_NS)
    assert isinstance(next(events), Working)
    order = book.order(1)
    fill = filled(events)
    assert fill.price >= limit
    assert order is None or (order.triggered and order.limit_price == limit)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("distance", [{"aux_price": D("0.10")}, {"trailing_percent": D("0.05")}])
def test_a_trailing_stop_follows_the_best_price_and_never_goes_back(side: Side, distance: dict[str, Decimal]) -> None:
    book, best, sign = engine(), last(), -1 if side is Side.SELL else 1
    book.submit(ticket(OrderType.TRAIL, side, **distance), NOON_NS)
    for step in range(1, 7200):
        now_ns = NOON_NS + step * SECOND_NS
        events = book.evaluate(now_ns)
        if events:
            break
        best = max(best, last(now_ns)) if side is Side.SELL else min(best, last(now_ns))
        gap = distance.get("aux_price") or best * D("0.0005")
        order = book.order(1)
        assert order is not None
        assert order.stop_price is not None
        assert abs(order.stop_price - (best + sign * gap)) <= TICK / 2
    working, fill = events
    assert isinstance(working, Working)
    assert isinstance(fill, Filled)
    assert (last(now_ns) - (best + sign * gap)) * sign >= -TICK


def test_a_trailing_stop_begins_where_it_is_told() -> None:
    book, stop = engine(), last() - D("3.00")
    book.submit(ticket(OrderType.TRAIL, Side.SELL, aux_price=D("5.00"), trail_stop_price=stop), NOON_NS)
    order = book.order(1)
    assert order is not None
    assert order.stop_price == stop


def test_a_trailing_stop_limit_rests_at_its_offset_once_it_triggers() -> None:
    book, offset = engine(), D("-0.50")
    details = {"aux_price": D("0.05"), "limit_offset": offset}
    book.submit(ticket(OrderType.TRAIL_LIMIT, Side.SELL, **details), NOON_NS)
    for event in run(book, NOON_NS):
        assert isinstance(event, Working)
        break
    order = book.order(1)
    assert order is not None
    assert order.stop_price is not None
    assert order.limit_price == order.stop_price - offset


def test_a_stop_of_a_currency_pair_goes_by_the_touch() -> None:
    touch = VIEW.top_of("EUR.USD", NOON_NS).bid
    details = {"symbol": "EUR.USD", "quantity": D(20_000)}
    _, held = engine().submit(ticket(OrderType.STOP, Side.SELL, aux_price=touch - D("0.00005"), **details), NOON_NS)
    _, fill = engine().submit(ticket(OrderType.STOP, Side.SELL, aux_price=touch, **details), NOON_NS)
    assert isinstance(held, Held)
    assert isinstance(fill, Filled)


@pytest.mark.parametrize("late_s", [0, 600])
def test_market_on_close_trades_at_the_closing_price_even_when_looked_at_late(late_s: int) -> None:
    book = engine()
    _, held = book.submit(ticket(OrderType.MARKET_ON_CLOSE), NOON_NS)
    assert isinstance(held, Held)
    assert (held.reason, held.until_ns) == (HoldReason.AUCTION, CLOSE_NS)
    assert book.evaluate(CLOSE_NS - 1) == []
    working, fill = book.evaluate(CLOSE_NS + late_s * SECOND_NS)
    assert isinstance(working, Working)
    assert isinstance(fill, Filled)
    assert fill.price == last(CLOSE_NS)


def test_market_on_close_after_the_close_waits_for_the_next_one_over_thanksgiving() -> None:
    _, held = engine().submit(ticket(OrderType.MARKET_ON_CLOSE), at(25, 22))
    assert isinstance(held, Held)
    assert held.until_ns == at(27, 18), "the day after Thanksgiving closes at 13:00"


@pytest.mark.parametrize(("ticks", "kind"), [(0, Filled), (-1, Cancelled)])
def test_limit_on_close_trades_only_if_the_closing_price_is_good_enough(ticks: int, kind: type[Event]) -> None:
    book = engine()
    book.submit(ticket(OrderType.LIMIT_ON_CLOSE, limit_price=last(CLOSE_NS) + ticks * TICK), NOON_NS)
    end = book.evaluate(CLOSE_NS)[-1]
    assert isinstance(end, kind)
    if isinstance(end, Cancelled):
        assert end.reason is CancelReason.AUCTION
    assert book.working == ()


def test_an_opening_order_trades_at_the_next_opening() -> None:
    book = engine()
    _, held = book.submit(ticket(OrderType.MARKET, time_in_force=TimeInForce.OPG), NOON_NS)
    assert isinstance(held, Held)
    assert held.until_ns == at(24, 14, 30)
    assert filled(book.evaluate(at(24, 14, 30))).price == last(at(24, 14, 30))


@pytest.mark.parametrize("side", Side)
def test_a_relative_order_trades_at_the_near_touch_when_somebody_comes_to_it(side: Side) -> None:
    book = engine()
    assert isinstance(book.submit(ticket(OrderType.RELATIVE, side, aux_price=D(0)), NOON_NS)[-1], Working)
    fill = filled(run(book, NOON_NS))
    assert fill.price == VIEW.top_of("AAPL", fill.time_ns).near(side)
    assert fill.added_liquidity


def test_a_relative_order_stays_within_its_cap() -> None:
    book, cap = engine(), last() - D("0.20")
    book.submit(ticket(OrderType.RELATIVE, aux_price=D("0.01"), limit_price=cap), NOON_NS)
    assert filled(run(book, NOON_NS)).price <= cap


def test_market_to_limit_rests_at_the_price_of_its_first_fill() -> None:
    book = engine(displayed_size=True)
    _, fill, working = book.submit(ticket(OrderType.MARKET_TO_LIMIT, quantity=D(5000)), NOON_NS)
    assert isinstance(fill, Filled)
    assert isinstance(working, Working)
    assert all(event.price <= fill.price for event in run(book, NOON_NS, 600) if isinstance(event, Filled))


def test_fill_or_kill_takes_all_or_nothing() -> None:
    book = engine(displayed_size=True)
    shown = VIEW.top_of("AAPL", NOON_NS).ask_size
    details: dict[str, Any] = {"time_in_force": TimeInForce.FOK}
    assert filled(book.submit(ticket(OrderType.MARKET, quantity=shown, **details), NOON_NS)).remaining == 0
    _, ended = engine(displayed_size=True).submit(ticket(OrderType.MARKET, quantity=shown + 1, **details), NOON_NS)
    assert isinstance(ended, Cancelled)
    assert ended.reason is CancelReason.FILL_OR_KILL


def test_all_or_none_waits_until_the_whole_size_is_shown() -> None:
    book = engine(displayed_size=True)
    assert VIEW.top_of("AAPL", NOON_NS).ask_size < 1000
    details: dict[str, Any] = {"all_or_none": True, "quantity": D(1000), "limit_price": last() + 5}
    assert isinstance(book.submit(ticket(OrderType.LIMIT, **details), NOON_NS)[-1], Working)
    assert filled(run(book, NOON_NS)).quantity == 1000


def test_the_first_fill_has_the_minimum_quantity() -> None:
    book = engine(displayed_size=True)
    assert VIEW.top_of("AAPL", NOON_NS).ask_size < 1000
    book.submit(ticket(OrderType.MARKET, quantity=D(3000), min_quantity=D(1000)), NOON_NS)
    fills = [event.quantity for event in run(book, NOON_NS, 600) if isinstance(event, Filled)]
    assert fills[0] >= 1000
    assert sum(fills) == 3000


def test_orders_of_the_account_share_the_size_at_the_touch() -> None:
    book = engine(displayed_size=True)
    shown = VIEW.top_of("AAPL", NOON_NS).ask_size
    first = filled(book.submit(ticket(OrderType.MARKET, quantity=shown - 40), NOON_NS))
    second = filled(book.submit(ticket(OrderType.MARKET, order_id=2, quantity=D(100)), NOON_NS))
    third = book.submit(ticket(OrderType.MARKET, order_id=3, quantity=D(100)), NOON_NS)
    assert (first.remaining, second.quantity) == (0, 40)
    assert not any(isinstance(event, Filled) for event in third)


def test_a_gtd_order_ends_at_its_time() -> None:
    book, end_ns = engine(), NOON_NS + 60 * SECOND_NS
    details: dict[str, Any] = {"time_in_force": TimeInForce.GTD, "good_till_ns": end_ns}
    book.submit(ticket(OrderType.LIMIT, limit_price=D(1), **details), NOON_NS)
    assert book.evaluate(end_ns - 1) == []
    (ended,) = book.evaluate(end_ns)
    assert isinstance(ended, Cancelled)
    assert ended.reason is CancelReason.EXPIRED


def test_an_order_is_not_worked_before_its_good_after_time() -> None:
    book, begin_ns = engine(), NOON_NS + 60 * SECOND_NS
    _, held = book.submit(ticket(OrderType.MARKET, good_after_ns=begin_ns), NOON_NS)
    assert isinstance(held, Held)
    assert (held.reason, held.until_ns) == (HoldReason.GOOD_AFTER, begin_ns)
    assert book.evaluate(begin_ns - 1) == []
    assert filled(book.evaluate(begin_ns)).time_ns == begin_ns


def test_a_day_order_for_tomorrow_lasts_tomorrow() -> None:
    book = engine()
    book.submit(ticket(OrderType.LIMIT, limit_price=D(1), good_after_ns=at(24, 15)), NOON_NS)
    assert [type(event) for event in book.evaluate(at(24, 15))] == [Working]
    assert book.evaluate(at(25, 5) - 1) == []
    assert isinstance(book.evaluate(at(25, 5))[0], Cancelled)


def test_an_order_ends_with_its_contract() -> None:
    book = engine()
    details: dict[str, Any] = {"symbol": "ESZ2026", "quantity": D(1), "time_in_force": TimeInForce.GTC}
    book.submit(ticket(OrderType.LIMIT, limit_price=D(1), **details), NOON_NS)
    order = book.order(1)
    assert order is not None
    assert order.expires_ns == to_ns(datetime(2026, 12, 19, 5, tzinfo=UTC)), "the third Friday has ended in New York"


def test_by_the_exchanges_hours_an_order_waits_for_the_session_and_ends_with_it() -> None:
    book = engine(hours=Hours.EXCHANGE)
    sunday_ns, open_ns = at(22, 17), at(23, 14, 30)
    _, held = book.submit(ticket(OrderType.LIMIT, limit_price=D(1)), sunday_ns)
    assert isinstance(held, Held)
    assert (held.reason, held.until_ns) == (HoldReason.SESSION, open_ns)
    (working,) = book.evaluate(open_ns)
    assert isinstance(working, Working)
    assert book.evaluate(CLOSE_NS - 1) == []
    (ended,) = book.evaluate(CLOSE_NS)
    assert isinstance(ended, Cancelled)
    assert ended.reason is CancelReason.EXPIRED


def test_by_the_exchanges_hours_a_lasting_order_pauses_overnight() -> None:
    book = engine(hours=Hours.EXCHANGE)
    book.submit(ticket(OrderType.LIMIT, limit_price=D(1), time_in_force=TimeInForce.GTC), NOON_NS)
    (held,) = book.evaluate(CLOSE_NS)
    assert isinstance(held, Held)
    assert (held.reason, held.until_ns) == (HoldReason.SESSION, at(24, 14, 30))
    book.modify(1, CLOSE_NS + SECOND_NS, limit_price=D(900))
    assert book.order(1) is not None, "a good price does not trade while the exchange is closed"
    assert filled(book.evaluate(at(24, 14, 30))).price < 900


def test_outside_regular_hours_an_order_trades_if_it_asks_to() -> None:
    early_ns = at(23, 10)
    fill = filled(engine(hours=Hours.EXCHANGE).submit(ticket(OrderType.MARKET, outside_rth=True), early_ns))
    assert fill.time_ns == early_ns
    _, held = engine(hours=Hours.EXCHANGE).submit(ticket(OrderType.MARKET), early_ns)
    assert isinstance(held, Held)


def test_a_future_trades_at_night_as_its_exchange_does() -> None:
    night_ns = at(24, 3)
    details: dict[str, Any] = {"symbol": "ESZ2026", "quantity": D(1), "outside_rth": True}
    assert filled(engine(hours=Hours.EXCHANGE).submit(ticket(OrderType.MARKET, **details), night_ns))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (ticket(OrderType.STOP), 201),
        (ticket(OrderType.STOP, aux_price=D("10.005")), 110),
        (ticket(OrderType.STOP_LIMIT, aux_price=D(10)), 201),
        (ticket(OrderType.TRAIL), 158),
        (ticket(OrderType.TRAIL, aux_price=D(1), trailing_percent=D(1)), 158),
        (ticket(OrderType.TRAIL_LIMIT, aux_price=D(1)), 201),
        (ticket(OrderType.MARKET_ON_CLOSE, time_in_force=TimeInForce.GTC), 113),
        (ticket(OrderType.STOP, aux_price=D(10), time_in_force=TimeInForce.OPG), 111),
        (ticket(OrderType.STOP, aux_price=D(10), time_in_force=TimeInForce.IOC), 111),
        (ticket(OrderType.MARKET, time_in_force=TimeInForce.GTD), 201),
        (ticket(OrderType.MARKET, time_in_force=TimeInForce.GTD, good_till_ns=NOON_NS), 201),
        (ticket(OrderType.MARKET, symbol="SPX"), 203),
        (ticket(OrderType.MARKET, symbol="ESH2026"), 201),
        (ticket(OrderType.MARKET, symbol="EUR.USD", quantity=D("0.5")), 388),
        (ticket(OrderType.LIMIT, symbol="ESZ2026", quantity=D(1), limit_price=D("6000.1")), 110),
        (ticket(OrderType.LIMIT, symbol="AAPL  261218C00250000", limit_price=D("5.01")), 110),
        (ticket(OrderType.MARKET, symbol="ESZ2026", quantity=D(100_000)), 201),
    ],
)
def test_what_ibkr_would_not_take_is_rejected_with_its_code(wrong: Ticket, code: int) -> None:
    book = engine()
    (rejected,) = book.submit(wrong, NOON_NS)
    assert isinstance(rejected, Rejected)
    assert rejected.code == code
    assert book.working == ()


def test_an_option_order_may_carry_a_cent_below_three_dollars() -> None:
    cheap = ticket(OrderType.LIMIT, symbol="AAPL  261218C00250000", quantity=D(1), limit_price=D("0.01"))
    assert isinstance(engine().submit(cheap, NOON_NS)[0], Accepted)
