"""Brackets and one-cancels-all groups: who waits for whom, and who ends with whom."""

from __future__ import annotations

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
    OcaType,
    OrderType,
    Reduced,
    Refused,
    Rejected,
    Replaced,
    Side,
    Ticket,
    TimeInForce,
    Working,
)
from ibstream.simulation.sessions import to_ns

D = Decimal
NOW_NS = to_ns(datetime(2026, 11, 23, 17, 0, tzinfo=UTC))
PARENT, PROFIT, STOP = 1, 2, 3


def engine() -> MatchingEngine:
    return MatchingEngine(Market(7), SimulatedAccount(D(10_000_000)))


def limit(order_id: int, price: str, side: Side = Side.BUY, **details: Any) -> Ticket:
    """A lasting limit order for 100 AAPL, which stands at about 420."""
    told = {"quantity": D(100), "time_in_force": TimeInForce.GTC, **details}
    return Ticket(order_id=order_id, symbol="AAPL", side=side, order_type=OrderType.LIMIT, limit_price=D(price), **told)


def stop(order_id: int, price: str, **details: Any) -> Ticket:
    told = {"quantity": D(100), "time_in_force": TimeInForce.GTC, **details}
    return Ticket(
        order_id=order_id, symbol="AAPL", side=Side.SELL, order_type=OrderType.STOP, aux_price=D(price), **told
    )


def bracket(book: MatchingEngine, entry: str = "1.00") -> list[Event]:
    """A purchase, a take profit far above, a stop far below; the last one sends them all."""
    events = book.submit(limit(PARENT, entry, transmit=False), NOW_NS)
    events += book.submit(limit(PROFIT, "900.00", Side.SELL, parent_id=PARENT, transmit=False), NOW_NS)
    return events + book.submit(stop(STOP, "0.50", parent_id=PARENT), NOW_NS)


def told(events: list[Event]) -> list[tuple[object, str]]:
    return [(event.order_id, type(event).__name__) for event in events]


def reasons(events: list[Event]) -> list[tuple[object, HoldReason]]:
    return [(event.order_id, event.reason) for event in events if isinstance(event, Held)]


def test_a_bracket_stays_in_the_gateway_until_its_last_order_comes() -> None:
    book = engine()
    events = bracket(book, "900.00")
    assert told(events) == [
        (PARENT, "Accepted"),
        (PARENT, "Held"),
        (PROFIT, "Accepted"),
        (PROFIT, "Held"),
        (STOP, "Accepted"),
        (STOP, "Held"),
        (PROFIT, "Held"),
        (PARENT, "Working"),
        (PARENT, "Filled"),
        (PROFIT, "Working"),
        (STOP, "Held"),
    ]
    assert reasons(events) == [
        (PARENT, HoldReason.UNTRANSMITTED),
        (PROFIT, HoldReason.UNTRANSMITTED),
        (STOP, HoldReason.PARENT),
        (PROFIT, HoldReason.PARENT),
        (STOP, HoldReason.TRIGGER),
    ]


def test_an_untransmitted_order_is_sent_by_replacing_it() -> None:
    book = engine()
    book.submit(limit(PARENT, "900.00", transmit=False), NOW_NS)
    assert book.evaluate(NOW_NS + 10**9) == []
    events = book.replace(limit(PARENT, "900.00"), NOW_NS)
    assert [type(event) for event in events] == [Replaced, Working, Filled]


def test_children_wait_for_the_whole_fill_of_their_parent() -> None:
    book = engine()
    bracket(book)
    assert told(book.fill_now(PARENT, NOW_NS, quantity=D(60))) == [(PARENT, "Filled")]
    assert all(order.hold is HoldReason.PARENT for order in book.working[1:])
    events = book.fill_now(PARENT, NOW_NS)
    assert told(events) == [(PARENT, "Filled"), (PROFIT, "Working"), (STOP, "Held")]


def test_a_correction_that_completes_the_parent_starts_its_children() -> None:
    book = engine()
    bracket(book)
    (fill,) = book.fill_now(PARENT, NOW_NS, quantity=D(60))
    assert isinstance(fill, Filled)
    events = book.correct(fill.exec_id, NOW_NS, quantity=D(100))
    assert told(events) == [(PARENT, "Corrected"), (PROFIT, "Working"), (STOP, "Held")]


def test_children_end_with_a_parent_that_has_not_filled() -> None:
    book = engine()
    bracket(book)
    book.fill_now(PARENT, NOW_NS, quantity=D(60))
    events = book.cancel(PARENT, NOW_NS)
    assert [event.order_id for event in events] == [PARENT, PROFIT, STOP]
    assert [event.reason for event in events[1:] if isinstance(event, Cancelled)] == [CancelReason.PARENT] * 2
    assert book.working == ()


