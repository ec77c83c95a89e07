"""What is remembered of orders: found, corrected, listed, and dropped in time."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from unit.gateway_emulator.desk_rig import Desk, told

from ibstream.simulation.orders import CancelReason
from ibstream.simulation.sessions import NEW_YORK, to_ns
from ibstream_gateway_emulator.domain import order_book
from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.domain.execution_filter import passes
from ibstream_gateway_emulator.domain.order_book import UnknownOrderError, order_day
from ibstream_gateway_emulator.protocol.completed_order import CompletedOrder
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import ExecDetails
from ibstream_gateway_emulator.protocol.requests import ReqExecutions

RESTING: dict[str, Any] = {"order_type": "LMT", "limit_price": 10}


def new_york(day: int, hour: int = 12, minute: int = 0) -> int:
    """A time in April 2026."""
    return to_ns(datetime(2026, 4, day, hour, minute, tzinfo=NEW_YORK))


@pytest.mark.parametrize(
    ("day", "belongs_to"),
    [(10, date(2026, 4, 10)), (11, date(2026, 4, 13)), (12, date(2026, 4, 13)), (13, date(2026, 4, 13))],
    ids=["Friday", "Saturday", "Sunday", "Monday"],
)
def test_a_weekend_belongs_to_the_monday_after(day: int, belongs_to: date) -> None:
    assert order_day(new_york(day)) == belongs_to


def test_an_order_cancelled_by_the_system_on_saturday_is_listed_on_sunday() -> None:
    """As in completed_orders_cancelled_system_live."""
    desk = Desk(now_ns=new_york(11, 22, 18))
    desk.place(desk.order("SELL", 1, "LMT", limit_price=500, tif="GTC"))
    ended = desk.engine.cancel(desk.record(1).perm_id, desk.now_ns, reason=CancelReason.SYSTEM)
    assert told(desk.happened(ended)) == ["Cancelled", "202"]
    [listed] = desk.desk.completed_orders(new_york(12, 12, 39))
    assert isinstance(listed, CompletedOrder)
    assert (listed.status, listed.terms.quantity, listed.filled) == ("Cancelled", 1, 0)
    assert listed.completed_status == "Cancelled by System:\n"
    assert listed.completed_time == "20260411 22:18:00 US/Eastern"
    assert list(desk.desk.completed_orders(new_york(14))) == []


def test_finished_orders_are_dropped_after_the_day_that_follows() -> None:
    desk = Desk(now_ns=new_york(13))
    desk.place(desk.order())
    desk.place(desk.order(tif="GTC", **RESTING))
    desk.now_ns = new_york(14)
    desk.wait(0)
    assert [record.status for record in desk.desk.records] == ["Filled", "Submitted"]
    assert list(desk.desk.executions_today(desk.now_ns)) == []
    desk.now_ns = new_york(15)
    desk.wait(0)
    assert [record.status for record in desk.desk.records] == ["Submitted"]
    assert desk.desk.records.of_client(1, 1) is None


def test_no_more_than_so_many_orders_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_book, "FINISHED_KEPT", 5)
    desk = Desk()
    desk.place(desk.order(**RESTING))
    for _ in range(20):
        desk.place(desk.order(quantity=1))
        desk.wait(0.001)
    assert len(desk.desk.records) == 5
    assert desk.record(1).is_live
    assert desk.desk.records.of_client(1, 21) is not None


def test_a_correction_takes_the_place_of_what_it_corrects() -> None:
    desk = Desk()
    [executed] = [one for one in desk.place(desk.order()) if isinstance(one, ExecDetails)]
    corrected = desk.engine.correct(executed.exec_id, desk.now_ns, price=executed.price - 1)
    assert told(desk.happened(corrected)) == ["execDetails 10", "commission"]
    [(record, listed)] = list(desk.desk.executions_today(desk.now_ns))
    assert listed.fill.exec_id == executed.exec_id.removesuffix(".01") + ".02"
    assert record.average_price == listed.fill.price == executed.price - 1
    [journalled] = desk.desk.log.executions()
    assert (journalled.replaces, journalled.price) == (executed.exec_id, executed.price - 1)


def test_a_correction_of_days_ago_moves_the_account_and_is_told_to_nobody() -> None:
    desk = Desk(now_ns=new_york(13))
    [executed] = [one for one in desk.place(desk.order()) if isinstance(one, ExecDetails)]
    desk.now_ns = new_york(16)
    desk.wait(0)
    desk.desk.take_traded()
    assert desk.happened(desk.engine.correct(executed.exec_id, desk.now_ns, quantity=Decimal(7))) == []
    assert desk.engine.account.position("AAPL").quantity == 7
    assert desk.desk.take_traded() == {"AAPL"}


def test_an_order_is_found_by_what_is_known_of_it() -> None:
    desk = Desk()
    desk.place(desk.order(orderRef="a", **RESTING))
    desk.place(desk.order(orderRef="b", **RESTING), client_id=2)
    records = desk.desk.records
    assert records.find(order_ref="b").client_id == 2
    assert records.find(client_id=1, order_id=1).placed.order_ref == "a"
    assert records.find(perm_id=records.find(order_ref="a").perm_id).order_id == 1
    for known in ({}, {"order_ref": "c"}, {"order_id": 9}):
        with pytest.raises(UnknownOrderError, match="name exactly one"):
            records.find(**known)


def test_an_order_may_fill_by_command_in_part_and_at_any_price() -> None:
    desk = Desk()
    desk.place(desk.order(**RESTING))
    record = desk.record(1)
    assert told(desk.fill(1, quantity=Decimal(3), price=Decimal("9.50"))) == [
        "execDetails 3",
        "openOrder Submitted",
        "Submitted",
        "commission",
    ]
    assert (record.filled, record.remaining, record.average_price) == (3, 7, Decimal("9.50"))


def test_rejected_orders_are_remembered_with_their_reason() -> None:
    desk = Desk()
    desk.place(desk.order(quantity=0))
    desk.desk.refuse(1, desk.order(orderRef="commanded"), Code(201, "No."), desk.now_ns)
    desk.place(desk.order(orderRef="taken"))
    kept = desk.desk.log.orders()
    assert [(one.outcome, one.code, one.order_ref) for one in kept] == [
        ("rejected", 434, ""),
        ("rejected", 201, "commanded"),
        ("taken", 0, "taken"),
    ]
    assert (kept[-1].status, kept[-1].filled) == ("Filled", 10)


def test_what_never_left_the_gateway_is_gone_after_a_restart() -> None:
    desk = Desk()
    desk.place(desk.order(transmit=False, **RESTING))
    desk.place(desk.order("SELL", parentId=1, transmit=False, **RESTING))
    desk.place(desk.order(**RESTING))
    desk.desk.forget_untransmitted(desk.now_ns)
    assert [record.order_id for record in desk.desk.records.live()] == [3]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, 3),
        ({"client_id": 1}, 2),
        ({"client_id": 9}, 0),
        ({"account": "U1"}, 0),
        ({"symbol": "msft"}, 1),
        ({"security_type": "FUT"}, 0),
        ({"security_type": "STK"}, 3),
        ({"exchange": "SMART"}, 3),
        ({"exchange": "ISLAND"}, 3),
        ({"exchange": "NYSE"}, 0),
        ({"side": "BUY"}, 2),
        ({"side": "SLD"}, 1),
        ({"side": "nonsense"}, 0),
    ],
)
def test_executions_pass_the_filter(wanted: dict[str, Any], found: int) -> None:
    desk = Desk()
    desk.place(desk.order())
    desk.place(desk.order("SELL"))
    msft = Contract(symbol="MSFT", security_type="STK", exchange="SMART", currency="USD")
    desk.place(desk.order(contract=msft), client_id=2)
    texts = dict.fromkeys(("account", "since", "symbol", "security_type", "exchange", "side"), "")
    fields: dict[str, Any] = {"client_id": 0, **texts, **wanted}
    request = ReqExecutions(req_id=1, **fields)
    today = desk.desk.executions_today(desk.now_ns)
    assert sum(passes(request, 0, record, execution) for record, execution in today) == found
