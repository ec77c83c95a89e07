"""From an order as the broker sends it to a ticket of the matching engine."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import OcaType, OrderType, SubmitOrder, TimeInForce
from ibstream.simulation import orders as sim
from ibstream.simulation.sessions import to_ns
from ibstream_broker.adapters.simulated_instruments import Found
from ibstream_broker.ports import Placement

_TYPES = {one: sim.OrderType(one.value) for one in OrderType}
_TIFS = {one: sim.TimeInForce(one.value) for one in TimeInForce}
_OCA_TYPES = {
    OcaType.CANCEL: sim.OcaType.CANCEL_WITH_BLOCK,
    OcaType.REDUCE: sim.OcaType.REDUCE_WITH_BLOCK,
    OcaType.REDUCE_WITHOUT_BLOCK: sim.OcaType.REDUCE_WITHOUT_BLOCK,
}
LIMITED = frozenset(
    {
        OrderType.LIMIT,
        OrderType.STOP_LIMIT,
        OrderType.LIMIT_ON_CLOSE,
        OrderType.LIMIT_IF_TOUCHED,
        OrderType.RELATIVE,
    }
)
"""The types whose `limit_price` counts."""
STOPPED = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED})
"""The types whose `stop_price` stands still."""
TRAILING = frozenset({OrderType.TRAIL, OrderType.TRAIL_LIMIT})
WAITING_FOR_A_PRICE = STOPPED | TRAILING


def ticket_of(placement: Placement, found: Found) -> sim.Ticket:
    """The whole order as a ticket. What an order type has no use for is left out, as a Gateway ignores it."""
    request = placement.request
    kind = request.order_type
    ticket = sim.Ticket(
        order_id=placement.order_id,
        symbol=found.key,
        side=request.side,
        quantity=request.quantity,
        order_type=_TYPES[kind],
        limit_price=request.limit_price if kind in LIMITED else None,
        time_in_force=_TIFS[request.time_in_force],
        outside_rth=request.outside_regular_hours,
        parent_id=placement.parent_id or None,
        transmit=placement.transmit,
        oca_group=placement.oca_group,
        oca_type=_OCA_TYPES[placement.oca_type],
        legs=found.legs,
    )
    return ticket if _is_plain(request) else _with_the_rest(ticket, request)


def _is_plain(request: SubmitOrder) -> bool:
    """Whether it is one of the many orders that are only a type, a limit and a day."""
    return (
        (request.order_type is OrderType.LIMIT or request.order_type is OrderType.MARKET)
        and request.algo is None
        and request.good_till is None
        and request.good_after is None
    )


def _with_the_rest(ticket: sim.Ticket, request: SubmitOrder) -> sim.Ticket:
    is_trailing = request.order_type in TRAILING
    is_good_till = request.time_in_force is TimeInForce.GTD
    algo = request.algo
    return msgspec.structs.replace(
        ticket,
        aux_price=_aux_price(request),
        trailing_percent=request.trailing_percent if is_trailing else None,
        trail_stop_price=request.stop_price if is_trailing else None,
        limit_offset=request.limit_offset if request.order_type is OrderType.TRAIL_LIMIT else None,
        good_till_ns=_time_ns(request.good_till) if is_good_till else None,
        good_after_ns=_time_ns(request.good_after),
        algo="" if algo is None else algo.name.value,
        algo_params={} if algo is None else dict(algo.parameters),
    )


def _aux_price(request: SubmitOrder) -> Decimal | None:
    """IBKR's one field for a stop, a trigger, a distance and an offset."""
    if request.order_type in STOPPED:
        return request.stop_price
    if request.order_type in TRAILING:
        return request.trailing_amount
    return request.peg_offset if request.order_type is OrderType.RELATIVE else None


def _time_ns(moment: datetime | None) -> int | None:
    return None if moment is None else to_ns(moment)
