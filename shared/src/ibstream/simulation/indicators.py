"""Volatilities and the fee for borrowing: yearly figures that wander slowly, of the same seed as the prices.

They are lines between one value per UTC day. So a bar needs its ends and the midnights inside it, and bars of all sizes agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ibstream.simulation.bars import Kind, Window
from ibstream.simulation.hashing import signed_unit, splitmix64
from ibstream.simulation.pricing import TRADING_DAYS
from ibstream.simulation.shapes import Shape
from ibstream.simulation.tree import DURATIONS_NS

INDICATORS: tuple[Kind, ...] = ("HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", "FEE_RATE")

_DAY_NS = DURATIONS_NS[0]
_RANGE = 0.15
"""By what part the figures leave their mean."""
_IMPLIED_PREMIUM = 1.1
_FEE_MIN, _FEE_MAX = 0.25, 3.0
"""Yearly fee for borrowing, in percent."""


def indicator_bar(shape: Shape, what: Kind, windows: tuple[Window, ...]) -> tuple[float, float, float, float]:
    """Open, high, low and close of an indicator over the windows."""
    mean = _mean(shape, what)
    values = [mean * (1 + _RANGE * _noise(shape.key ^ INDICATORS.index(what), at)) for at in _moments(windows)]
    return tuple(round(value, 6) for value in (values[0], max(values), min(values), values[-1]))  # type: ignore[return-value]


def _moments(windows: tuple[Window, ...]) -> Iterator[int]:
    """The ends of the windows and all midnights between them."""
    for start_ns, end_ns in windows:
        yield start_ns
        yield from range(start_ns - start_ns % _DAY_NS + _DAY_NS, end_ns, _DAY_NS)
        yield end_ns - 1


def _mean(shape: Shape, what: Kind) -> float:
    if what == "FEE_RATE":
        return _FEE_MIN + (_FEE_MAX - _FEE_MIN) * (splitmix64(shape.key) & 0xFF) / 255
    yearly = shape.daily_volatility * math.sqrt(TRADING_DAYS)
    return yearly * _IMPLIED_PREMIUM if what == "OPTION_IMPLIED_VOLATILITY" else yearly


def _noise(key: int, time_ns: int) -> float:
    day, offset = divmod(time_ns, _DAY_NS)
    left, right = (signed_unit(splitmix64(key ^ splitmix64(one)), 0) for one in (day, day + 1))
    return left + (right - left) * offset / _DAY_NS
