"""What is refused before anything is journalled, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.broker.stories import NOW, Story, executed, sent, submit, working

from ibstream.contracts.orders import OrderStatus, OrderType, Reason
from ibstream.contracts.system import ConnectionState, Halt
from ibstream_broker.domain.gate import Refusal, check_account, check_modify, check_price_tick, gate, validate

VALID_FOR = timedelta(seconds=30)
CENT = Decimal("0.01")


def refused(**details: object) -> Refusal | None:
    """What `validate` says to an order with these details."""
    return validate(submit(**details), now=NOW, valid_for=VALID_FOR)


def test_a_sound_order_passes() -> None:
    """Limit and market."""
    assert refused() is None
    assert refused(order_type=OrderType.MARKET, limit_price=None) is None


@pytest.mark.parametrize(
    "quantity", ["0", "-0", "-1", "-1e999999", "NaN", "sNaN", "Infinity", "-Infinity", "0.5", "100.000001", "1e-999999",
                 "1000001", "1e999999", "9" * 5000, "-" + "9" * 5000],
)  # fmt: skip
def test_a_quantity_that_is_no_number_of_shares_is_refused(quantity: str) -> None:
    """Whatever it is, in a sentence that fits the contract's text."""
    refusal = refused(quantity=Decimal(quantity))
    assert refusal is not None
    assert refusal.reason is Reason.INVALID_QUANTITY
    assert len(refusal.text) < 200


@pytest.mark.parametrize("quantity", ["1", "1e2", "100.0", "1000000", "1E+6"])
def test_whole_quantities_pass_however_they_are_written(quantity: str) -> None:
    """`1e2` is a hundred."""
    assert refused(quantity=Decimal(quantity)) is None


@pytest.mark.parametrize(
    "price", [None, "0", "-0.01", "NaN", "sNaN", "Infinity", "-Infinity", "1e999999", "-1e999999", "1e-999999",
              "0.000001", "10000000.01", "-" + "9" * 5000],
)  # fmt: skip
def test_a_limit_price_that_is_no_price_is_refused(price: str | None) -> None:
    """Missing, not positive, not finite, or beyond all measure."""
    refusal = refused(limit_price=None if price is None else Decimal(price))
    assert refusal is not None
    assert refusal.reason is Reason.INVALID_PRICE
    assert len(refusal.text) < 200


def test_a_market_order_with_a_limit_price_is_refused() -> None:
    """One of the two is a mistake, and nobody can say which."""
    refusal = refused(order_type=OrderType.MARKET)
    assert refusal is not None
    assert refusal.reason is Reason.INVALID_PRICE


@given(st.decimals(allow_nan=True, allow_infinity=True), st.decimals(allow_nan=True, allow_infinity=True))
def test_no_number_gets_past_the_gate_that_cannot_be_sent_exactly(quantity: Decimal, price: Decimal) -> None:
    """What passes is whole, on the tick, and the same after the way through IBKR's floats."""
    request = submit(quantity=quantity, limit_price=price)
    if validate(request, now=NOW, valid_for=VALID_FOR) is None and check_price_tick(price, CENT) is None:
        assert int(quantity) == quantity
        assert Decimal(str(float(price))) == price


