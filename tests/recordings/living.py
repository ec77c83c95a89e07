"""The time before a recording, lived through by a stand-in to which nobody is connected yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec

from ibstream.runtime.clock import ManualClock
from ibstream_gateway_emulator.faults import acts, verbs
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.messages import Error
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from recordings.past import PastFill, PastOrder

_BY_TRADER = "Cancelled by Trader"
_BY_SYSTEM = "Cancelled by System:"


class ImpossiblePastError(Exception):
    """An order of the time before that the stand-in does not take. The text says which, and why."""


def live_through(gateway: Gateway, clock: ManualClock, past: list[PastOrder]) -> None:
    """Let everything happen at its time. Raises `ImpossiblePastError`."""
    events: list[tuple[datetime, Callable[[], None]]] = []
    for one in past:
        events.append((one.placed, partial(_place, gateway, one)))
        events += [(fill.at, partial(_fill, gateway, one, fill)) for fill in one.fills]
        if one.ended is not None and one.filled != one.order.quantity:
            events.append((one.ended, partial(_cancel, gateway, one)))
    for at, happen in sorted(events, key=lambda event: event[0]):
        clock.advance(max((at - clock.now()).total_seconds(), 0))
        happen()


def _place(gateway: Gateway, past: PastOrder) -> None:
    order = _with_parent_alive(gateway, past)
    gateway.orders.start_ids_at(past.client_id, order.order_id)
    told = gateway.orders.place(past.client_id, order, gateway.now_ns())
    if gateway.orders.records.of_client(past.client_id, order.order_id) is None:
        said = "; ".join(one.message.text for one in told if isinstance(one.message, Error))
        raise ImpossiblePastError(f"order {order.order_id} of client {past.client_id}: {said}")


def _with_parent_alive(gateway: Gateway, past: PastOrder) -> PlaceOrder:
    """The order, without the parent that the recording does not tell of."""
    parent_id = past.order.parent_id
    if not parent_id or gateway.orders.records.of_client(past.client_id, parent_id) is not None:
        return past.order
    return msgspec.structs.replace(past.order, attributes={**past.order.attributes, "parentId": 0})


def _fill(gateway: Gateway, past: PastOrder, fill: PastFill) -> None:
    if _works(gateway, past):
        client_id, order_id = past.client_id, past.order.order_id
        filled = verbs.Fill(client_id=client_id, order_id=order_id, quantity=fill.quantity, price=fill.price)
        acts.command(gateway, filled)


def _cancel(gateway: Gateway, past: PastOrder) -> None:
    if not _works(gateway, past):
        raise ImpossiblePastError(f"order {past.order.order_id} of client {past.client_id} did not live to its end")
    if past.why.startswith(_BY_TRADER):
        gateway.orders.cancel(past.client_id, past.order.order_id, gateway.now_ns())
        return
    text = past.why.removeprefix(_BY_SYSTEM).strip()
    acts.command(gateway, verbs.CancelOrder(client_id=past.client_id, order_id=past.order.order_id, text=text))


def _works(gateway: Gateway, past: PastOrder) -> bool:
    """Whether the order still works; a market order fills as soon as it is placed."""
    record = gateway.orders.records.of_client(past.client_id, past.order.order_id)
    return record is not None and record.is_live
