"""What a trade of US stocks costs: IBKR Pro, fixed pricing.

Source: IBKR's price list for US stocks and ETFs, "IBKR Pro fixed": 0.005 USD a share, at least 1.00 USD an order, at most
1 % of the trade's value; where the minimum lies above the maximum, the maximum is charged. Exchange and regulatory fees are
left out. A paper fill of one share of AAPL at 257.95, recorded in April 2026, was charged 1.0.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

PER_SHARE = Decimal("0.005")
MINIMUM = Decimal("1.00")
MAXIMUM_SHARE_OF_VALUE = Decimal("0.01")
_CENT_HUNDREDTH = Decimal("0.0001")


def order_commission(quantity: Decimal, value: Decimal) -> Decimal:
    """The whole commission of an order that has filled `quantity` shares worth `value` USD, in USD to four places."""
    charged = max(quantity * PER_SHARE, MINIMUM)
    return min(charged, value * MAXIMUM_SHARE_OF_VALUE).quantize(_CENT_HUNDREDTH, ROUND_HALF_UP)


def fill_commission(filled_before: Decimal, value_before: Decimal, quantity: Decimal, value: Decimal) -> Decimal:
    """The part of the order's commission that falls on a further fill, so that the parts add up to the whole."""
    before = order_commission(filled_before, value_before) if filled_before else Decimal(0)
    return order_commission(filled_before + quantity, value_before + value) - before
