"""What a request for bars must look like, and what a Gateway says to one that does not.

Sources: IBKR's tables of bar sizes, durations and valid step sizes; the texts of 162, 321, 10295, 10299, 10314 and 10339 as
reported from real Gateways. The order of the checks is that of a Gateway: end, duration, bar size, kind, date format, live
updates, schedule.
"""

from __future__ import annotations

import re
from typing import cast

import msgspec

from ibstream.contracts.data import BarSize
from ibstream.simulation.bars import BAR_SIZES, seconds_of
from ibstream.simulation.instruments import Listing
from ibstream.simulation.periods import Unit
from ibstream_gateway_emulator.domain import codes, contracts
from ibstream_gateway_emulator.domain.codes import Code, RequestError
from ibstream_gateway_emulator.domain.times import EPOCH_SECONDS
from ibstream_gateway_emulator.protocol.requests import ReqHistoricalData

SECONDS_PER_DAY = 86_400
SCHEDULE, ADJUSTED_LAST = "SCHEDULE", "ADJUSTED_LAST"

_WITH_BOOK = frozenset({"MIDPOINT", "BID", "ASK", "BID_ASK"})
_KINDS: dict[str, frozenset[str]] = {
    "STK": _WITH_BOOK
    | {"TRADES", ADJUSTED_LAST, "HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", "FEE_RATE", SCHEDULE},
    "CASH": _WITH_BOOK | {SCHEDULE},
    "FUT": _WITH_BOOK | {"TRADES", SCHEDULE},
    "OPT": _WITH_BOOK | {"TRADES", SCHEDULE},
    "IND": frozenset({"TRADES", "HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", SCHEDULE}),
}
"""The kinds of data there are, by type of instrument; of other kinds a query returns no data."""
_KNOWN_KINDS = frozenset().union(
    *_KINDS.values(),
    (
        "YIELD_BID",
        "YIELD_ASK",
        "YIELD_BID_ASK",
        "YIELD_LAST",
        "YIELD_MARK",
        "NAV_LAST",
        "INDICATIVE_AUCTION_PRICE_SIZE",
    ),
)
_LIVE_KINDS = frozenset({"TRADES", "MIDPOINT", "BID", "ASK"})
_DURATION = re.compile(r"(\d{1,9}) ([SDWMY])")
_COUNT_MAX = 2**31 - 1
_SECONDS_MIN = 30
_TOO_LONG: dict[str, tuple[int, str]] = {
    "S": (86_400, "Historical data request for greater than 86400 seconds rejected."),
    "D": (365, "Historical data requests for durations longer than 365 days must be made in years."),
    "W": (52, "Historical data request for durations longer than 52 weeks must be made in years."),
    "M": (12, "Historical data request for durations longer than 12 months must be made in years."),
    "Y": (68, "Historical data request for 68 years and more rejected."),
}
_SMALLEST_BAR_S = {"S": 1, "D": 5, "W": 10, "M": 30, "Y": 60}
_LONGEST_OF_ONE_SECOND_BARS_S = 2_000
_OTHER_NAMES = {"1w": "1 week", "1 w": "1 week", "1m": "1 month", "1 m": "1 month"}
_LEGAL_SIZES = ", ".join([*BAR_SIZES[:-2], "1W", "1M"])
_DATE_FORMATS = (1, EPOCH_SECONDS)


class Span(msgspec.Struct, frozen=True):
    """A duration, understood."""

    count: int
    unit: Unit


class Shape(msgspec.Struct, frozen=True):
    """What a request asks for, whatever the instrument and the time."""

    span: Span
    bar_size: BarSize
    bar_s: int
    """Seconds in a bar; bars of a day and more count as a day."""


def shape_of(request: ReqHistoricalData) -> Shape:
    """The request's duration and bars. Raises `RequestError` with what a Gateway says if it makes no sense."""
    span = duration(request.duration)
    adjusted = request.what_to_show.upper() == ADJUSTED_LAST
    if adjusted and request.end.strip():
        raise _refused("End date not supported with adjusted last")
    size = bar_size(request.bar_size)
    if adjusted and size in ("1 week", "1 month"):
        raise _refused("Multi day bar size not supported with adjusted last")
    if request.format_date not in _DATE_FORMATS:
        raise _refused(f"Date formatting selection of {request.format_date} rejected.")
    _check_live(request)
    bar_s = seconds_of(size) or SECONDS_PER_DAY
    _check_step(span, bar_s)
    return Shape(span, size, bar_s)


def kind_of(request: ReqHistoricalData, found: Listing) -> str:
    """The kind of data asked for. Raises `RequestError` for one there is not, or not of this instrument."""
    what = request.what_to_show.upper()
    if what == "AGGTRADES":
        raise RequestError(codes.TRADES_EXPECTED)
    if what not in _KNOWN_KINDS:
        raise _refused("Invalid source price")
    if what == SCHEDULE and request.bar_size != "1 day":
        raise RequestError(codes.DAILY_SCHEDULE_ONLY)
    if request.contract.security_type == contracts.CONTINUOUS and request.end.strip():
        raise RequestError(codes.NO_END_OF_CONTINUOUS)
    if what not in _KINDS[found.security_type]:
        raise RequestError(no_data(found, what))
    return what


def duration(text: str) -> Span:
    """A duration: `1 D`, units in either case; a bare number is seconds. Raises `RequestError` with 321 for anything else."""
    if not text:
        raise _refused("Historical data request duration not specified.")
    found = _DURATION.fullmatch((f"{text} S" if text.isdecimal() else text).upper())
    if found is None:
        raise _refused(
            "When specifying a unit, historical data request duration format is integer{SPACE}unit (S|D|W|M|Y)."
        )
    count, unit = int(found[1]), cast("Unit", found[2])
    if count > _COUNT_MAX or count < (_SECONDS_MIN if unit == "S" else 1):
        raise _refused("Historical data requested duration is invalid.")
    longest, why = _TOO_LONG[unit]
    if count > longest:
        raise _refused(why)
    return Span(count, unit)


def bar_size(text: str) -> BarSize:
    """A bar size in IBKR's spelling, in either case. Raises `RequestError` with 321 for one there is not."""
    lower = text.lower()
    size = _OTHER_NAMES.get(lower, lower)
    if size not in BAR_SIZES:
        raise _refused(f"Historical data bar size setting is invalid. Legal ones are: {_LEGAL_SIZES}")
    return size


def no_data(found: Listing, what: str) -> Code:
    """What a query without a result is answered with."""
    return codes.no_data(found.local_symbol, what, found.exchange)


def _check_live(request: ReqHistoricalData) -> None:
    if not request.keep_up_to_date:
        return
    if request.end.strip():
        raise _refused("End date not supported with live updates")
    if request.what_to_show.upper() not in _LIVE_KINDS:
        raise _refused("Source price not supported with live updates")


def _check_step(span: Span, bar_s: int) -> None:
    if bar_s < _SMALLEST_BAR_S[span.unit]:
        raise RequestError(codes.invalid_step(bar_s))
    if bar_s == 1 and span.count > _LONGEST_OF_ONE_SECOND_BARS_S:
        raise RequestError(codes.too_long())


def _refused(cause: str) -> RequestError:
    return RequestError(codes.invalid(cause))
