"""IBKR Pro, fixed pricing for US stocks."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibstream.simulation.commission import fill_commission, order_commission


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


@settings(deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6), st.decimals("0.10", "900", places=2))
def test_the_commissions_of_the_fills_add_up_to_the_orders(parts: list[int], price: Decimal) -> None:
    filled = value = total = Decimal(0)
    for part in parts:
        total += fill_commission(filled, value, Decimal(part), part * price)
        filled, value = filled + part, value + part * price
    assert total == order_commission(filled, value)
