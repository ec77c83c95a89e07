"""Orders in IBKR's form. Everything an order says, it says itself: what is left out the Gateway's presets would decide.

Source: IBKR's API documentation of its order types; where ib_async 2.1.0 puts each field on the wire.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from ibstream.contracts.orders import OcaType, OrderType, SubmitOrder
from ibstream_broker.ports import Placement

if TYPE_CHECKING:
    from ib_async import Order

LIMITED = frozenset(
    {
        OrderType.LIMIT,
        OrderType.STOP_LIMIT,
        OrderType.LIMIT_IF_TOUCHED,
        OrderType.LIMIT_ON_CLOSE,
        OrderType.RELATIVE,
    }
)
"""The types whose `lmtPrice` is the request's limit, or a relative order's cap."""

TRIGGERED = frozenset(
    {
        OrderType.STOP,
        OrderType.STOP_LIMIT,
        OrderType.MARKET_IF_TOUCHED,
        OrderType.LIMIT_IF_TOUCHED,
    }
)
"""The types whose `auxPrice` is the price that they wait for."""

TRAILING = frozenset({OrderType.TRAIL, OrderType.TRAIL_LIMIT})
"""The types whose stop moves: `auxPrice` is its distance, `trailStopPrice` where it begins or stands."""

OCA_TYPES = {OcaType.CANCEL: 1, OcaType.REDUCE: 2, OcaType.REDUCE_WITHOUT_BLOCK: 3}

_UTC_DASH = "%Y%m%d-%H:%M:%S"
"""The one form of a time that IBKR reads without a zone; the dash says UTC."""


def ib_order(placement: Placement) -> Order:
    """IBKR's form of an order: its terms, its links to other orders, its account and its id."""
    from ib_async import Order

    request = placement.request
    order = Order(
        orderId=placement.order_id,
        action=request.side.value,
        totalQuantity=_quantity(request.quantity),
        orderType=request.order_type.value,
        account=placement.account,
        orderRef=request.client_order_id,
        outsideRth=request.outside_regular_hours,
        parentId=placement.parent_id,
        ocaGroup=placement.oca_group,
        ocaType=OCA_TYPES[placement.oca_type] if placement.oca_group else 0,
        transmit=placement.transmit,
    )
    _say_prices(order, request)
    _say_times(order, request)
    _say_algo(order, request)
    return order


def what_if_order(placement: Placement) -> Order:
    """The same as a question. It stands alone: one that refers to others, or is not to be transmitted, is refused (135, 413)."""
    order = ib_order(placement)
    order.whatIf, order.transmit = True, True
    order.parentId, order.ocaGroup, order.ocaType = 0, "", 0
    return order


def _quantity(quantity: Decimal) -> float:
    """Whole numbers without a decimal point: IBKR takes `100.0` shares for an attempt at a fraction."""
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)


def _say_prices(order: Order, request: SubmitOrder) -> None:
    """What a type does not use stays unset, whatever the request says: some fields mean different things to different types."""
    kind = request.order_type
    if kind in LIMITED and request.limit_price is not None:
        order.lmtPrice = float(request.limit_price)
    if kind in TRIGGERED and request.stop_price is not None:
        order.auxPrice = float(request.stop_price)
    if kind is OrderType.RELATIVE and request.peg_offset is not None:
        order.auxPrice = float(request.peg_offset)
    if kind in TRAILING:
        _say_trail(order, request)


def _say_trail(order: Order, request: SubmitOrder) -> None:
    """A distance by amount or by per cent: both are said where both were asked for, and IBKR refuses them (158)."""
    if request.trailing_amount is not None:
        order.auxPrice = float(request.trailing_amount)
    if request.trailing_percent is not None:
        order.trailingPercent = float(request.trailing_percent)
    if request.stop_price is not None:
        order.trailStopPrice = float(request.stop_price)
    if request.order_type is OrderType.TRAIL_LIMIT and request.limit_offset is not None:
        order.lmtPriceOffset = float(request.limit_offset)


def _say_times(order: Order, request: SubmitOrder) -> None:
    order.tif = request.time_in_force.value
    if request.good_till is not None:
        order.goodTillDate = _utc(request.good_till)
    if request.good_after is not None:
        order.goodAfterTime = _utc(request.good_after)


def _say_algo(order: Order, request: SubmitOrder) -> None:
    from ib_async import TagValue

    if request.algo is not None:
        order.algoStrategy = request.algo.name.value
        order.algoParams = [TagValue(tag, value) for tag, value in request.algo.parameters.items()]


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_UTC_DASH)
