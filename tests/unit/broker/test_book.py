"""Finding the order that an input is about."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from unit.broker.stories import ORDER_ID, PERM_ID, Story, charged, code, executed, seen, sent, status, working

from ibstream.contracts.orders import GroupKind, OrderStatus
from ibstream_broker.domain import book as book_module
from ibstream_broker.domain.book import OrderBook
from ibstream_broker.domain.records import Link, OrderRecord


def named(name: str, record: OrderRecord, **details: Any) -> OrderRecord:
    """The record of another order."""
    request = msgspec.structs.replace(record.request, client_order_id=name)
    return msgspec.structs.replace(record, request=request, **details)


def holding(*records: OrderRecord) -> OrderBook:
    book = OrderBook()
    book.put_all(records)
    return book


def found(book: OrderBook, happened: Any) -> str | None:
    record = book.about(happened)
    return record.client_order_id if record is not None else None


def test_our_own_reference_decides_where_there_is_one() -> None:
    """Over order id and permanent id, which may be another order's by now."""
    book = holding(named("a", working()), named("b", sent(), order_id=42))
    assert found(book, msgspec.structs.replace(seen(), order_ref="b")) == "b"
    assert found(book, msgspec.structs.replace(executed(1, 40), order_ref="b")) == "b"
    assert found(book, msgspec.structs.replace(seen(), order_ref="nobody's")) is None


def test_statuses_are_found_by_permanent_id_then_by_order_id() -> None:
    """They carry no reference. The first one of an order comes with an id that nobody knows yet."""
    book = holding(named("a", working()), named("b", sent(), order_id=42))
    assert found(book, msgspec.structs.replace(status("Submitted"), order_id=0)) == "a"
    assert found(book, msgspec.structs.replace(status("Submitted", perm_id=8), order_id=42)) == "b"
    assert found(book, msgspec.structs.replace(status("Submitted", perm_id=8), order_id=43)) is None


def test_an_order_id_used_again_after_a_rollback_is_the_newer_orders() -> None:
    """The Gateway's counter went back: the same id, another permanent id."""
    book = holding(named("old", working()), named("new", sent()))
    assert found(book, status("Submitted", perm_id=PERM_ID)) == "old"
    assert found(book, status("Submitted", perm_id=PERM_ID + 1)) == "new"
    assert found(book, code(201)) == "new"


def test_another_orders_permanent_id_is_not_taken_for_ours() -> None:
    """The order id is ours, the permanent id is not: an order of a former life."""
    assert found(holding(named("a", working())), status("Submitted", perm_id=PERM_ID + 1)) is None


def test_commissions_are_found_by_execution() -> None:
    """Of the line in the ledger: what was corrected is still the order's."""
    fill, correction = executed(1, 40), executed(1, 40, correction=2)
    book = OrderBook()
    assert book.about(charged(fill)) is None
    book.put(Story(working()).take(fill).record)
    assert found(book, charged(fill)) == "s-1"
    book.put(Story(working()).take(fill, correction).record)
    assert found(book, charged(correction)) == found(book, charged(fill)) == "s-1"


def test_finished_orders_stay_at_hand_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; open ones never do."""
    monkeypatch.setattr(book_module, "FINAL_KEPT_MAX", 3)
    book = OrderBook()
    book.put(named("open", sent(), order_id=1))
    for number in range(10):
        record = named(f"done-{number}", working(), order_id=100 + number, perm_id=1000 + number)
        fill = msgspec.structs.replace(executed(number, 100), order_ref=record.client_order_id, perm_id=record.perm_id)
        book.put(Story(record).take(fill).record)
        book.put(Story(record).take(fill).record)
    assert [number for number in range(10) if f"done-{number}" in book] == [7, 8, 9]
    assert [record.client_order_id for record in book.open()] == ["open"]
    assert {len(index) for index in (book._by_order_id, book._by_perm_id, book._by_exec_line)} == {3, 4}
    assert book.about(msgspec.structs.replace(status("Filled"), order_id=100, perm_id=1000)) is None


def test_forgetting_an_order_leaves_a_newer_one_with_its_order_id_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer one still finds its codes."""
    monkeypatch.setattr(book_module, "FINAL_KEPT_MAX", 1)
    book = OrderBook()
    book.put(named("old", sent(status=OrderStatus.REJECTED)))
    book.put(named("new", sent()))
    book.put(named("other", sent(status=OrderStatus.REJECTED), order_id=ORDER_ID + 1))
    assert "old" not in book
    assert found(book, code(201)) == "new"


def test_the_open_orders_are_those_without_an_outcome_in_the_order_they_came() -> None:
    """However often they change, and while they are changed."""
    book = holding(named("a", sent()), named("b", sent(), order_id=42), named("a", working()))
    for record in book.open():
        book.put(msgspec.structs.replace(record, status=OrderStatus.REJECTED))
        assert record.client_order_id not in [one.client_order_id for one in book.open()]
    assert list(book.open()) == []


def test_a_group_is_found_whole_and_in_its_order() -> None:
    """Members that ended belong to it; an order without a group is alone."""
    link = Link(group_id="g", kind=GroupKind.BRACKET, members=("p", "t", "s", "not here"))
    parts = {name: named(name, sent(link=link), order_id=number) for number, name in enumerate("tsp", start=1)}
    book = holding(*parts.values(), named("single", sent(), order_id=9))
    book.put(msgspec.structs.replace(parts["t"], status=OrderStatus.REJECTED))
    assert [one.client_order_id for one in book.group_of(parts["s"])] == ["p", "t", "s"]
    [alone] = book.group_of(named("single", sent()))
    assert alone.client_order_id == "single"


def test_ours_is_what_has_our_reference_or_without_one_our_permanent_id() -> None:
    """An order of somebody else's can have our permanent id only where a reference was lost."""
    book = holding(named("a", working()))
    assert book.is_ours("a", 0)
    assert book.is_ours("", PERM_ID)
    assert not book.is_ours("b", PERM_ID)
    assert not book.is_ours("", 0)
