"""IBKR Pro, fixed pricing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ibstream.simulation.commission import order_commission
from ibstream.simulation.terms import terms_of


@pytest.mark.parametrize(
    ("quantity", "price", "expected"),
    [
        ("1", "257.95", "1.00"),  # as a paper Gateway charged in April 2026
        ("100", "201.94", "1.00"),
        ("1000", "25", "5.00"),
        ("1000", "0.25", "2.50"),
        ("1", "20", "0.20"),
    ],
)
def test_orders_cost_half_a_cent_a_share_within_minimum_and_maximum(quantity: str, price: str, expected: str) -> None:
    shares = Decimal(quantity)
    assert order_commission(shares, shares * Decimal(price)) == Decimal(expected)


@pytest.mark.parametrize(
    ("symbol", "quantity", "price", "expected"),
    [
        ("MESM2026", "1", "7039.5", "0.62"),  # as a paper Gateway charged in April 2026
        ("ESZ2026", "2", "6800", "4.50"),
        ("CLZ2026", "1", "65", "2.37"),
        ("AAPL  261218C00250000", "1", "3.20", "1.00"),
        ("AAPL  261218C00250000", "10", "3.20", "6.50"),
        ("AAPL  261218C00250000", "10", "0.07", "5.00"),
        ("AAPL  261218C00250000", "10", "0.03", "2.50"),
        ("EUR.USD", "20000", "1.1", "2.00"),
        ("EUR.USD", "1000000", "1.1", "22.00"),
    ],
)
def test_other_instruments_have_their_own_prices(symbol: str, quantity: str, price: str, expected: str) -> None:
    terms = terms_of(symbol)
    units = Decimal(quantity)
    assert order_commission(units, units * Decimal(price) * terms.multiplier, terms) == Decimal(expected)