def test_the_take_profit_ends_the_stop() -> None:
    book = engine()
    bracket(book, "900.00")
    fill, ended = book.fill_now(PROFIT, NOW_NS)
    assert isinstance(fill, Filled)
    assert isinstance(ended, Cancelled)
    assert (ended.order_id, ended.reason) == (STOP, CancelReason.OCA)
    assert book.account.position("AAPL").quantity == 0


def test_a_partial_take_profit_shrinks_the_stop() -> None:
    book = engine()
    bracket(book, "900.00")
    _, reduced = book.fill_now(PROFIT, NOW_NS, quantity=D(30))
    assert isinstance(reduced, Reduced)
    assert (reduced.order_id, reduced.quantity, reduced.remaining) == (STOP, 70, 70)


def test_a_child_without_a_parent_is_rejected() -> None:
    book = engine()
    (unknown,) = book.submit(limit(PROFIT, "900.00", Side.SELL, parent_id=99), NOW_NS)
    book.submit(limit(PARENT, "1.00"), NOW_NS)
    book.cancel(PARENT, NOW_NS)
    (late,) = book.submit(limit(PROFIT, "900.00", Side.SELL, parent_id=PARENT), NOW_NS)
    assert isinstance(unknown, Rejected)
    assert isinstance(late, Rejected)
    assert (unknown.code, late.code, late.text) == (10006, 135, f"Can't find order with id ={PARENT}")


def test_a_child_of_a_filled_parent_works_at_once() -> None:
    book = engine()
    book.submit(limit(PARENT, "900.00"), NOW_NS)
    accepted, working = book.submit(limit(PROFIT, "900.00", Side.SELL, parent_id=PARENT), NOW_NS)
    assert isinstance(accepted, Accepted)
    assert isinstance(working, Working)


def test_a_child_cannot_be_filled_by_command_before_its_parent() -> None:
    book = engine()
    bracket(book)
    (refused,) = book.fill_now(PROFIT, NOW_NS)
    assert isinstance(refused, Refused)


def group(book: MatchingEngine, kind: OcaType, *quantities: int) -> None:
    for number, quantity in enumerate(quantities, 1):
        book.submit(limit(number, "1.00", quantity=D(quantity), oca_group="exits", oca_type=kind), NOW_NS)


def test_any_fill_cancels_the_rest_of_a_group_of_type_1() -> None:
    book = engine()
    group(book, OcaType.CANCEL_WITH_BLOCK, 100, 100, 50)
    events = book.fill_now(2, NOW_NS, quantity=D(1))
    assert told(events) == [(2, "Filled"), (1, "Cancelled"), (3, "Cancelled")]
    assert [order.ticket.order_id for order in book.working] == [2]


@pytest.mark.parametrize("kind", [OcaType.REDUCE_WITH_BLOCK, OcaType.REDUCE_WITHOUT_BLOCK])
def test_a_partial_fill_shrinks_the_others_in_proportion(kind: OcaType) -> None:
    book = engine()
    group(book, kind, 90, 30, 1)
    events = book.fill_now(1, NOW_NS, quantity=D(30))
    assert told(events) == [(1, "Filled"), (2, "Reduced"), (3, "Cancelled")]
    order = book.order(2)
    assert order is not None
    assert order.remaining == 20
    assert [type(event) for event in book.fill_now(2, NOW_NS)] == [Filled, Cancelled]


@pytest.mark.parametrize(("kind", "fills"), [(OcaType.REDUCE_WITH_BLOCK, 1), (OcaType.REDUCE_WITHOUT_BLOCK, 2)])
def test_only_without_block_can_a_group_overfill_within_one_tick(kind: OcaType, fills: int) -> None:
    book = engine()
    soon_ns = NOW_NS + 60 * 10**9
    for number in (1, 2):
        ticket = limit(number, "900.00", oca_group="both", oca_type=kind, good_after_ns=soon_ns)
        book.submit(ticket, NOW_NS)
    events = book.evaluate(soon_ns)
    assert sum(isinstance(event, Filled) for event in events) == fills


def test_nobody_joins_a_group_that_has_filled() -> None:
    book = engine()
    group(book, OcaType.CANCEL_WITH_BLOCK, 100, 100)
    book.fill_now(1, NOW_NS)
    (rejected,) = book.submit(limit(9, "1.00", oca_group="exits"), NOW_NS)
    assert isinstance(rejected, Rejected)
