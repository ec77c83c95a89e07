"""From placeOrder to a ticket of the matching engine, or the reason why not."""

from __future__ import annotations

from decimal import Decimal

from ibstream.contracts.orders import OrderType, Side, TimeInForce
from ibstream.simulation.instruments import Listing
from ibstream.simulation.orders import OrderId, Ticket
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code, RequestError
from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX, INTEGER_MAX
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

_REFUSED = (
    "secIdType", "ocaGroup", "parentId", "blockOrder", "sweepToFill", "displaySize", "hidden", "discretionaryAmt",
    "goodAfterTime", "goodTillDate", "faGroup", "faMethod", "faPercentage", "faProfile", "modelCode", "shortSaleSlot",
    "allOrNone", "minQty", "percentOffset", "startingPrice", "stockRefPrice", "deltaNeutralOrderType", "trailStopPrice",
    "trailingPercent", "scaleInitLevelSize", "scalePriceIncrement", "scaleTable", "activeStartTime", "hedgeType", "notHeld",
    "deltaNeutralContract", "algoStrategy", "conditions", "adjustedOrderType", "cashQty", "duration", "postToAts",
    "minTradeQty",
)  # fmt: skip
"""Attributes that would change what the order does and are not supported."""
_UNSET = frozenset({"", "0", "0.0", "None", DOUBLE_MAX, INTEGER_MAX})


def ticket_of(order: PlaceOrder, key: OrderId, listing: Listing) -> Ticket:
    """The order as a ticket under `key`. Raises `RequestError` if the emulator cannot work such an order."""
    refuse_attributes(order)
    return Ticket(
        order_id=key,
        symbol=listing.symbol,
        side=_side(order.action),
        quantity=order.quantity if order.quantity is not None else Decimal(0),
        order_type=_order_type(order.order_type),
        limit_price=order.limit_price if order.order_type == OrderType.LIMIT else None,
        time_in_force=_time_in_force(order.tif),
    )


def refuse_attributes(order: PlaceOrder) -> None:
    """Raise `RequestError` for an attribute that is set and would silently be ignored otherwise."""
    for name in _REFUSED:
        if order.attributes.get(name, "") not in _UNSET:
            raise RequestError(_attribute(name))
    if order.attributes["transmit"] != "1":
        raise RequestError(_attribute("transmit=0"))


def _attribute(name: str) -> Code:
    return codes.rejected(f"The emulator does not support the order attribute {name}.")


def _side(action: str) -> Side:
    try:
        return Side(action)
    except ValueError:
        raise RequestError(codes.rejected(f"The action {action!r} is neither BUY nor SELL.")) from None


def _order_type(order_type: str) -> OrderType:
    try:
        return OrderType(order_type)
    except ValueError:
        raise RequestError(codes.UNSUPPORTED_ORDER_TYPE) from None


def _time_in_force(tif: str) -> TimeInForce:
    try:
        return TimeInForce(tif or "DAY")
    except ValueError:
        raise RequestError(codes.rejected(f"The time in force {tif!r} is not DAY, GTC or IOC.")) from None
