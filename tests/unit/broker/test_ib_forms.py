"""What goes to ib_async and what comes from it: exact numbers, and nothing left to the Gateway's presets."""

from __future__ import annotations

from decimal import Decimal

import pytest
from unit.broker.stories import submit

from ibstream.contracts.orders import OrderType, Side, TimeInForce
from ibstream_broker.adapters.ibkr import _decimal, _order


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (0.1, "0.1"),
        (0.07, "0.07"),
        (100.0, "100"),
        (-20.0, "-20"),
        (49.99, "49.99"),
        (1e29, "100000000000000000000000000000"),
        (Decimal("12.50"), "12.50"),
    ],
)
def test_numbers_are_taken_as_they_were_written(value: float | Decimal, exact: str) -> None:
    """Through their shortest text: 0.1 is 0.1, and 100.0 is 100."""
    assert str(_decimal(value)) == exact


@pytest.mark.parametrize("value", [None, 1.7976931348623157e308, float("inf"), float("nan")])
def test_what_ibkr_leaves_unset_is_none(value: float | None) -> None:
    """And never zero, which would be an amount."""
    assert _decimal(value) is None


def test_an_order_says_everything_itself() -> None:
    """Time in force and account too: left out, the Gateway's presets would decide, and 10349 would follow."""
    order = _order(41, submit(side=Side.SELL, time_in_force=TimeInForce.GTC, outside_regular_hours=True), "DU1")
    expected = {
        "orderId": 41,
        "action": "SELL",
        "totalQuantity": 100,
        "orderType": "LMT",
        "lmtPrice": 50.0,
        "tif": "GTC",
        "account": "DU1",
        "orderRef": "s-1",
        "outsideRth": True,
        "transmit": True,
    }
    assert {name: getattr(order, name) for name in expected} == expected


def test_a_market_order_has_no_price() -> None:
    """The field stays unset on the wire."""
    order = _order(41, submit(order_type=OrderType.MARKET, limit_price=None, quantity=Decimal("1E+2")), "DU1")
    assert (order.orderType, order.totalQuantity) == ("MKT", 100)
    assert _decimal(order.lmtPrice) is None
