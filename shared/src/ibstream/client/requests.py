"""Order requests, made of what callers say, and checked as their reader will, so that a mistake is told to whoever made it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, TypedDict, TypeVar

from ibstream.client.decimals import Number, decimal_of, optional_decimal
from ibstream.client.errors import InvalidRequestError
from ibstream.client.instruments import instrument_of
from ibstream.contracts.base import Message, UndecodableError, encode, type_of
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Algo, AlgoName, ModifyOrder, OrderType, Side, SubmitOrder, TimeInForce
from ibstream.contracts.registry import ORDER_REQUESTS, Stream

R = TypeVar("R", bound=Message)

PRICES = ("limit_price", "stop_price", "trailing_amount", "trailing_percent", "limit_offset", "peg_offset")
"""What an order's price is found by; which of them a type needs, `OrderType` says."""


class OrderDetails(TypedDict, total=False):
    """What may be said about an order beyond instrument, side and quantity.

    Prices are in the instrument's currency, per unit. Which of them a type needs and may have, `OrderType` says.
    """

    order_type: OrderType | str
    """Default: `LMT` where `limit_price` is the only price, `MKT` where there is none; else it must be said."""
    limit_price: Number | None
    stop_price: Number | None
    """Where a stop or a touched order triggers, or a trailing stop begins."""
    trailing_amount: Number | None
    """How far behind the price a trailing stop stays."""
    trailing_percent: Number | None
    """The same in per cent: "1.5" for 1.5 %."""
    limit_offset: Number | None
    """How far beyond the stop the limit of a `TRAIL LIMIT` lies."""
    peg_offset: Number | None
    """How much more aggressive than the near touch a `REL` order is."""
    time_in_force: TimeInForce | str
    """Default `DAY`; `GTD` with `good_till`."""
    good_till: datetime | None
    """When the order ends; aware, whole seconds."""
    good_after: datetime | None
    """The order is not worked before; aware, whole seconds."""
    algo: Algo | str | None
    """One of IBKR's algorithms, or its name in words: `Adaptive:adaptivePriority=Urgent`."""
    client_order_id: str
    """The order's identity for ever. Give your own to be able to repeat a request safely; default: a new random one."""
    account: str
    """Default: the session's own."""
    outside_regular_hours: bool
    """Whether it works before and after the regular session, too. Default false."""
    valid_until: datetime | None
    """Not sent to IBKR after this time; aware. Default: `broker.order_valid_for_s` after now."""


class OrderChanges(TypedDict, total=False):
    """What may be changed on a working order. What is left out stays as it is."""

    quantity: Number | None
    """The whole quantity, what is filled already included."""
    limit_price: Number | None
    stop_price: Number | None
    trailing_amount: Number | None
    trailing_percent: Number | None
    time_in_force: TimeInForce | str | None
    """`DAY` or `IOC`; IBKR changes no other."""
    valid_until: datetime | None
    """Not sent to IBKR after this time; aware. Default: `broker.order_valid_for_s` after now."""


def order_request(
    what: str | Instrument, side: Side | str, quantity: Number, details: OrderDetails, *, strategy: str, now: datetime
) -> SubmitOrder:
    """The request for one order; raise `InvalidRequestError`."""
    said: dict[str, Any] = {**details}
    prices = {name: optional_decimal(said.pop(name, None), what=name.replace("_", " ")) for name in PRICES}
    good_till = said.get("good_till")
    request = SubmitOrder(
        **{
            **said,
            **prices,
            "client_order_id": said.get("client_order_id") or uuid.uuid4().hex,
            "strategy": strategy,
            "instrument": instrument_of(what),
            "side": side,
            "quantity": decimal_of(quantity, what="quantity"),
            "order_type": said.get("order_type") or _order_type([name for name in PRICES if prices[name] is not None]),
            "time_in_force": said.get("time_in_force") or (TimeInForce.GTD if good_till else TimeInForce.DAY),
            "algo": algo_of(said.get("algo")),
            "requested_at": now,
        }
    )
    return checked(ORDER_REQUESTS, request)


def modify_request(client_order_id: str, changes: OrderChanges, *, now: datetime) -> ModifyOrder:
    """The request to change a working order; raise `InvalidRequestError`, also where there is nothing to change."""
    said: dict[str, Any] = {**changes}
    for name in ("quantity", *PRICES):
        if name in said:
            said[name] = optional_decimal(said[name], what=name.replace("_", " "))
    if all(value is None for name, value in said.items() if name != "valid_until"):
        raise InvalidRequestError("nothing to change: give a quantity, a price or a time in force")
    return checked(ORDER_REQUESTS, ModifyOrder(client_order_id=client_order_id, requested_at=now, **said))


def algo_of(what: Algo | str | None) -> Algo | None:
    """An `Algo` as it is; words as the algo they name: `Vwap:maxPctVol=0.1,noTakeLiq=1`. Raises `InvalidRequestError`."""
    if not isinstance(what, str):
        return what
    name, _, rest = what.partition(":")
    if name not in set(AlgoName):
        raise InvalidRequestError(f"{name!r} is no algorithm; there are {', '.join(AlgoName)}")
    parameters = {}
    for pair in rest.split(",") if rest else []:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise InvalidRequestError(f"{pair!r} is no parameter of an algorithm; one is said as KEY=VALUE")
        parameters[key] = value
    return Algo(name=AlgoName(name), parameters=parameters)


def checked(stream: Stream, request: R) -> R:
    """`request` as `stream`'s reader will decode it; raise `InvalidRequestError`, naming the field, if it could not."""
    tag = type_of(request)
    try:
        read = stream.codec().decode(tag.encode(), encode(request))
    except UndecodableError as error:
        raise InvalidRequestError(f"{tag} would not be understood: {error}") from None
    assert isinstance(read, type(request))  # noqa: S101 - the tag is its own
    return read


def _order_type(given: list[str]) -> OrderType:
    if not given:
        return OrderType.MARKET
    if given == ["limit_price"]:
        return OrderType.LIMIT
    raise InvalidRequestError(f"with {', '.join(given)}, the order_type must be said: {', '.join(OrderType)}")
