"""Orders that are worked over time, and orders for several instruments at once."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.commission import order_commission
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import (
    Accepted,
    Filled,
    Leg,
    LegFilled,
    OrderType,
    Rejected,
    Side,
    Ticket,
    TimeInForce,
    Working,
)
from ibstream.simulation.sessions import to_ns
from ibstream.simulation.terms import terms_of
from ibstream.simulation.view import MarketView

D = Decimal
MARKET = Market(7)
VIEW = MarketView(MARKET)
NOW_NS = to_ns(datetime(2026, 11, 23, 17, 0, tzinfo=UTC))
SECOND_NS = 1_000_000_000
CALL, CALL_ABOVE = "AAPL  261218C00400000", "AAPL  261218C00440000"
SPREAD = (Leg(symbol=CALL, side=Side.BUY), Leg(symbol=CALL_ABOVE, side=Side.SELL))
RATIO = (Leg(symbol="AAPL", side=Side.BUY), Leg(symbol="MSFT", side=Side.SELL, ratio=2))


def engine(**settings: Any) -> MatchingEngine:
    return MatchingEngine(MARKET, SimulatedAccount(D(10_000_000)), **settings)


def worked(algo: str, quantity: int = 1000, **details: Any) -> Ticket:
    told = {"symbol": "AAPL", "side": Side.BUY, **details}
    return Ticket(order_id=1, quantity=D(quantity), algo=algo, **told)


def fills_of(book: MatchingEngine, ticket: Ticket, seconds: int) -> list[Filled]:
    events = book.submit(ticket, NOW_NS)
    for step in range(1, seconds):
        events += book.evaluate(NOW_NS + step * SECOND_NS)
    return [event for event in events if isinstance(event, Filled)]


def test_twap_trades_equal_slices_over_its_window() -> None:
    fills = fills_of(engine(), worked("Twap", algo_params={"endTime": "12:10:00"}), 700)
    assert [fill.quantity for fill in fills] == [50] * 20
    gaps = {(later.time_ns - sooner.time_ns) // SECOND_NS for sooner, later in pairwise(fills)}
    assert gaps == {30}, "20 slices in ten minutes"
    assert fills[0].time_ns == NOW_NS


def test_twap_begins_at_its_start_time() -> None:
    params = {"startTime": "20261123 12:01:00 US/Eastern", "endTime": "20261123-17:02:00"}
    fills = fills_of(engine(), worked("Twap", algo_params=params), 130)
    assert fills[0].time_ns == NOW_NS + 60 * SECOND_NS
    assert sum(fill.quantity for fill in fills) == 1000
    assert fills[-1].time_ns <= NOW_NS + 120 * SECOND_NS


def test_vwap_follows_the_volume_of_the_market() -> None:
    """When a slice goes, the market has traded that share of the window's volume, to the slice."""
    fills = fills_of(engine(), worked("Vwap"), 310)
    begun, end = (MARKET.quote("AAPL", one).volume for one in (NOW_NS, NOW_NS + 300 * SECOND_NS))
    assert fills[-1].remaining == 0
    for fill in fills:
        traded = D(MARKET.quote("AAPL", fill.time_ns).volume - begun) / (end - begun)
        assert 0 <= fill.cumulative_quantity / 1000 - traded <= D("0.05")


def test_a_limit_keeps_an_algo_from_trading() -> None:
    book = engine()
    ticket = worked("Twap", order_type=OrderType.LIMIT, limit_price=D("1.00"), time_in_force=TimeInForce.GTC)
    assert fills_of(book, ticket, 400) == []
    assert book.order(1) is not None


@pytest.mark.parametrize(("priority", "seconds"), [("Urgent", 2), ("Normal", 10), ("Patient", 60)])
def test_adaptive_is_done_when_its_patience_ends_and_never_pays_more_than_the_touch(
    priority: str, seconds: int
) -> None:
    (fill,) = fills_of(engine(), worked("Adaptive", algo_params={"adaptivePriority": priority}), 70)
    top = VIEW.top_of("AAPL", fill.time_ns)
    assert fill.time_ns <= NOW_NS + seconds * SECOND_NS
    assert top.bid <= fill.price <= top.ask


@pytest.mark.parametrize(
    ("ticket", "code"),
    [
        (worked("Magic"), 439),
        (worked("Twap", order_type=OrderType.STOP, aux_price=D(500)), 442),
        (worked("Twap", algo_params={"sparkle": "1"}), 443),
        (worked("Adaptive", algo_params={"adaptivePriority": "Frantic"}), 441),
        (worked("Vwap", algo_params={"endTime": "noonish"}), 441),
        (worked("Vwap", algo_params={"endTime": "12:00:00 Middle/Earth"}), 441),
    ],
)
def test_algos_that_cannot_be_worked_are_rejected(ticket: Ticket, code: int) -> None:
    (rejected,) = engine().submit(ticket, NOW_NS)
    assert isinstance(rejected, Rejected)
    assert rejected.code == code


