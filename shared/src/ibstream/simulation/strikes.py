"""Strikes and contract ids of options.

All options share one ladder of strikes, finer where prices are low. An option's contract id is its place: the number of its
underlying in the instrument master, its week, its right and its rung on the ladder, in 30 bits above `FIRST_OPTION_ID`. Any
id is understood without a list of options.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date, timedelta
from decimal import Decimal

from ibstream.simulation.expiries import expiry_of_week, is_option_expiry

_STEPS = (("1", 50), ("2.5", 200), ("5", 500), ("10", 1000), ("25", 3000), ("50", 8000), ("200", 30_400))
"""Distance of two strikes, up to a strike."""
_RUNG_BITS, _WEEK_BITS, _UNDERLYING_BITS = 9, 10, 10
_FIRST_FRIDAY = date(2020, 1, 3)
UNDERLYINGS_MAX = 1 << _UNDERLYING_BITS
"""So many underlyings can be told apart."""

FIRST_OPTION_ID = 1 << (_RUNG_BITS + 1 + _WEEK_BITS + _UNDERLYING_BITS)
"""Contract ids from here up to 2^31 are options'; all others are smaller."""


def _ladder() -> tuple[Decimal, ...]:
    strikes, strike = [], Decimal(0)
    for step, until in _STEPS:
        while strike < until:
            strike += Decimal(step)
            strikes.append(strike)
    return tuple(strikes)


LADDER = _ladder()
"""Every strike, 1 to 30,400."""


def strikes_around(price: float | None, *, low: float = 0.5, high: float = 1.6) -> tuple[Decimal, ...]:
    """The strikes between `low` and `high` times a price; the whole ladder without a price."""
    if price is None:
        return LADDER
    return LADDER[bisect_left(LADDER, Decimal(price * low)) : bisect_right(LADDER, Decimal(price * high))]


def option_id(underlying: int, expiry: date, strike: Decimal, right: str) -> int | None:
    """The contract id; None for a day or a strike on which there are no options."""
    rung = bisect_left(LADDER, strike)
    week = (expiry - _FIRST_FRIDAY).days // 7 + (expiry.weekday() != _FIRST_FRIDAY.weekday())
    on_ladder = rung < len(LADDER) and LADDER[rung] == strike
    if not on_ladder or not 0 <= week < 1 << _WEEK_BITS or not is_option_expiry(expiry):
        return None
    place = ((underlying << _WEEK_BITS | week) << 1 | (right == "P")) << _RUNG_BITS | rung
    return FIRST_OPTION_ID + place


def option_of(con_id: int) -> tuple[int, date, Decimal, str] | None:
    """Underlying's number, expiry, strike and right of an option's contract id; None for an id that is no option's."""
    if not FIRST_OPTION_ID <= con_id < 2 * FIRST_OPTION_ID:
        return None
    rest, rung = divmod(con_id - FIRST_OPTION_ID, 1 << _RUNG_BITS)
    rest, is_put = divmod(rest, 2)
    underlying, week = divmod(rest, 1 << _WEEK_BITS)
    expiry = expiry_of_week(_FIRST_FRIDAY + timedelta(weeks=week))
    return underlying, expiry, LADDER[rung], "P" if is_put else "C"
