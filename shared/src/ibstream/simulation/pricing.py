"""Option prices by Black and Scholes, without interest and dividends.

With neither, an option is never worth exercising early, so one formula serves American and European ones. The volatility
smiles: it depends on the strike, not on where the underlying stands, so that a price only rises or only falls with it.
"""

from __future__ import annotations

import math

from ibstream.simulation.quotes import Greeks

TRADING_DAYS = 252
DAYS_PER_YEAR = 365.0

_PREMIUM = 1.1
"""Implied over realised volatility."""
_SKEW, _SMILE = -0.25, 0.30
_SMILE_MIN, _SMILE_MAX = 0.7, 1.6
_VOLATILITY_MAX = 8.0
"""An implied volatility beyond 800 % is not looked for."""
_BISECTIONS = 40
_SQRT_2, _SQRT_2_PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)


def smile(daily_volatility: float, strike: float, typical: float) -> float:
    """Yearly implied volatility of a strike, where the underlying's price typically is about `typical`."""
    distance = math.log(strike / typical)
    factor = 1.0 + _SKEW * distance + _SMILE * distance * distance
    return daily_volatility * math.sqrt(TRADING_DAYS) * _PREMIUM * min(max(factor, _SMILE_MIN), _SMILE_MAX)


def value(spot: float, strike: float, years: float, volatility: float, *, put: bool) -> float:
    """The theoretical price; `years` and `volatility` are above zero."""
    deviation = volatility * math.sqrt(years)
    d1 = math.log(spot / strike) / deviation + deviation / 2
    call = spot * _normal(d1) - strike * _normal(d1 - deviation)
    return call - spot + strike if put else call


def greeks(spot: float, strike: float, years: float, volatility: float, *, put: bool) -> Greeks:
    """Price and sensitivities at a volatility."""
    deviation = volatility * math.sqrt(years)
    d1 = math.log(spot / strike) / deviation + deviation / 2
    density = math.exp(-d1 * d1 / 2) / _SQRT_2_PI
    return Greeks(
        implied_volatility=volatility,
        delta=_normal(d1) - put,
        price=value(spot, strike, years, volatility, put=put),
        pv_dividend=0.0,
        gamma=density / (spot * deviation),
        vega=spot * density * math.sqrt(years) / 100,
        theta=-spot * density * volatility / (2 * math.sqrt(years)) / DAYS_PER_YEAR,
        under_price=spot,
    )


def implied_volatility(price: float, spot: float, strike: float, years: float, *, put: bool) -> float | None:
    """The volatility at which the theoretical price is `price`; None where there is none, as below the intrinsic value."""
    low, high = 1e-6, _VOLATILITY_MAX
    if not value(spot, strike, years, low, put=put) < price < value(spot, strike, years, high, put=put):
        return None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if value(spot, strike, years, middle, put=put) < price:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _normal(x: float) -> float:
    """The standard normal distribution."""
    return math.erfc(-x / _SQRT_2) / 2
