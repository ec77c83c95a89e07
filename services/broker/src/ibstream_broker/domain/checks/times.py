"""When an order works and ends, and how long a request is worth sending."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from ibstream.contracts.orders import OrderType, Reason, SubmitOrder, TimeInForce
from ibstream_broker.domain.refusal import Refusal

AHEAD_MAX = timedelta(days=3660)
"""Ten years: a date beyond is taken for a mistake."""

ON_CLOSE = frozenset({OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE})
AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
"""What does not fill at once ends."""

_OPENING_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})
_AT_ONCE_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})
"""The others wait: for a price, or pegged to one."""


class Timed(Protocol):
    """Every request whose time runs out."""

    @property
    def requested_at(self) -> datetime:
        """When it was asked for."""
        ...

    @property
    def valid_until(self) -> datetime | None:
        """When it is no longer wanted."""
        ...


def expiry_of(request: Timed, valid_for: timedelta) -> datetime:
    """When a request is no longer to be sent: its `valid_until`, else `valid_for` after `requested_at`."""
    if request.valid_until is not None:
        return request.valid_until
    try:
        return request.requested_at + valid_for
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def expired(request: Timed, *, now: datetime, valid_for: timedelta) -> Refusal | None:
    """Its time has not run out, and the clock it was written by does not run ahead, which would make it valid for longer."""
    if request.requested_at - now > valid_for:
        text = f"requested_at {request.requested_at.isoformat()} lies in the future; set the clock it was written by"
        return Refusal(Reason.INVALID_TIME, text)
    return check_expiry(expiry_of(request, valid_for), now=now)


def check_expiry(until: datetime, *, now: datetime) -> Refusal | None:
    """The time of what is wanted until then has not run out."""
    if now <= until:
        return None
    text = f"valid until {until.isoformat()}, and it is {now.isoformat()}: ask again if it is still wanted"
    return Refusal(Reason.EXPIRED, text)


def check_time_in_force(request: SubmitOrder) -> Refusal | None:
    """Order type, time in force and hours go together. Source: IBKR's codes 111, 113, 351 and 411."""
    kind, tif = request.order_type, request.time_in_force
    if kind in ON_CLOSE and tif is not TimeInForce.DAY:
        return Refusal(Reason.INVALID_ORDER, f"a {kind} order is DAY only, not {tif}")
    if tif is TimeInForce.OPG and kind not in _OPENING_TYPES:
        return Refusal(Reason.INVALID_ORDER, f"the opening auction (OPG) takes MKT and LMT, not {kind}")
    if tif in AT_ONCE and kind not in _AT_ONCE_TYPES:
        return Refusal(
            Reason.INVALID_ORDER, f"a {kind} order waits for a price, and {tif} does not wait: use DAY or GTC"
        )
    if request.outside_regular_hours and (kind in ON_CLOSE or tif is TimeInForce.OPG):
        text = f"a {tif if tif is TimeInForce.OPG else kind} order trades in an auction of the regular session: leave "
        return Refusal(Reason.INVALID_ORDER, f"{text}outside_regular_hours out")
    return None


def check_dates(request: SubmitOrder, *, now: datetime) -> Refusal | None:
    """`good_till` with GTD and only there, in the future; both dates in whole seconds, which is what IBKR knows."""
    till, after = request.good_till, request.good_after
    if (till is None) is (request.time_in_force is TimeInForce.GTD):
        text = "a GTD order needs good_till" if till is None else "good_till goes with time in force GTD alone"
        return Refusal(Reason.INVALID_TIME, text)
    for name, date in (("good_till", till), ("good_after", after)):
        refusal = None if date is None else _check_date(name, date, now)
        if refusal is not None:
            return refusal
    if till is not None and till <= now:
        return Refusal(Reason.INVALID_TIME, f"good_till {till.isoformat()} is past")
    if till is not None and after is not None and till <= after:
        return Refusal(Reason.INVALID_TIME, "good_till is not after good_after: it would never work")
    return None


def _check_date(name: str, date: datetime, now: datetime) -> Refusal | None:
    if date.microsecond:
        return Refusal(
            Reason.INVALID_TIME, f"{name} {date.isoformat()} has a fraction; IBKR knows whole seconds: round it"
        )
    if date - now > AHEAD_MAX:
        return Refusal(Reason.INVALID_TIME, f"{name} {date.isoformat()} is more than {AHEAD_MAX.days} days ahead")
    return None