@pytest.mark.parametrize(
    ("price", "tick", "passes"),
    [
        ("50.00", "0.01", True),
        ("50.005", "0.01", False),
        ("50.005", "0.005", True),
        ("50.05", "0.05", True),
        ("50.07", "0.05", False),
        ("50.0000000000000000000000000000000000001", "0.01", False),
        ("9999999.9999", "0.0001", True),
        ("50.123", "0", True),
        (None, "0.01", True),
    ],
)
def test_prices_stand_on_the_tick(price: str | None, tick: str, passes: bool) -> None:
    """Exactly, without floats; a tick that is not known refuses nothing."""
    refusal = check_price_tick(None if price is None else Decimal(price), Decimal(tick))
    assert (refusal is None) is passes
    assert passes or (refusal is not None and refusal.reason is Reason.INVALID_PRICE)


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"requested_at": NOW - VALID_FOR}, None),
        ({"requested_at": NOW - VALID_FOR - timedelta(microseconds=1)}, Reason.EXPIRED),
        ({"valid_until": NOW}, None),
        ({"valid_until": NOW - timedelta(microseconds=1)}, Reason.EXPIRED),
        ({"requested_at": NOW - timedelta(days=1), "valid_until": NOW + timedelta(days=1)}, None),
        ({"requested_at": NOW + VALID_FOR}, None),
        ({"requested_at": NOW + VALID_FOR + timedelta(microseconds=1)}, Reason.INVALID_TIME),
        ({"requested_at": datetime.max.replace(tzinfo=UTC)}, Reason.INVALID_TIME),
        ({"requested_at": datetime.min.replace(tzinfo=UTC)}, Reason.EXPIRED),
        ({"valid_until": datetime.max.replace(tzinfo=UTC)}, None),
        ({"valid_until": datetime.min.replace(tzinfo=UTC)}, Reason.EXPIRED),
    ],
)
def test_orders_have_their_time(details: dict[str, datetime], reason: Reason | None) -> None:
    """Not after it has run out; and not by a clock that is wrong, which would make them valid for ever."""
    refusal = refused(**details)
    assert (refusal.reason if refusal is not None else None) == reason


@pytest.mark.parametrize("state", list(ConnectionState))
def test_only_a_ready_session_lets_orders_pass(state: ConnectionState) -> None:
    """Every other state has its reason."""
    refusal = gate(state, "because")
    if state is ConnectionState.READY:
        assert refusal is None
        return
    assert refusal is not None
    expected = {ConnectionState.DEGRADED: Reason.LINK_LOST, ConnectionState.SYNCHRONISING: Reason.RECONCILING}
    assert refusal.reason is expected.get(state, Reason.GATEWAY_DISCONNECTED)
    assert refusal.text.endswith(": because")


def test_a_halt_refuses_before_anything_else() -> None:
    """With who and why."""
    refusal = gate(ConnectionState.READY, "", Halt(who="ops", why="drill", at=NOW))
    assert refusal == Refusal(Reason.HALTED, "halted by ops: drill")


def test_one_session_trades_one_account() -> None:
    """Its own may be named or left out."""
    assert check_account("", "DU1") is None
    assert check_account("DU1", "DU1") is None
    refusal = check_account("U2", "DU1")
    assert refusal is not None
    assert refusal.reason is Reason.INVALID_ACCOUNT


@pytest.mark.parametrize("status", list(OrderStatus))
def test_only_an_order_that_is_known_to_work_is_changed(status: OrderStatus) -> None:
    """IBKR would take the change of an order that never arrived for a new one."""
    refusal = check_modify(msgspec.structs.replace(working(), status=status), submit())
    reasons = {
        OrderStatus.SUBMITTED: None,
        OrderStatus.PARTIALLY_FILLED: None,
        OrderStatus.PENDING_SUBMIT: Reason.NO_ANSWER,
        OrderStatus.UNKNOWN: Reason.NO_ANSWER,
        OrderStatus.PENDING_CANCEL: Reason.CANCEL_REQUESTED,
    }
    assert (refusal.reason if refusal else None) == reasons.get(status, Reason.ORDER_IS_FINAL)


def test_an_order_without_a_permanent_id_is_not_changed() -> None:
    """Whatever its status says."""
    refusal = check_modify(sent(status=OrderStatus.SUBMITTED), submit())
    assert refusal is not None
    assert refusal.reason is Reason.NO_ANSWER


@pytest.mark.parametrize(("quantity", "passes"), [(39, False), (40, False), (41, True), (100, True)])
def test_a_quantity_below_what_is_filled_is_refused(quantity: int, passes: bool) -> None:
    """Nothing would be left to change."""
    record = Story(working()).take(executed(1, 40)).record
    refusal = check_modify(record, submit(quantity=Decimal(quantity)))
    assert (refusal is None) is passes
    assert passes or (refusal is not None and refusal.reason is Reason.INVALID_QUANTITY)
