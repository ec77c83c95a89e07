"""What trading costs: IBKR Pro, fixed pricing, in USD.

Source: IBKR's price lists ("IBKR Pro, fixed"), as of 2026. An order pays

- US stocks and ETFs: 0.005 a share, at least 1.00, at most 1 % of the trade's value; where the minimum lies above the maximum,
  the maximum is charged. Exchange and regulatory fees are left out.
- US options: 0.65 a contract at a premium of 0.10 or more, 0.50 from 0.05, 0.25 below, at least 1.00. Fees are left out.
- US futures: 0.85 a contract, micro contracts 0.25, with the exchange's and the regulator's fee of `_FUTURES`.
- Currency pairs: 0.2 basis points of the trade's value, at least 2.00.

Recorded on a paper Gateway in April 2026: one share of AAPL at 257.95 for 1.0, one MES for 0.62. The other figures were not
seen there.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from ibstream.simulation.terms import FOREX, FUTURE, OPTION, STOCK, Terms

PER_SHARE = Decimal("0.005")
MINIMUM = Decimal("1.00")
MAXIMUM_SHARE_OF_VALUE = Decimal("0.01")
OPTION_CLASSES = ((Decimal("0.10"), Decimal("0.65")), (Decimal("0.05"), Decimal("0.50")), (Decimal(0), Decimal("0.25")))
"""Lowest premium and what a contract costs from there, highest first."""
FOREX_SHARE_OF_VALUE = Decimal("0.00002")
FOREX_MINIMUM = Decimal("2.00")
_FUTURE, _MICRO = Decimal("0.85"), Decimal("0.25")
_REGULATORY = Decimal("0.02")
_FUTURES = {
    "ES": _FUTURE + Decimal("1.38"),
    "NQ": _FUTURE + Decimal("1.38"),
    "RTY": _FUTURE + Decimal("1.38"),
    "YM": _FUTURE + Decimal("1.38"),
    "CL": _FUTURE + Decimal("1.50"),
    "GC": _FUTURE + Decimal("1.60"),
    "MES": _MICRO + Decimal("0.35"),
    "MNQ": _MICRO + Decimal("0.35"),
    "MCL": _MICRO + Decimal("0.50"),
    "MGC": _MICRO + Decimal("0.50"),
}
"""IBKR's price and the exchange's fee by product, the regulatory fee not included."""
_OTHER_FUTURE = _FUTURE + Decimal("1.50")
_CENT_HUNDREDTH = Decimal("0.0001")
_SHARES = Terms(symbol="", security_type=STOCK)


def order_commission(quantity: Decimal, value: Decimal, terms: Terms = _SHARES) -> Decimal:
    """The whole commission of an order that has filled `quantity` units worth `value`, to four places.

    `value` is the sum of quantity, price and multiplier, in USD. A further fill is charged what the whole then costs more.
    """
    if terms.security_type == OPTION:
        charged = max(quantity * _per_option(value / quantity / terms.multiplier), MINIMUM)
    elif terms.security_type == FUTURE:
        charged = quantity * (_FUTURES.get(terms.root, _OTHER_FUTURE) + _REGULATORY)
    elif terms.security_type == FOREX:
        charged = max(value * FOREX_SHARE_OF_VALUE, FOREX_MINIMUM)
    else:
        charged = min(max(quantity * PER_SHARE, MINIMUM), value * MAXIMUM_SHARE_OF_VALUE)
    return charged.quantize(_CENT_HUNDREDTH, ROUND_HALF_UP)


def _per_option(premium: Decimal) -> Decimal:
    return next(price for lowest, price in OPTION_CLASSES if premium >= lowest)
