"""Order ids: one row for each client, rising, until somebody rolls them back."""

from __future__ import annotations

from typing import Any

import pytest
from unit.gateway_emulator.desk_rig import Desk, told

from ibstream_gateway_emulator.protocol.messages import Error

RESTING: dict[str, Any] = {"order_type": "LMT", "limit_price": 10}
TAKEN = ["openOrder PreSubmitted", "PreSubmitted", "openOrder Submitted", "Submitted"]


def test_every_client_has_its_own_ids_from_the_first_one_on() -> None:
    desk = Desk()
    desk.choose(first_order_id=100)
    desk.place(desk.order(order_id=107, **RESTING), client_id=1)
    assert desk.desk.next_order_id(1) == 108
    assert desk.desk.next_order_id(2) == 100


def test_asking_for_ids_skips_them_and_leaves_them_to_use() -> None:
    """As in req_ids: after nextValidId 1, reqIds(1) is answered with 2."""
    desk = Desk()
    assert desk.desk.reserve_ids(1, 1) == 2
    assert told(desk.place(desk.order(order_id=1, **RESTING))) == TAKEN
    assert desk.desk.next_order_id(1) == 2


def test_an_id_must_exceed_all_that_the_client_used() -> None:
    desk = Desk()
    desk.place(desk.order(order_id=50, **RESTING))
    assert told(desk.place(desk.order(order_id=49, **RESTING))) == ["103"]
    assert told(desk.place(desk.order(order_id=51, **RESTING))) == TAKEN


def test_an_id_must_exceed_all_that_the_client_saw_of_others() -> None:
    desk = Desk()
    desk.place(desk.order(order_id=295, **RESTING), client_id=1)
    list(desk.desk.open_orders(seen_by=2))
    assert desk.desk.next_order_id(2) == 296
    assert told(desk.place(desk.order(order_id=13, **RESTING), client_id=2)) == ["103"]


@pytest.mark.parametrize(
    ("fault", "code"), [({"limit_price": 10.001}, "110"), ({"limit_price": 10, "quantity": 9_999_999}, "201")]
)
def test_an_id_whose_order_was_refused_is_used_up(fault: dict[str, Any], code: str) -> None:
    """Whether a Gateway takes it again is not known; a client that relies on it must learn so here."""
    desk = Desk()
    assert told(desk.place(desk.order(order_id=5, order_type="LMT", **fault))) == [code]
    assert desk.desk.next_order_id(1) == 6
    assert told(desk.place(desk.order(order_id=5, **RESTING))) == ["103"]
    assert told(desk.place(desk.order(order_id=6, **RESTING))) == TAKEN


def test_asking_what_an_order_would_do_uses_no_id() -> None:
    desk = Desk()
    assert told(desk.place(desk.order(order_id=5, whatIf=True, transmit=False))) == ["413"]
    assert desk.desk.next_order_id(1) == 1
    assert told(desk.place(desk.order(order_id=5, **RESTING))) == TAKEN


def test_ids_that_were_rolled_back_are_issued_once_more_and_mean_new_orders() -> None:
    """Identity is the permId: a re-issued id of a finished order is a new order; one that works is changed by it."""
    desk = Desk()
    desk.place(desk.order(order_id=1, **RESTING))
    desk.place(desk.order(order_id=2))
    finished = desk.record(2)
    desk.desk.roll_back_ids(2)
    assert desk.desk.next_order_id(1) == 1
    assert told(desk.place(desk.order(order_id=1, **RESTING))) == ["openOrder Submitted", "Submitted"]
    assert told(desk.place(desk.order(order_id=2, **RESTING))) == TAKEN
    assert desk.record(2).perm_id != finished.perm_id
    assert [one.order_id for one in desk.desk.log.orders()] == [1, 2, 2]


def test_only_one_clients_ids_may_be_rolled_back() -> None:
    desk = Desk()
    for client_id in (1, 2):
        desk.place(desk.order(order_id=9, **RESTING), client_id=client_id)
    desk.desk.roll_back_ids(4, client_id=2)
    assert [desk.desk.next_order_id(client_id) for client_id in (1, 2)] == [10, 6]


def test_the_next_id_of_a_client_can_be_set() -> None:
    desk = Desk()
    desk.desk.start_ids_at(0, 13)
    assert desk.desk.next_order_id(0) == 13
    assert told(desk.place(desk.order(order_id=12, **RESTING), client_id=0)) == ["103"]


def test_the_id_of_an_order_that_has_ended_is_not_used_again() -> None:
    desk = Desk()
    desk.place(desk.order(order_id=1))
    desk.place(desk.order(order_id=2, **RESTING))
    desk.cancel(2)
    heard = [*desk.place(desk.order(order_id=1)), *desk.place(desk.order(order_id=2, **RESTING))]
    assert [one.text for one in heard if isinstance(one, Error)] == [
        "Cannot modify a filled order.",
        "Duplicate order id",
    ]
