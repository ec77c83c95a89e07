"""What IBKR checks before it takes an order, with its codes and, where they are known, its texts."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from ibstream.simulation.algos import AlgoError
from ibstream.simulation.algos import check as check_algo
from ibstream.simulation.orders import OrderType, Ticket, TimeInForce
from ibstream.simulation.schedule import ON_CLOSE
from ibstream.simulation.terms import INDEX, STOCK, parts_of, terms_for, terms_of
from ibstream.simulation.triggers import LIMITED, TRAILING, TRIGGERED
from ibstream.simulation.view import exact


class Objection(NamedTuple):
    """A reason not to take an order."""

    code: int
    text: str


def rejected(reason: str) -> Objection:
    """IBKR's rejection with a reason in words."""
    return Objection(201, f"Order rejected - reason:{reason}")


DUPLICATE_ORDER_ID = Objection(103, "Duplicate order id")
DOES_NOT_MATCH = Objection(105, "Order being modified does not match original order.")
OFF_TICK = Objection(110, "The price does not conform to the minimum price variation for this contract.")
TIF_AND_TYPE = Objection(111, "The TIF (Tif type) and the order type are incompatible.")
TIF_ON_CLOSE = Objection(113, "The Tif option should be set to DAY for MOC and LOC orders.")
NO_PARENT = Objection(10006, "Missing parent order.")
TRAILING_TERMS = Objection(158, "A trailing order needs either a trailing amount or a trailing percent above zero.")
NO_LIMIT_PRICE = rejected("A limit order needs a limit price above zero.")
NO_AUX_PRICE = rejected("A stop or if-touched order needs an aux price above zero.")
INSUFFICIENT_FUNDS = rejected(
    "We are unable to accept your order. Your Available Funds are insufficient to cover the initial margin of this order."
)
NO_GOOD_TILL = rejected("A GTD order needs a good-till date in the future.")
GROUP_DONE = rejected("The one-cancels-all group of this order has filled already.")
BELOW_FILLED = rejected("The order size is below the quantity already filled.")
EXPIRED = rejected("The contract has expired.")
NOT_TRADABLE = Objection(203, "The security is not available or allowed for this account.")
TYPE_CHANGE = Objection(329, "Order modify failed. Cannot change to the new order type.")
UNKNOWN_TYPE = Objection(387, "Unsupported order type for this exchange and security type.")
ZERO_SIZE = Objection(434, "The order size cannot be zero.")
ALGO_CHANGE = Objection(440, "The order cannot be modified. Algorithm cannot be modified.")
OFF_SIZE = rejected("The size does not conform to the size increment of this contract.")
FRACTIONAL_SIZE = Objection(
    10243, "Fractional-sized order cannot be placed via API. Please use desktop version to place this order."
)
CANNOT_FILL = rejected("There is no such order at work, or the quantity exceeds what remains of it.")
"""For fills by command; no Gateway says so."""
NO_EXECUTION = rejected("There is no such execution to correct, or the quantity does not fit its order.")
"""For corrections by command; no Gateway says so."""
_TYPES = frozenset(OrderType)
_TIFS = frozenset(TimeInForce)
_AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
_COMBO_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})
_OPENING_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})


def not_found(order_id: object) -> Objection:
    """A cancel of an order that does not exist."""
    return Objection(10147, f"OrderId {order_id} that needs to be cancelled is not found.")


def no_such_order(order_id: object) -> Objection:
    """A change of an order that does not exist, or a child of one that has ended."""
    return Objection(135, f"Can't find order with id ={order_id}")


def objection_to(ticket: Ticket, now_ns: int = 0) -> Objection | None:
    """What is wrong with a ticket in itself, at `now_ns`."""
    return (
        _objection_to_instrument(ticket, now_ns)
        or _objection_to_size(ticket)
        or _objection_to_time(ticket, now_ns)
        or _objection_to_prices(ticket)
        or _objection_to_algo(ticket, now_ns)
    )


def objection_to_change(old: Ticket, new: Ticket, filled: Decimal, now_ns: int) -> Objection | None:
    """What is wrong with `new` in the place of `old`: only prices, size, times and transmission may change."""
    if new.order_type != old.order_type:
        return TYPE_CHANGE
    if new.algo != old.algo or new.algo_params != old.algo_params:
        return ALGO_CHANGE
    if _identity(old) != _identity(new) or (old.transmit and not new.transmit):
        return DOES_NOT_MATCH
    if old.time_in_force != new.time_in_force and TimeInForce.OPG in (old.time_in_force, new.time_in_force):
        return DOES_NOT_MATCH
    if new.quantity <= filled:
        return objection_to(new, now_ns) or BELOW_FILLED
    return objection_to(new, now_ns)


