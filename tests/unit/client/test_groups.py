"""Groups: brackets with their exits on the right sides, and orders of which one cancels all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ibstream.client import InvalidRequestError
from ibstream.client.groups import bracket_request, group_request
from ibstream.client.requests import order_request
from ibstream.contracts.orders import GroupKind, OcaType, OrderType, Side, SubmitGroup, SubmitOrder, TimeInForce

NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)


def bracket(side: str = "BUY", **details: Any) -> SubmitGroup:
    return bracket_request("AAPL", side, 100, details, strategy="test", now=NOW)  # type: ignore[arg-type]


def order(client_order_id: str) -> SubmitOrder:
    return order_request("AAPL", "BUY", 1, {"client_order_id": client_order_id}, strategy="test", now=NOW)


def test_a_bracket_is_an_entry_and_two_exits() -> None:
    """The exits undo the entry: other side, same quantity, instrument, account and hours; they outlive the session."""
    group = bracket(
        group_id="g", limit_price="268", take_profit="281", stop_loss="261.5", account="DU1", outside_regular_hours=True
    )
    entry, profit, stop = group.orders
    assert (group.kind, group.group_id) == (GroupKind.BRACKET, "g")
    assert [one.client_order_id for one in group.orders] == ["g:entry", "g:profit", "g:stop"]
    assert (entry.order_type, entry.limit_price, entry.time_in_force) == (
        OrderType.LIMIT,
        Decimal(268),
        TimeInForce.DAY,
    )
    assert (profit.order_type, profit.limit_price, profit.stop_price) == (OrderType.LIMIT, Decimal(281), None)
    assert (stop.order_type, stop.stop_price, stop.limit_price) == (OrderType.STOP, Decimal("261.5"), None)
    for one in (profit, stop):
        assert (one.side, one.quantity, one.time_in_force) == (Side.SELL, entry.quantity, TimeInForce.GTC)
        assert (one.instrument, one.account, one.strategy) == (entry.instrument, "DU1", "test")
        assert one.outside_regular_hours


def test_what_a_bracket_may_be_told() -> None:
    """One exit is enough; the stop may be a limit order; ids, duration of the exits and validity are the caller's."""
    until = NOW + timedelta(seconds=5)
    group = bracket(
        "SELL",
        client_order_id="mine",
        stop_loss="281",
        stop_loss_limit="282",
        exit_time_in_force="DAY",
        valid_until=until,
    )
    entry, stop = group.orders
    assert (entry.client_order_id, group.valid_until) == ("mine", until)
    assert (stop.side, stop.order_type, stop.limit_price) == (Side.BUY, OrderType.STOP_LIMIT, Decimal(282))
    assert stop.time_in_force is TimeInForce.DAY
    assert len(bracket(take_profit="300").orders) == 2


def test_brackets_have_ids_of_their_own() -> None:
    """Random ones fit the contract with what is appended, and never meet."""
    first, second = bracket(take_profit="300", stop_loss="200"), bracket(take_profit="300", stop_loss="200")
    assert {one.client_order_id for one in first.orders}.isdisjoint(one.client_order_id for one in second.orders)


@pytest.mark.parametrize(
    ("side", "details"),
    [
        ("BUY", {"take_profit": "250", "stop_loss": "260"}),
        ("BUY", {"take_profit": "260", "stop_loss": "260"}),
        ("BUY", {"limit_price": "270", "take_profit": "265"}),
        ("BUY", {"limit_price": "270", "stop_loss": "271"}),
        ("BUY", {"limit_price": "270", "take_profit": "280", "stop_loss": "275"}),
        ("SELL", {"take_profit": "260", "stop_loss": "250"}),
        ("SELL", {"limit_price": "270", "take_profit": "275"}),
        ("SELL", {"limit_price": "270", "stop_loss": "265"}),
    ],
)
def test_exits_on_the_wrong_side_are_refused(side: str, details: dict[str, Any]) -> None:
    """Profit and stop exchanged by mistake would close the position the moment it is opened."""
    with pytest.raises(InvalidRequestError, match=f"a {side} bracket has its .* below"):
        bracket(side, **details)


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({}, "take_profit, a stop_loss, or both"),
        ({"take_profit": "280", "stop_loss_limit": "250"}, "wants a stop_loss"),
        ({"take_profit": 0.1}, "take profit"),
        ({"take_profit": "280", "exit_time_in_force": "FOREVER"}, "time_in_force"),
        ({"take_profit": "280", "group_id": "x" * 30}, r"orders\[\d\].client_order_id|client_order_id"),
        ({"take_profit": "280", "group_id": "not an id"}, "client_order_id"),
    ],
)
def test_a_bracket_that_is_none(details: dict[str, Any], told: str) -> None:
    """Without an exit, or with one that no broker would understand, nothing is made."""
    with pytest.raises(InvalidRequestError, match=told):
        bracket(**details)


def test_a_group_of_orders() -> None:
    """Any orders of one's own, in the order in which they are given."""
    group = group_request("oca", [order("b"), order("a")], now=NOW, oca_type="reduce", group_id="mine")
    assert (group.kind, group.oca_type, group.group_id) == (GroupKind.OCA, OcaType.REDUCE, "mine")
    assert [one.client_order_id for one in group.orders] == ["b", "a"]


@pytest.mark.parametrize(
    ("ids", "told"),
    [(["a"], "length >= 2"), ([f"o{number}" for number in range(11)], "length <= 10"), (["a", "a"], "of its own")],
)
def test_a_group_that_is_none(ids: list[str], told: str) -> None:
    """One order is no group, eleven are too many, and one id cannot have two outcomes."""
    with pytest.raises(InvalidRequestError, match=told):
        group_request("oca", [order(one) for one in ids], now=NOW)
