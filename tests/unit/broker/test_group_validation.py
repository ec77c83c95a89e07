"""What is refused of a group: all of it, each order with its own reason or with that of another."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from unit.broker.stories import NOW, submit, working

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    GroupKind,
    OcaType,
    OrderType,
    Reason,
    Side,
    SubmitGroup,
    SubmitOrder,
    TimeInForce,
)
from ibstream_broker.domain.records import Link
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.validation import check_modify, refusals_of, validate_group

VALID_FOR = timedelta(seconds=30)
CLOSE: dict[str, Any] = {"side": Side.SELL}
STOP: dict[str, Any] = {"order_type": OrderType.STOP, "limit_price": None, "stop_price": Decimal(45)}


def bracket(parent: dict[str, Any] | None = None, *children: dict[str, Any], **details: Any) -> SubmitGroup:
    """A parent `s-0` and its children `s-1`, …; a limit and a stop order where none are given."""
    told = [parent or {}, *(children or (CLOSE, {**CLOSE, **STOP}))]
    return group(GroupKind.BRACKET, *told, **details)


def oca(*orders: dict[str, Any], **details: Any) -> SubmitGroup:
    """An OCA group of orders `s-0`, …"""
    return group(GroupKind.OCA, *orders, **details)


def group(kind: GroupKind, *orders: dict[str, Any], **details: Any) -> SubmitGroup:
    """A group that was asked for now."""
    made = tuple(submit(**{"client_order_id": f"s-{number}", **one}) for number, one in enumerate(orders))
    return SubmitGroup(group_id="g-1", kind=kind, orders=made, **{"requested_at": NOW, **details})


def reasons(asked: SubmitGroup) -> list[Reason] | None:
    """Why each of its orders is refused, in their order; None where the group passes."""
    refusals = validate_group(asked, now=NOW, valid_for=VALID_FOR)
    if refusals is None:
        return None
    assert set(refusals) == {order.client_order_id for order in asked.orders}, "each has its own outcome"
    assert all(0 < len(refusal.text) < 300 for refusal in refusals.values())
    return [refusals[order.client_order_id].reason for order in asked.orders]


OTHER, SELF = Reason.GROUP_REFUSED, Reason.INVALID_GROUP


@pytest.mark.parametrize(
    "asked",
    [
        bracket(),
        bracket({"order_type": OrderType.MARKET, "limit_price": None}),
        bracket({"time_in_force": TimeInForce.IOC}),
        bracket({"side": Side.SELL}, {"side": Side.BUY}, {"side": Side.BUY, **STOP}),
        bracket({}, {**CLOSE, "quantity": Decimal(40)}, {**CLOSE, "order_type": OrderType.MARKET_ON_CLOSE, "limit_price": None}),
        oca({}, {}),
        oca({"side": Side.SELL}, {"instrument": Instrument(symbol="MSFT")}, {**STOP, "quantity": Decimal(7)}),
        oca({}, {"order_type": OrderType.MARKET_ON_CLOSE, "limit_price": None}, oca_type=OcaType.REDUCE_WITHOUT_BLOCK),
        oca({"account": "DU1"}, {"account": ""}, {"account": "DU1"}),
    ],
)  # fmt: skip
def test_sound_groups_pass(asked: SubmitGroup) -> None:
    """Brackets in both directions, OCA groups over several instruments, auction orders among them."""
    assert reasons(asked) is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (bracket({}, CLOSE, {}), [OTHER, OTHER, SELF]),
        (bracket({}, {**CLOSE, "instrument": Instrument(symbol="MSFT")}), [OTHER, SELF]),
        (bracket({}, {**CLOSE, "instrument": Instrument(symbol="AAPL", exchange="NYSE")}), [OTHER, SELF]),
        (bracket({}, {**CLOSE, "quantity": Decimal(101)}), [OTHER, SELF]),
        (bracket({}, {**CLOSE, "time_in_force": TimeInForce.IOC}, {}), [OTHER, SELF, SELF]),
        (oca({}, {"time_in_force": TimeInForce.FOK}), [OTHER, SELF]),
        (oca({"time_in_force": TimeInForce.IOC}, {}), [SELF, OTHER]),
        (oca({}, {"strategy": "other"}, {}), [OTHER, SELF, OTHER]),
        (oca({}, {"account": "DU1"}, {"account": "DU2"}), [OTHER, OTHER, SELF]),
        (oca({}, {"client_order_id": "s-0"}), [SELF, SELF]),
        (oca({}, {}, {"client_order_id": "s-0"}), [SELF, OTHER, SELF]),
    ],
)
def test_orders_that_do_not_fit_together_are_refused(asked: SubmitGroup, expected: list[Reason]) -> None:
    """Those that do not fit with `invalid_group`, the others because of them."""
    assert reasons(asked) == expected


def test_one_wrong_order_refuses_all() -> None:
    """With its own reason; the others are told which one it was and why."""
    asked = bracket({}, CLOSE, {**CLOSE, "quantity": Decimal("0.5")})
    assert reasons(asked) == [OTHER, OTHER, Reason.INVALID_QUANTITY]
    refusals = validate_group(asked, now=NOW, valid_for=VALID_FOR)
    assert refusals is not None
    assert "s-2" in refusals["s-0"].text
    assert refusals["s-2"].text in refusals["s-0"].text


def test_a_quantity_that_is_no_number_is_refused_in_a_bracket_too() -> None:
    """It cannot be compared with the parent's, and that must not stop the broker."""
    assert reasons(bracket({}, {**CLOSE, "quantity": Decimal("NaN")})) == [OTHER, Reason.INVALID_QUANTITY]
    assert reasons(bracket({"quantity": Decimal("sNaN")}, CLOSE)) == [Reason.INVALID_QUANTITY, OTHER]


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"valid_until": NOW}, None),
        ({"valid_until": NOW - timedelta(microseconds=1)}, Reason.EXPIRED),
        ({"requested_at": NOW - VALID_FOR}, None),
        ({"requested_at": NOW - VALID_FOR - timedelta(microseconds=1)}, Reason.EXPIRED),
        ({"requested_at": NOW + timedelta(days=1)}, Reason.INVALID_TIME),
    ],
)
def test_a_group_has_one_time(details: dict[str, Any], expected: Reason | None) -> None:
    """Its own; what its orders say is not looked at."""
    late: dict[str, Any] = {"requested_at": NOW - timedelta(days=1), "valid_until": NOW - timedelta(days=1)}
    assert reasons(oca(late, late, **details)) == (None if expected is None else [expected, expected])


def test_refusals_found_later_refuse_the_rest() -> None:
    """By an instrument, a limit, the gate: whoever finds one asks for all."""
    asked = oca({}, {}, {})
    found = {"s-1": Refusal(Reason.RISK_SHORT, "too short")}
    refusals = refusals_of(asked, found)
    assert [refusals[order.client_order_id].reason for order in asked.orders] == [OTHER, Reason.RISK_SHORT, OTHER]


def test_an_order_of_a_group_keeps_its_time_in_force() -> None:
    """One that ends at once cannot wait for the others."""
    link = Link(group_id="g-1", kind=GroupKind.OCA, members=("s-1", "s-2"))
    wanted: SubmitOrder = submit(time_in_force=TimeInForce.IOC)
    refusal = check_modify(replace(working(), link=link), wanted)
    assert refusal is not None
    assert refusal.reason is Reason.INVALID_ORDER
    assert check_modify(working(), wanted) is None
