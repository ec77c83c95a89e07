"""What an option is worth at a volatility, and at which volatility it is worth a price, by the market's own model."""

from __future__ import annotations

from decimal import Decimal

from ibstream.simulation import pricing
from ibstream.simulation.instruments import Listing
from ibstream.simulation.quotes import Greeks
from ibstream.simulation.tree import NS_PER_S, SECONDS_PER_DAY
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.protocol.messages import TickOptionComputation

CALCULATION = 53
"""The tick type of an answer."""
UNKNOWN, UNKNOWN_GREEK = -1.0, -2.0
VOLATILITY_MAX = Decimal(8)
"""Beyond 800 % nothing is computed."""
_FROM_PRICES = 1
_HALF_A_DAY = 0.5
_EPOCH_ORDINAL = 719_163
"""1970-01-01 as `date.toordinal` counts."""


def price_at(
    req_id: int, option: Listing, volatility: Decimal, under_price: Decimal, now_ns: int
) -> TickOptionComputation:
    """Price and greeks at a volatility. Raises `RequestError` with 321 for numbers that cannot be."""
    years = _years(option, now_ns)
    if not 0 < volatility <= VOLATILITY_MAX or under_price <= 0:
        raise RequestError(codes.invalid("Volatility and underlying price must be above zero"))
    spot, strike = float(under_price), float(option.strike)
    return _message(req_id, pricing.greeks(spot, strike, years, float(volatility), put=option.right == "P"))


def volatility_at(
    req_id: int, option: Listing, price: Decimal, under_price: Decimal, now_ns: int
) -> TickOptionComputation:
    """The volatility that gives a price, and greeks at it; unknown where none does. Raises `RequestError` with 321."""
    years = _years(option, now_ns)
    if price <= 0 or under_price <= 0:
        raise RequestError(codes.invalid("Option price and underlying price must be above zero"))
    spot, strike, put = float(under_price), float(option.strike), option.right == "P"
    volatility = pricing.implied_volatility(float(price), spot, strike, years, put=put)
    if volatility is not None:
        return _message(req_id, pricing.greeks(spot, strike, years, volatility, put=put))
    return _message(
        req_id, Greeks(UNKNOWN, UNKNOWN_GREEK, float(price), UNKNOWN, UNKNOWN_GREEK, UNKNOWN_GREEK, UNKNOWN_GREEK, spot)
    )


def _message(req_id: int, greeks: Greeks) -> TickOptionComputation:
    return TickOptionComputation(
        req_id,
        CALCULATION,
        _FROM_PRICES,
        greeks.implied_volatility,
        greeks.delta,
        greeks.price,
        greeks.pv_dividend,
        greeks.gamma,
        greeks.vega,
        greeks.theta,
        greeks.under_price,
    )


def _years(option: Listing, now_ns: int) -> float:
    """Time to expiry as the market counts it: whole UTC days and half of the last."""
    if option.security_type != "OPT" or option.expiry is None:
        raise RequestError(codes.invalid("The contract is not an option"))
    today = now_ns // (SECONDS_PER_DAY * NS_PER_S)
    days = option.expiry.toordinal() - _EPOCH_ORDINAL - today
    if days < 0:
        raise RequestError(codes.UNKNOWN_CONTRACT)
    return (days + _HALF_A_DAY) / pricing.DAYS_PER_YEAR