def combo(legs: tuple[Leg, ...], side: Side = Side.BUY, quantity: int = 5, **details: Any) -> Ticket:
    return Ticket(order_id=1, symbol="spread", side=side, quantity=D(quantity), legs=legs, **details)


@pytest.mark.parametrize("legs", [SPREAD, RATIO])
@pytest.mark.parametrize("side", Side)
def test_a_combo_trades_its_legs_at_their_touches(legs: tuple[Leg, ...], side: Side) -> None:
    book = engine()
    accepted, fill, *parts = book.submit(combo(legs, side), NOW_NS)
    assert isinstance(accepted, Accepted)
    assert isinstance(fill, Filled)
    assert fill.combo
    assert (fill.quantity, fill.remaining, fill.commission) == (5, 0, 0)
    net = D(0)
    for number, (leg, part) in enumerate(zip(legs, parts, strict=True)):
        assert isinstance(part, LegFilled)
        assert part.leg == number
        assert part.side == (leg.side if side is Side.BUY else ({*Side} - {leg.side}).pop())
        assert part.price == VIEW.top_of(leg.symbol, NOW_NS).touch(part.side)
        assert part.quantity == 5 * leg.ratio
        assert part.average_price == part.price
        assert len(part.exec_id.split(".")) == 5
        terms = terms_of(leg.symbol)
        assert part.commission == order_commission(part.quantity, part.quantity * part.price * terms.multiplier, terms)
        signed = part.quantity if part.side is Side.BUY else -part.quantity
        assert book.account.position(leg.symbol).quantity == signed
        net += part.price * leg.ratio * (1 if leg.side is Side.BUY else -1)
    assert fill.price == net
    assert "spread" not in book.account.positions


def test_a_combos_limit_may_be_negative_and_rests_until_the_net_price_comes() -> None:
    book = engine()
    legs = (Leg(symbol="MSFT", side=Side.BUY), Leg(symbol="AAPL", side=Side.SELL))
    limit = VIEW.top(combo(legs), NOW_NS).ask - D("0.05")
    assert limit < 0
    ticket = combo(legs, order_type=OrderType.LIMIT, limit_price=limit)
    assert isinstance(book.submit(ticket, NOW_NS)[-1], Working)
    for step in range(1, 7200):
        events = book.evaluate(NOW_NS + step * SECOND_NS)
        if events:
            break
    assert isinstance(events[0], Filled)
    assert events[0].price <= limit


def test_a_command_fills_a_combo_at_a_price_and_the_first_leg_makes_up_for_it() -> None:
    book = engine()
    book.submit(combo(SPREAD, order_type=OrderType.LIMIT, limit_price=D("1.00")), NOW_NS)
    fill, first, second = book.fill_now(1, NOW_NS, price=D("7.77"))
    assert isinstance(fill, Filled)
    assert isinstance(first, LegFilled)
    assert isinstance(second, LegFilled)
    assert fill.price == D("7.77") == first.price - second.price
    assert second.price == VIEW.top_of(CALL_ABOVE, NOW_NS).bid


@pytest.mark.parametrize(("combo_first", "side"), [(False, Side.BUY), (True, Side.BUY), (False, Side.SELL)])
def test_a_combo_takes_from_the_sizes_that_its_legs_show(combo_first: bool, side: Side) -> None:
    """What a plain order has taken of a leg is gone for the combo, and the other way round; a sale takes the other sides."""
    book = engine(displayed_size=True)
    pair = (Leg(symbol="AAPL", side=Side.BUY), Leg(symbol="MSFT", side=Side.SELL))
    shown = VIEW.top_of("AAPL", NOW_NS).shown(side)
    plain = Ticket(order_id=2, symbol="AAPL", side=side, quantity=shown)
    together = combo(pair, side, int(shown))
    events = [
        event for one in ((together, plain) if combo_first else (plain, together)) for event in book.submit(one, NOW_NS)
    ]
    taken = [one for one in events if isinstance(one, (Filled, LegFilled)) and one.symbol == "AAPL"]
    assert sum(one.quantity for one in taken) == shown
    later = [event for step in range(1, 120) for event in book.evaluate(NOW_NS + step * SECOND_NS)]
    assert any(isinstance(one, Filled) for one in later), "the next tick shows size anew"


def test_combos_that_cannot_be_worked_are_rejected() -> None:
    (typed,) = engine().submit(combo(SPREAD, order_type=OrderType.STOP, aux_price=D(1)), NOW_NS)
    (ratio,) = engine().submit(combo((Leg(symbol="AAPL", side=Side.BUY, ratio=0),)), NOW_NS)
    assert isinstance(typed, Rejected)
    assert isinstance(ratio, Rejected)
    assert (typed.code, ratio.code) == (387, 203)
