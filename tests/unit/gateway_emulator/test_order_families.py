"""Brackets, one-cancels-all groups and combinations, message by message."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from unit.gateway_emulator.desk_rig import AAPL, Desk, told

from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import CommissionReport, Error, ExecDetails, Message, OrderStatus
from ibstream_gateway_emulator.protocol.open_order import OpenOrder

RESTING: dict[str, Any] = {"order_type": "LMT", "limit_price": 10}


def bracket(desk: Desk, limit_price: float) -> list[list[Message]]:
    """A parent, its profit taker and its stop, as clients send them: the last one transmits all."""
    parent = desk.order(order_type="LMT", limit_price=limit_price, transmit=False)
    target = desk.order("SELL", order_type="LMT", limit_price=9000, parentId=parent.order_id, transmit=False)
    stop = desk.order("SELL", order_type="STP", aux_price=1, parentId=parent.order_id, transmit=True)
    return [desk.place(order) for order in (parent, target, stop)]


def of_order(messages: list[Message], order_id: int) -> list[str]:
    """What is told of one order, in short."""
    about = [one for one in messages if order_id in (getattr(one, "order_id", None), getattr(one, "req_id", None))]
    return told(about)


def test_a_bracket_is_told_when_its_last_part_transmits_it() -> None:
    desk = Desk()
    parent, target, stop = bracket(desk, limit_price=10)
    assert (parent, target) == ([], [])
    assert of_order(stop, 1) == ["openOrder PreSubmitted", "PreSubmitted", "openOrder Submitted", "Submitted"]
    assert of_order(stop, 2) == ["openOrder PreSubmitted", "PreSubmitted child"]
    assert of_order(stop, 3) == ["openOrder PreSubmitted", "PreSubmitted child,trigger"]
    assert {one.parent_id for one in stop if isinstance(one, OrderStatus) and one.order_id != 1} == {1}


def test_children_are_a_group_named_after_their_parent() -> None:
    """As in completed_orders_cancelled_system_live: ocaGroup and parentPermId are the parent's permId."""
    desk = Desk()
    bracket(desk, limit_price=10)
    shown = [one for one in desk.desk.open_orders() if isinstance(one, OpenOrder)]
    perm_id = shown[0].terms.perm_id
    assert [one.terms.attributes.get("ocaGroup") for one in shown] == [None, str(perm_id), str(perm_id)]
    assert [one.terms.attributes.get("parentId") for one in shown] == [None, 1, 1]


def test_a_filled_parent_sets_its_children_to_work() -> None:
    desk = Desk()
    heard = bracket(desk, limit_price=9999)[-1]
    assert of_order(heard, 1)[-2:] == ["openOrder Filled", "Filled"]
    assert of_order(heard, 2)[-2:] == ["openOrder Submitted", "Submitted"]
    assert of_order(heard, 3)[-2:] == ["openOrder PreSubmitted", "PreSubmitted trigger"]


def test_a_child_that_fills_ends_the_other() -> None:
    desk = Desk()
    bracket(desk, limit_price=9999)
    messages = desk.fill(2, price=Decimal(9000))
    assert "Filled" in of_order(messages, 2)
    assert of_order(messages, 3) == ["Cancelled", "202"]
    assert desk.record(3).completed_status == "Cancelled by System:\n"


def test_children_end_with_their_parent() -> None:
    desk = Desk()
    bracket(desk, limit_price=10)
    messages = desk.cancel(1)
    assert told(messages) == ["Cancelled", "202"] * 3
    assert [one.req_id for one in messages if isinstance(one, Error)] == [1, 2, 3]


def test_a_child_is_changed_after_its_parent_has_filled() -> None:
    desk = Desk()
    bracket(desk, limit_price=9999)
    for parent_id in (1, 0):
        changed = desk.order("SELL", order_id=2, order_type="LMT", limit_price=8000 + parent_id, parentId=parent_id)
        assert told(desk.place(changed)) == ["openOrder Submitted", "Submitted"]


@pytest.mark.parametrize("placed_group", ["", "mine"])
def test_a_child_is_changed_as_it_was_told_and_as_it_was_placed(placed_group: str) -> None:
    """openOrder names a child's group after its parent; a client that read it there sends it back. No other is accepted."""
    desk = Desk()
    parent = desk.order(order_type="LMT", limit_price=10, transmit=False)
    child = desk.order("SELL", order_type="LMT", limit_price=9000, parentId=1, ocaGroup=placed_group, ocaType=1)
    desk.place(parent)
    desk.place(child)
    [told_group] = [
        one.terms.attributes["ocaGroup"]
        for one in desk.desk.open_orders()
        if isinstance(one, OpenOrder) and one.order_id == 2
    ]
    assert told_group == (placed_group or str(desk.record(1).perm_id))
    for limit_price, group, answer in (
        (8001, told_group, ["openOrder PreSubmitted", "PreSubmitted child"]),
        (8002, placed_group, ["openOrder PreSubmitted", "PreSubmitted child"]),
        (8003, "another", ["10326"]),
    ):
        changed = desk.order(
            "SELL", order_id=2, order_type="LMT", limit_price=limit_price, parentId=1, ocaGroup=group, ocaType=2
        )
        assert told(desk.place(changed)) == answer
    assert desk.record(2).placed.limit_price == 8002
    assert desk.record(2).placed.oca_group == placed_group


