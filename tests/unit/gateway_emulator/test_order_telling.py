"""What is told of an order, message by message, as recorded from a live paper Gateway."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from unit.gateway_emulator.desk_rig import Desk, told

from ibstream.simulation.sessions import NEW_YORK, to_ns
from ibstream_gateway_emulator.domain.order_record import commission_report, plain
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import CommissionReport, Error, OrderStatus
from ibstream_gateway_emulator.protocol.open_order import OpenOrder
from ibstream_gateway_emulator.settings import EmulatorSettings

RESTING: dict[str, Any] = {"order_type": "LMT", "limit_price": 10}
FILLED = ["openOrder PreSubmitted", "PreSubmitted", "execDetails 10", "openOrder Filled", "Filled", "commission"]


def test_a_market_order() -> None:
    """As in place_order_fill_native_execution_time."""
    assert told(Desk().place(Desk().order())) == FILLED


def test_a_market_order_without_open_order_and_commission_after_the_fill() -> None:
    """As in api_dollar_cost_averaging_aapl, the last order of which was Submitted first."""
    desk = Desk()
    desk.choose(open_order_with_fill=False, tell_commission=False)
    assert told(desk.place(desk.order())) == ["openOrder PreSubmitted", "PreSubmitted", "execDetails 10", "Filled"]
    desk.choose(acknowledge_as=("Submitted",))
    assert told(desk.place(desk.order("SELL"))) == ["openOrder Submitted", "Submitted", "execDetails 10", "Filled"]


@pytest.mark.parametrize(
    ("acknowledge_as", "expected"),
    [
        (("PreSubmitted", "Submitted"), ["openOrder PreSubmitted", "PreSubmitted", "openOrder Submitted", "Submitted"]),
        (("Submitted",), ["openOrder Submitted", "Submitted"]),
        (("PreSubmitted",), ["openOrder PreSubmitted", "PreSubmitted"]),
    ],
)
def test_a_resting_order_is_acknowledged_in_each_of_the_recorded_ways(
    acknowledge_as: tuple[str, ...], expected: list[str]
) -> None:
    """As in api_order_rest_cancel_aapl, api_client_id0_order_observation_aapl, direct_cancel_order."""
    desk = Desk()
    desk.choose(acknowledge_as=acknowledge_as)
    assert told(desk.place(desk.order(**RESTING))) == expected
    assert told(desk.place(desk.order(tif="GTC", **RESTING))) == expected


PRE_SUBMITTED_FIRST = ["openOrder PreSubmitted", "PreSubmitted", "openOrder Submitted", "Submitted"]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"tif": "GTC"}, ["openOrder Submitted", "Submitted"]),
        ({"tif": "DAY"}, PRE_SUBMITTED_FIRST),
        ({"tif": ""}, PRE_SUBMITTED_FIRST),
        ({"tif": "GTC", "limit_price": 9000}, FILLED),
        ({"tif": "GTC", "order_type": "REL", "limit_price": 10, "aux_price": 1}, PRE_SUBMITTED_FIRST),
    ],
    ids=["GTC", "DAY", "nothing said", "GTC that fills at once", "GTC but no limit order"],
)
def test_an_order_is_acknowledged_as_most_recordings_show(terms: dict[str, Any], expected: list[str]) -> None:
    """As in api_reconnect_active_order_aapl (GTC) and api_order_rest_cancel_aapl (DAY)."""
    desk = Desk()
    assert told(desk.place(desk.order(**{**RESTING, **terms}))) == expected


def test_a_gtc_limit_order_that_is_transmitted_later_is_submitted_at_once_then() -> None:
    desk = Desk()
    order = desk.order(tif="GTC", transmit=False, **RESTING)
    assert desk.place(order) == []
    sent = desk.order(order_id=order.order_id, tif="GTC", **RESTING)
    assert told(desk.place(sent)) == ["openOrder Submitted", "Submitted"]


@pytest.mark.parametrize(
    ("pending", "with_202", "expected"),
    [
        (False, True, ["Cancelled", "202"]),
        (True, True, ["PendingCancel", "Cancelled", "202"]),
        (False, False, ["Cancelled"]),
    ],
)
def test_a_cancel_is_told_in_each_of_the_recorded_ways(pending: bool, with_202: bool, expected: list[str]) -> None:
    """As in api_tif_attribute_matrix_aapl, api_order_rest_cancel_aapl, direct_cancel_order."""
    desk = Desk()
    desk.choose(tell_pending_cancel=pending, tell_cancel_202=with_202)
    order = desk.order(**RESTING)
    desk.place(order)
    heard = desk.cancel(order.order_id)
    assert told(heard) == expected
    assert [one.text for one in heard if isinstance(one, Error)] == ["Order Canceled - reason:"] * with_202


def test_a_trailing_stop_waits_for_its_trigger_and_says_so() -> None:
    """As in api_tif_attribute_matrix_aapl: whyHeld is `trigger`, then Submitted, execDetails, Filled, commission."""
    desk = Desk()
    order = desk.order("SELL", 1, "TRAIL", trailingPercent=Decimal("0.05"))
    heard = desk.place(order)
    assert told(heard) == ["openOrder PreSubmitted", "PreSubmitted trigger"]
    stop = desk.record(order.order_id).stop_price
    assert stop is not None
    assert stop < desk.last()
    fired = desk.wait_until_told()
    assert told(fired) == [
        "openOrder Submitted",
        "Submitted",
        "execDetails 1",
        "openOrder Filled",
        "Filled",
        "commission",
    ]
    assert [one.remaining for one in (*heard, *fired) if isinstance(one, OrderStatus)] == [1, 1, 0]


def test_the_open_order_of_a_trailing_stop_tells_where_the_stop_is_now() -> None:
    desk = Desk()
    order = desk.order("SELL", 1, "TRAIL", aux_price=Decimal("1.00"))
    desk.place(order)
    placed = desk.record(order.order_id).stop_price
    for _ in range(600):
        desk.wait(1)
        [shown] = list(desk.desk.open_orders())
        assert isinstance(shown, OpenOrder)
        stop = shown.terms.attributes["trailStopPrice"]
        if stop != placed:
            break
    assert placed is not None
    assert stop > placed


@pytest.mark.parametrize(
    ("order_type", "prices", "held"),
    [
        ("STP", {"aux_price": 9000}, "trigger"),
        ("STP LMT", {"aux_price": 9000, "limit_price": 9001}, "trigger"),
        ("MIT", {"aux_price": 1}, "trigger"),
        ("LIT", {"aux_price": 1, "limit_price": 2}, "trigger"),
        ("MOC", {}, ""),
        ("LOC", {"limit_price": 9000}, ""),
    ],
)
def test_an_order_that_waits_is_held(order_type: str, prices: dict[str, Any], held: str) -> None:
    desk = Desk()
    heard = desk.place(desk.order(order_type=order_type, **prices))
    assert told(heard) == ["openOrder PreSubmitted", f"PreSubmitted {held}".strip()]


def test_a_change_is_told_by_where_the_order_stands_then() -> None:
    desk = Desk()
    order = desk.order(**RESTING)
    desk.place(order)
    changed = desk.order(order_type="LMT", limit_price=11, quantity=20, order_id=order.order_id)
    heard = desk.place(changed)
    assert told(heard) == ["openOrder Submitted", "Submitted"]
    assert [one.remaining for one in heard if isinstance(one, OrderStatus)] == [20]
    filled = desk.place(desk.order(order_type="LMT", limit_price=9999, quantity=20, order_id=order.order_id))
    assert told(filled) == [
        "openOrder Submitted",
        "Submitted",
        "execDetails 20",
        "openOrder Filled",
        "Filled",
        "commission",
    ]


def test_the_rest_of_an_order_that_must_fill_at_once_is_cancelled_by_the_system() -> None:
    desk = Desk()
    order = desk.order(tif="IOC", **RESTING)
    assert told(desk.place(order)) == ["openOrder PreSubmitted", "PreSubmitted", "Cancelled", "202"]
    assert desk.record(order.order_id).completed_status == "Cancelled by System:\n"


def test_an_order_for_a_closed_exchange_is_held_with_a_warning() -> None:
    """399 names the order and when it will be placed, in the exchange's time."""
    night = to_ns(datetime(2026, 11, 23, 22, 0, tzinfo=NEW_YORK))
    desk = Desk(EmulatorSettings(symbols=("AAPL",), market_hours="exchange"), night)
    heard = desk.place(desk.order(**RESTING))
    assert told(heard) == ["openOrder PreSubmitted", "PreSubmitted", "399"]
    warning = heard[-1]
    assert isinstance(warning, Error)
    assert warning.text == (
        "Order Message:\nBUY 10 AAPL NASDAQ.NMS\n"
        "Warning: Your order will not be placed at the exchange until 2026-11-24 09:30:00 US/Eastern."
    )
    assert told(desk.wait(11.5 * 3600 + 1)) == ["openOrder Submitted", "Submitted"]


