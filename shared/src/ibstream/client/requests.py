"""Requests are checked here as their reader will check them, so that a mistake is told to whoever made it."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TypedDict, TypeVar, get_args

from ibstream.client.errors import InvalidRequestError
from ibstream.contracts.base import Message, UndecodableError, encode, type_of
from ibstream.contracts.data import BarSize, BarsRequest, WhatToShow
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import OrderType, Side, SubmitOrder, TimeInForce
from ibstream.contracts.registry import DATA_REQUESTS, ORDER_REQUESTS, Stream

Number = Decimal | int | str
"""An exact number. Floats are not taken: 0.1 is not a tenth; write "0.1"."""

R = TypeVar("R", bound=Message)


class OrderDetails(TypedDict, total=False):
    """What may be said about an order beyond instrument, side and quantity."""

    limit_price: Number | None
    """In the instrument's currency. With it the order is a limit order, without it a market order."""
    time_in_force: TimeInForce | str
    """Default `DAY`."""
    client_order_id: str
    """The order's identity for ever. Give your own to be able to repeat a request safely; default: a new random one."""
    account: str
    """Default: the session's own."""
    outside_regular_hours: bool
    valid_until: datetime | None
    """Not sent to IBKR after this time. Default: `broker.order_valid_for_s` after now."""


class BarsDetails(TypedDict, total=False):
    """What may be said about a bar job beyond the instrument. Sizes and durations are in IBKR's spelling."""

    bar_size: BarSize | str
    """Default `1 min`."""
    duration: str
    """How far back from `end`: `2 D`. Default `1 D`."""
    end: datetime | None
    """Default: now."""
    what_to_show: WhatToShow | str
    """Default `TRADES`."""
    regular_hours_only: bool
    """Default true."""
    job_id: str
    """Default: a new random one."""


def order_request(
    what: str | Instrument, side: Side | str, quantity: Number, details: OrderDetails, *, strategy: str, now: datetime
) -> SubmitOrder:
    """The request for one order; raise `InvalidRequestError`."""
    limit_price = optional_decimal(details.get("limit_price"), what="limit price")
    request = SubmitOrder(
        client_order_id=details.get("client_order_id") or uuid.uuid4().hex,
        strategy=strategy,
        instrument=instrument_of(what),
        side=side,  # type: ignore[arg-type]  # checked below, as its reader will
        quantity=decimal_of(quantity, what="quantity"),
        order_type=OrderType.MARKET if limit_price is None else OrderType.LIMIT,
        limit_price=limit_price,
        time_in_force=details.get("time_in_force", TimeInForce.DAY),  # type: ignore[arg-type]
        outside_regular_hours=details.get("outside_regular_hours", False),
        account=details.get("account", ""),
        requested_at=now,
        valid_until=details.get("valid_until"),
    )
    return checked(ORDER_REQUESTS, request)


def bars_request(what: str | Instrument, details: BarsDetails, *, now: datetime) -> BarsRequest:
    """The request for one bar job; raise `InvalidRequestError`."""
    size = details.get("bar_size", "1 min")
    if size not in get_args(BarSize):
        raise InvalidRequestError(f"bar_size {size!r} is none of IBKR's: {', '.join(get_args(BarSize))}")
    request = BarsRequest(
        job_id=details.get("job_id") or uuid.uuid4().hex,
        instrument=instrument_of(what),
        bar_size=size,  # type: ignore[arg-type]  # checked below, as its reader will
        duration=details.get("duration", "1 D"),
        end=details.get("end"),
        what_to_show=details.get("what_to_show", "TRADES"),  # type: ignore[arg-type]
        regular_hours_only=details.get("regular_hours_only", True),
        requested_at=now,
    )
    return checked(DATA_REQUESTS, request)


def checked(stream: Stream, request: R) -> R:
    """`request`, if `stream`'s reader will be able to decode it; else raise `InvalidRequestError` naming the field."""
    tag = type_of(request)
    try:
        stream.codec().decode(tag.encode(), encode(request))
    except UndecodableError as error:
        raise InvalidRequestError(f"{tag} would not be understood: {error}") from None
    return request


def instrument_of(what: str | Instrument) -> Instrument:
    """A symbol in canonical form (`BRK.B`) as the US stock of that name; an `Instrument` as it is."""
    return Instrument(symbol=what) if isinstance(what, str) else what


def decimal_of(value: Number, *, what: str) -> Decimal:
    """A quantity or price, exact; raise `InvalidRequestError` for anything else."""
    if isinstance(value, float):
        raise InvalidRequestError(
            f'{what} {value!r} is a float, which is not exact: write Decimal("{value}") or "{value}"'
        )
    try:
        number = value if isinstance(value, Decimal) else Decimal(value)
    except (InvalidOperation, ValueError):
        raise InvalidRequestError(f"{what} {value!r} is no decimal number") from None
    if not number.is_finite():
        raise InvalidRequestError(f"{what} {value!r} is no finite number")
    return number


def optional_decimal(value: Number | None, *, what: str) -> Decimal | None:
    """`decimal_of`, None staying None."""
    return None if value is None else decimal_of(value, what=what)