def test_a_parent_that_never_was_and_one_that_has_ended_are_told_apart() -> None:
    desk = Desk()
    desk.place(desk.order(**RESTING))
    desk.cancel(1)
    heard = [*desk.place(desk.order(parentId=99, **RESTING)), *desk.place(desk.order(parentId=1, **RESTING))]
    assert [(one.code, one.text) for one in heard if isinstance(one, Error)] == [
        (10006, "Missing parent order."),
        (135, "Can't find order with id =1"),
    ]


def test_a_fill_cancels_the_others_of_a_group() -> None:
    desk = Desk()
    first = desk.order(order_type="LMT", limit_price=10, ocaGroup="one of two", ocaType=1)
    second = desk.order(order_type="LMT", limit_price=11, ocaGroup="one of two", ocaType=1)
    desk.place(first)
    desk.place(second)
    messages = desk.fill(1, quantity=Decimal(4))
    assert of_order(messages, 2) == ["Cancelled", "202"]
    assert desk.record(1).remaining == 6


def test_a_fill_shrinks_the_others_of_a_reducing_group() -> None:
    desk = Desk()
    for limit_price in (10, 11):
        desk.place(desk.order(order_type="LMT", limit_price=limit_price, ocaGroup="shared", ocaType=2))
    messages = desk.fill(1, quantity=Decimal(4))
    assert of_order(messages, 2) == ["openOrder Submitted", "Submitted"]
    [status] = [one for one in messages if isinstance(one, OrderStatus) and one.order_id == 2]
    assert status.remaining == 6
    assert desk.record(2).quantity == 6


def test_the_group_of_an_order_is_not_changed() -> None:
    desk = Desk()
    desk.place(desk.order(ocaGroup="a", **RESTING))
    heard = desk.place(desk.order(order_id=1, ocaGroup="b", **RESTING))
    assert told(heard) == ["10326"]


def test_a_combination_fills_as_a_whole_and_leg_by_leg() -> None:
    """The combination's execution comes first, then the legs', then the state, then what each leg cost."""
    desk = Desk()
    spread = Contract(symbol="AAPL", security_type="BAG", exchange="SMART", currency="USD")
    legs = (desk.leg("AAPL", "BUY", 2), desk.leg("MSFT", "SELL", 1))
    messages = desk.place(desk.order(quantity=3, contract=spread, comboLegs=legs))
    assert told(messages) == [
        "openOrder PreSubmitted", "PreSubmitted", "execDetails 3", "execDetails 6", "execDetails 3", "openOrder Filled",
        "Filled", "commission", "commission",
    ]  # fmt: skip
    executions = [one for one in messages if isinstance(one, ExecDetails)]
    assert [(one.contract.security_type, one.contract.symbol, one.side) for one in executions] == [
        ("BAG", "AAPL", "BOT"),
        ("STK", "AAPL", "BOT"),
        ("STK", "MSFT", "SLD"),
    ]
    charged = [one.exec_id for one in messages if isinstance(one, CommissionReport)]
    assert charged == [one.exec_id for one in executions[1:]]
    first = messages[0]
    assert isinstance(first, OpenOrder)
    assert (first.terms.contract.con_id, first.terms.contract.trading_class) == (28812380, "COMB")
    described = first.terms.attributes["comboLegsDescrip"]
    assert described == f"{legs[0].con_id}|2,{legs[1].con_id}|-1"
    assert desk.desk.take_traded() == {"AAPL", "MSFT"}


def test_a_combination_needs_legs_that_exist() -> None:
    desk = Desk()
    spread = Contract(symbol="AAPL", security_type="BAG", exchange="SMART", currency="USD")
    known = desk.leg("AAPL", "BUY")
    unknown = type(known)(4711, 1, "SELL", "SMART")
    assert told(desk.place(desk.order(contract=spread))) == ["321"]
    assert told(desk.place(desk.order(contract=spread, comboLegs=(known, unknown)))) == ["200"]
    assert told(desk.place(desk.order(contract=AAPL))) != ["200"]
