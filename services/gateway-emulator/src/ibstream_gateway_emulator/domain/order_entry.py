"""From placeOrder to a ticket of the matching engine, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import TypedDict, TypeVar

from ibstream.simulation.orders import Leg, OcaType, OrderId, OrderType, Side, Ticket, TimeInForce
from ibstream.simulation.sessions import NEW_YORK, to_ns
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code, RequestError
from ibstream_gateway_emulator.domain.order_attributes import refuse_unsupported
from ibstream_gateway_emulator.domain.order_contract import OrderContract
from ibstream_gateway_emulator.domain.times import read_moment
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

_LIMITED = frozenset(
    {
        OrderType.LIMIT,
        OrderType.STOP_LIMIT,
        OrderType.TRAIL_LIMIT,
        OrderType.LIMIT_ON_CLOSE,
        OrderType.LIMIT_IF_TOUCHED,
        OrderType.RELATIVE,
    }
)
"""The types whose limit price counts; what others carry there is ignored, as a Gateway ignores it."""
_LIMIT_OPTIONAL = frozenset({OrderType.TRAIL_LIMIT, OrderType.RELATIVE})
_WITH_AUX = frozenset(
    {
        OrderType.STOP,
        OrderType.STOP_LIMIT,
        OrderType.TRAIL,
        OrderType.TRAIL_LIMIT,
        OrderType.MARKET_IF_TOUCHED,
        OrderType.LIMIT_IF_TOUCHED,
        OrderType.RELATIVE,
    }
)
"""The types whose aux price counts."""
_OCA_TYPES: Mapping[int, OcaType] = {0: OcaType.CANCEL_WITH_BLOCK, **{int(kind): kind for kind in OcaType}}
_DATE = "%Y%m%d"
_LAST_SECOND = time(23, 59, 59)

Word = TypeVar("Word", bound=StrEnum)


class _Prices(TypedDict):
    limit_price: Decimal | None
    aux_price: Decimal | None
    trailing_percent: Decimal | None
    trail_stop_price: Decimal | None
    limit_offset: Decimal | None


class _Times(TypedDict):
    time_in_force: TimeInForce
    good_till_ns: int | None
    good_after_ns: int | None
    outside_rth: bool


class _Sizes(TypedDict):
    quantity: Decimal
    all_or_none: bool
    min_quantity: Decimal | None
    display_size: Decimal | None
    hidden: bool


def ticket_of(
    order: PlaceOrder, key: OrderId, contract: OrderContract, now_ns: int, *, parent_id: OrderId | None = None
) -> Ticket:
    """The order as a ticket under `key`, attached to the ticket `parent_id`.

    Raises `RequestError` if the emulator cannot work such an order, or a time of it cannot be read.
    """
    refuse_unsupported(order)
    kind = _word(OrderType, order.order_type, codes.UNSUPPORTED_ORDER_TYPE)
    return Ticket(
        order_id=key,
        symbol=contract.key,
        side=_word(Side, order.action, codes.rejected(f"The action {order.action!r} is neither BUY nor SELL.")),
        order_type=kind,
        **_sizes(order),
        **_prices(order, kind),
        **_times(order, now_ns),
        parent_id=parent_id,
        transmit=order.transmit,
        oca_group=order.oca_group,
        oca_type=_oca_type(order.oca_type),
        algo=order.algo_strategy,
        algo_params=order.algo_params,
        legs=_legs(order, contract),
    )


def _sizes(order: PlaceOrder) -> _Sizes:
    return {
        "quantity": order.quantity if order.quantity is not None else Decimal(0),
        "all_or_none": order.all_or_none,
        "min_quantity": Decimal(order.min_quantity) if order.min_quantity else None,
        "display_size": Decimal(order.display_size) if order.display_size else None,
        "hidden": order.hidden,
    }


def _prices(order: PlaceOrder, kind: OrderType) -> _Prices:
    is_trailing = kind in (OrderType.TRAIL, OrderType.TRAIL_LIMIT)
    return {
        "limit_price": _limit_price(order, kind),
        "aux_price": _aux_price(order, kind),
        "trailing_percent": order.trailing_percent or None if is_trailing else None,
        "trail_stop_price": order.trail_stop_price or None if is_trailing else None,
        "limit_offset": order.limit_price_offset if kind is OrderType.TRAIL_LIMIT else None,
    }


def _times(order: PlaceOrder, now_ns: int) -> _Times:
    return {
        "time_in_force": _time_in_force(order.tif),
        "good_till_ns": _good_till(order, now_ns),
        "good_after_ns": _moment(order.good_after_time, now_ns, codes.BAD_GOOD_AFTER_TIME),
        "outside_rth": order.outside_rth,
    }


def _word(words: type[Word], text: str, objection: Code) -> Word:
    try:
        return words(text)
    except ValueError:
        raise RequestError(objection) from None


def _time_in_force(tif: str) -> TimeInForce:
    return _word(TimeInForce, tif or "DAY", codes.rejected(f"The emulator does not support the time in force {tif}."))


def _limit_price(order: PlaceOrder, kind: OrderType) -> Decimal | None:
    if kind not in _LIMITED:
        return None
    # Where a limit is optional, clients write 0 for none.
    return order.limit_price or None if kind in _LIMIT_OPTIONAL else order.limit_price


def _aux_price(order: PlaceOrder, kind: OrderType) -> Decimal | None:
    if kind not in _WITH_AUX:
        return None
    # Clients write 0 for the distance of an order that trails by per cent.
    return order.aux_price if order.aux_price or not order.trailing_percent else None


def _oca_type(number: int) -> OcaType:
    if number not in _OCA_TYPES:
        raise RequestError(codes.rejected(f"The OCA type {number} is none of 1, 2 and 3."))
    return _OCA_TYPES[number]


def _good_till(order: PlaceOrder, now_ns: int) -> int | None:
    """When a GTD order ends; a date alone is the end of that day. For other orders the field says nothing."""
    if order.tif != TimeInForce.GTD:
        return None
    text = order.good_till_date.strip()
    if not text:
        raise RequestError(codes.NO_GOOD_TILL_DATE)
    if len(text) == len("20261123") and text.isdecimal():
        return _end_of_day(text)
    return _moment(text, now_ns, codes.BAD_GOOD_TILL_DATE)


def _end_of_day(text: str) -> int:
    try:
        midnight = datetime.strptime(text, _DATE).replace(tzinfo=NEW_YORK)
    except ValueError:
        raise RequestError(codes.BAD_GOOD_TILL_DATE) from None
    return to_ns(datetime.combine(midnight, _LAST_SECOND, NEW_YORK))


def _moment(text: str, now_ns: int, objection: Code) -> int | None:
    return read_moment(text, now_ns, objection=objection).time_ns if text.strip() else None


def _legs(order: PlaceOrder, contract: OrderContract) -> tuple[Leg, ...]:
    sides = [_word(Side, leg.action, codes.rejected(f"A leg's action is {leg.action!r}.")) for leg in order.legs]
    return tuple(
        Leg(symbol=found.symbol, side=side, ratio=leg.ratio, exchange=leg.exchange)
        for leg, found, side in zip(order.legs, contract.legs, sides, strict=True)
    )