def test_an_order_that_outlasts_the_session_waits_for_the_next_without_another_warning() -> None:
    afternoon = to_ns(datetime(2026, 11, 23, 15, 0, tzinfo=NEW_YORK))
    desk = Desk(EmulatorSettings(symbols=("AAPL",), market_hours="exchange"), afternoon)
    desk.place(desk.order(tif="GTC", **RESTING))
    day_order = desk.order(**RESTING)
    desk.place(day_order)
    assert told(desk.wait(3600)) == ["openOrder PreSubmitted", "PreSubmitted", "Cancelled", "202"]
    assert told(desk.wait(17.5 * 3600)) == ["openOrder Submitted", "Submitted"]


def test_an_order_that_is_not_transmitted_is_kept_in_silence_until_it_is() -> None:
    desk = Desk()
    order = desk.order(transmit=False, **RESTING)
    assert desk.place(order) == []
    sent = desk.order(order_id=order.order_id, **RESTING)
    assert told(desk.place(sent)) == ["openOrder PreSubmitted", "PreSubmitted", "openOrder Submitted", "Submitted"]


def test_an_order_that_was_never_transmitted_ends_as_cancelled_by_the_api() -> None:
    desk = Desk()
    order = desk.order(transmit=False, **RESTING)
    desk.place(order)
    assert told(desk.cancel(order.order_id)) == ["ApiCancelled", "202"]


