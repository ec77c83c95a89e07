"""Quantities and prices by themselves: present where they are needed, absent where they mean nothing, within all measure."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from ibstream.contracts.instrument import SecurityType
from ibstream.contracts.orders import OrderType, Reason, SubmitOrder
from ibstream_broker.domain.refusal import Refusal, shown

QUANTITY_MAX = Decimal(1_000_000)
"""A quantity beyond this is taken for a mistake."""

PAIR_QUANTITY_MAX = Decimal(100_000_000)
"""The same of a currency pair, whose unit is one of money."""

PRICE_MIN = Decimal("0.00001")
"""A price below this is on no instrument's tick."""

PRICE_MAX = Decimal(10_000_000)
"""A price beyond this is taken for a mistake."""

DISTANCE_MIN = Decimal("0.0000001")
"""Smaller steps between two prices has no instrument."""

PERCENT_MAX = Decimal("99.999999")
"""A stop cannot trail by the whole price."""

DIGITS_MAX = 15
"""IBKR's numbers are binary ones of 64 bits: so many decimal digits come through as they were."""

PRICES = ("limit_price", "stop_price", "trailing_amount", "trailing_percent", "limit_offset", "peg_offset")
"""Everything of a submit that is a price, a distance between prices, or a per cent of one."""

TRAILING = frozenset({OrderType.TRAIL, OrderType.TRAIL_LIMIT})


class Prices(NamedTuple):
    """Which prices an order type needs, and which it may have besides."""

    needed: frozenset[str]
    allowed: frozenset[str] = frozenset()


_DISTANCES = frozenset({"trailing_amount", "trailing_percent"})
PRICES_OF = {
    OrderType.MARKET: Prices(frozenset()),
    OrderType.LIMIT: Prices(frozenset({"limit_price"})),
    OrderType.STOP: Prices(frozenset({"stop_price"})),
    OrderType.STOP_LIMIT: Prices(frozenset({"stop_price", "limit_price"})),
    OrderType.TRAIL: Prices(frozenset(), _DISTANCES | {"stop_price"}),
    OrderType.TRAIL_LIMIT: Prices(frozenset({"stop_price", "limit_offset"}), _DISTANCES),
    OrderType.MARKET_IF_TOUCHED: Prices(frozenset({"stop_price"})),
    OrderType.LIMIT_IF_TOUCHED: Prices(frozenset({"stop_price", "limit_price"})),
    OrderType.MARKET_ON_CLOSE: Prices(frozenset()),
    OrderType.LIMIT_ON_CLOSE: Prices(frozenset({"limit_price"})),
    OrderType.RELATIVE: Prices(frozenset({"peg_offset"}), frozenset({"limit_price"})),
}
"""By order type; of the two distances a trailing order has exactly one. Source: `OrderType`'s own words."""


class _Range(NamedTuple):
    least: Decimal
    most: Decimal


_PRICE = _Range(PRICE_MIN, PRICE_MAX)
_COMBO_PRICE = _Range(-PRICE_MAX, PRICE_MAX)
_DISTANCE = _Range(DISTANCE_MIN, PRICE_MAX)
_RANGES = {
    "limit_price": _PRICE,
    "stop_price": _PRICE,
    "strike": _PRICE,
    "trailing_amount": _DISTANCE,
    "trailing_percent": _Range(DISTANCE_MIN, PERCENT_MAX),
    "limit_offset": _DISTANCE,
    "peg_offset": _Range(Decimal(0), PRICE_MAX),
}


def check_quantity(quantity: Decimal, security_type: SecurityType = "STK") -> Refusal | None:
    """Positive, whole, and no slip of the keyboard."""
    most = PAIR_QUANTITY_MAX if security_type == "CASH" else QUANTITY_MAX
    if not quantity.is_finite() or quantity <= 0:
        return Refusal(Reason.INVALID_QUANTITY, f"quantity {shown(quantity)} is not positive")
    if quantity > most:
        return Refusal(Reason.INVALID_QUANTITY, f"quantity {shown(quantity)} is beyond {most}; ask for it in parts")
    if quantity != quantity.to_integral_value():
        text = f"quantity {shown(quantity)} is not whole; IBKR takes no fractions over its API: round it"
        return Refusal(Reason.INVALID_QUANTITY, text)
    return None


def check_prices(request: SubmitOrder) -> Refusal | None:
    """Those that the order type needs, no others, each one a price."""
    kind, prices = request.order_type, PRICES_OF[request.order_type]
    is_combo = request.instrument.security_type == "BAG"
    for name in PRICES:
        value: Decimal | None = getattr(request, name)
        if value is None:
            if name in prices.needed:
                return Refusal(Reason.INVALID_PRICE, f"a {kind} order needs {name}")
        elif name not in prices.needed and name not in prices.allowed:
            return Refusal(Reason.INVALID_PRICE, f"a {kind} order has no {name}: leave it out, or name another type")
        elif (refusal := check_price(name, value, is_combo=is_combo)) is not None:
            return refusal
    if kind in TRAILING and (request.trailing_amount is None) is (request.trailing_percent is None):
        text = f"a {kind} order trails by either trailing_amount or trailing_percent: give one of them"
        return Refusal(Reason.INVALID_PRICE, text)
    return None


def check_price(name: str, value: Decimal, *, is_combo: bool) -> Refusal | None:
    """One of `PRICES`, or a `strike`, by itself; a combo's own prices may be zero or negative."""
    least, most = _COMBO_PRICE if is_combo and _RANGES[name] is _PRICE else _RANGES[name]
    if not value.is_finite():
        return Refusal(Reason.INVALID_PRICE, f"{name} {shown(value)} is no number")
    if not least <= value <= most:
        text = f"{name} {shown(value)} is not within {least:f} and {most:f}"
        return Refusal(Reason.INVALID_PRICE, text)
    if _digits(value) > DIGITS_MAX:
        text = f"{name} {shown(value)} has more than {DIGITS_MAX} digits, which IBKR's numbers do not carry: round it"
        return Refusal(Reason.INVALID_PRICE, text)
    return None


def _digits(value: Decimal) -> int:
    """Significant ones. `Decimal.normalize` would round a long number first."""
    return len("".join(map(str, value.as_tuple().digits)).strip("0"))