def to_price(price: float, symbol: str) -> Decimal:
    """A quoted price as an exact decimal, with the places of the instrument's tick."""
    return exact(price, terms_of(symbol).min_tick)


def _identity(ticket: Ticket) -> tuple[object, ...]:
    return (ticket.order_id, ticket.symbol, ticket.side, ticket.legs, ticket.parent_id, ticket.oca_group)


def _objection_to_instrument(ticket: Ticket, now_ns: int) -> Objection | None:
    if ticket.order_type not in _TYPES or ticket.time_in_force not in _TIFS:
        return UNKNOWN_TYPE
    if ticket.legs and (ticket.order_type not in _COMBO_TYPES or ticket.time_in_force == TimeInForce.OPG):
        return UNKNOWN_TYPE
    if any(leg.ratio < 1 for leg in ticket.legs):
        return NOT_TRADABLE
    traded = parts_of(ticket)
    if any(one.security_type == INDEX for one in traded):
        return NOT_TRADABLE
    return EXPIRED if any(one.ends_ns is not None and one.ends_ns <= now_ns for one in traded) else None


def _objection_to_size(ticket: Ticket) -> Objection | None:
    quantity = ticket.quantity
    if not quantity.is_finite() or quantity <= 0:
        return ZERO_SIZE
    terms = terms_for(ticket)
    if terms.security_type == STOCK and quantity % terms.size_increment:
        return FRACTIONAL_SIZE
    if quantity < terms.size_min:
        return Objection(388, f"Order size {quantity} is smaller than the minimum required size of {terms.size_min}.")
    return OFF_SIZE if quantity % terms.size_increment else None


def _objection_to_time(ticket: Ticket, now_ns: int) -> Objection | None:
    tif = ticket.time_in_force
    if ticket.order_type in ON_CLOSE and tif != TimeInForce.DAY:
        return TIF_ON_CLOSE
    if tif == TimeInForce.OPG and ticket.order_type not in _OPENING_TYPES:
        return TIF_AND_TYPE
    if tif in _AT_ONCE and (ticket.order_type in TRIGGERED or ticket.order_type == OrderType.RELATIVE or ticket.algo):
        return TIF_AND_TYPE
    if tif == TimeInForce.GTD and (ticket.good_till_ns is None or ticket.good_till_ns <= now_ns):
        return NO_GOOD_TILL
    return None


def _objection_to_prices(ticket: Ticket) -> Objection | None:
    kind = ticket.order_type
    if kind in TRAILING:
        return _objection_to_trail(ticket)
    if kind in LIMITED and not _is_price(ticket.limit_price, ticket):
        return NO_LIMIT_PRICE
    if kind in TRIGGERED and not _is_price(ticket.aux_price, ticket):
        return NO_AUX_PRICE
    used: tuple[Decimal | None, ...] = ()
    if kind in LIMITED:
        used = (ticket.limit_price,)
    if kind in TRIGGERED or kind == OrderType.RELATIVE:
        used = (*used, ticket.aux_price)
    if kind == OrderType.RELATIVE:
        used = (*used, ticket.limit_price)
    return _off_tick(ticket, used)


def _objection_to_trail(ticket: Ticket) -> Objection | None:
    distances = [one for one in (ticket.aux_price, ticket.trailing_percent) if one is not None]
    if len(distances) != 1 or not distances[0].is_finite() or distances[0] <= 0:
        return TRAILING_TERMS
    used = [ticket.aux_price, ticket.trail_stop_price]
    if ticket.order_type == OrderType.TRAIL_LIMIT:
        if ticket.limit_offset is None and (ticket.limit_price is None or ticket.trail_stop_price is None):
            return NO_LIMIT_PRICE
        used += [ticket.limit_offset, ticket.limit_price]
    return _off_tick(ticket, used)


def _is_price(price: Decimal | None, ticket: Ticket) -> bool:
    # What a combo costs net may be nothing, or less.
    return price is not None and price.is_finite() and (price > 0 or bool(ticket.legs))


def _off_tick(ticket: Ticket, prices: tuple[Decimal | None, ...] | list[Decimal | None]) -> Objection | None:
    terms = terms_for(ticket)
    fits = (lambda price: not price % terms.min_tick) if ticket.legs else terms.is_on_tick
    told = [price for price in prices if price is not None]
    return None if all(price.is_finite() and fits(price) for price in told) else OFF_TICK


def _objection_to_algo(ticket: Ticket, now_ns: int) -> Objection | None:
    if not ticket.algo:
        return None
    try:
        check_algo(ticket, now_ns)
    except AlgoError as error:
        return Objection(error.code, str(error))
    return None