def test_a_correction_that_completes_an_order_ends_it() -> None:
    desk = Desk()
    order = desk.order(**RESTING)
    desk.place(order)
    desk.fill(order.order_id, quantity=Decimal(4))
    record = desk.record(order.order_id)
    [partial] = record.executions
    heard = desk.happened(desk.engine.correct(partial.fill.exec_id, desk.now_ns, quantity=Decimal(10)))
    assert told(heard) == ["execDetails 10", "openOrder Filled", "Filled", "commission"]
    assert (record.status, record.is_live, record.remaining) == ("Filled", False, 0)
    assert list(desk.desk.open_orders()) == []
    assert told(desk.cancel(order.order_id)) == ["10148"]


def test_a_cancel_that_comes_after_the_end_is_answered_by_how_it_ended() -> None:
    """The engine's answer is told by the client's id of the order, not by the engine's."""
    desk = Desk()
    order = desk.order()
    desk.place(order)
    [answer] = desk.happened(desk.engine.cancel(desk.record(order.order_id).perm_id, desk.now_ns))
    assert isinstance(answer, Error)
    assert (answer.req_id, answer.code) == (order.order_id, 10148)
    assert answer.text == f"OrderId {order.order_id} that needs to be cancelled cannot be cancelled, state: Filled."


def test_what_a_correction_makes_of_later_executions_is_told_to_whoever_asks() -> None:
    desk = Desk()
    desk.place(desk.order())
    desk.place(desk.order("SELL"))
    bought, sold = (desk.record(number).executions[0].fill for number in (1, 2))
    assert sold.realized_pnl is not None
    heard = desk.happened(desk.engine.correct(bought.exec_id, desk.now_ns, price=bought.price - 5))
    assert told(heard) == ["execDetails 10", "commission"]
    assert [one.realized_pnl for one in desk.desk.log.executions()] == [None, sold.realized_pnl + 50]
    [execution] = desk.record(2).executions
    assert commission_report(execution).realized_pnl == plain(sold.realized_pnl + 50)


def test_what_a_trade_earned_is_told_in_the_currency_that_the_report_names() -> None:
    """A pair with the yen gains yen; the report says USD."""
    desk = Desk()
    dollar = Contract(symbol="USD", security_type="CASH", exchange="IDEALPRO", currency="JPY")
    desk.place(desk.order(contract=dollar, quantity=100_000))
    desk.wait(3600)
    heard = desk.place(desk.order("SELL", contract=dollar, quantity=100_000))
    [report] = [one for one in heard if isinstance(one, CommissionReport)]
    yen = desk.record(2).executions[0].fill.realized_pnl
    assert yen is not None
    assert abs(yen) > 1000, "the pair has moved"
    assert report.currency == "USD"
    assert isinstance(report.realized_pnl, Decimal)
    rate = Decimal(str(desk.market.quote("USD.JPY", desk.now_ns).last))
    assert abs(report.realized_pnl - yen / rate) < Decimal("0.01")
    assert abs(report.realized_pnl - desk.engine.profits(desk.now_ns)["USD.JPY"].realized) < Decimal("0.01")


def test_the_master_client_hears_of_all_orders() -> None:
    desk = Desk()
    desk.choose(master_client_id=7)
    notices = desk.desk.place(1, desk.order(), desk.now_ns)
    assert told([notice.message for notice in notices if notice.client_id == 7]) == FILLED
    assert told([notice.message for notice in notices if notice.client_id == 1]) == FILLED
