"""What an order's placement or change must agree with: its parent, and what it was when it was placed."""

from __future__ import annotations

import msgspec

from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.order_contract import OrderContract
from ibstream_gateway_emulator.domain.order_record import OrderRecord
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder


def parent_of(order: PlaceOrder, named: OrderRecord | None) -> OrderRecord | None:
    """The order that a new one is attached to, None for none; `named` is what its client knows under the parent's id.

    Raises `RequestError`: 10006 for a parent that was never placed, 135 for one that has ended, filled or not.
    """
    if not order.parent_id:
        return None
    if named is None:
        raise RequestError(codes.MISSING_PARENT)
    if not named.is_live:
        raise RequestError(codes.parent_ended(order.parent_id))
    return named


def in_own_words(record: OrderRecord, order: PlaceOrder) -> PlaceOrder:
    """A change in the words in which the order was placed.

    openOrder names the group of a bracket's children after their parent, and a client that changes a child sends that back.
    """
    if record.parent is None or order.oca_group != str(record.parent.perm_id):
        return order
    placed = record.placed
    attributes = order.attributes | {"ocaGroup": placed.oca_group, "ocaType": placed.oca_type}
    return msgspec.structs.replace(order, attributes=attributes)


def refuse_other_order(record: OrderRecord, order: PlaceOrder, contract: OrderContract) -> None:
    """A change may touch prices, size and times alone: `RequestError` with 329, 105 or 10326 for all else.

    A child whose parent has filled may be changed with and without its parent's id.
    """
    placed = record.placed
    if order.order_type != placed.order_type:
        raise RequestError(codes.TYPE_CHANGE)
    if order.oca_group != placed.oca_group:
        raise RequestError(codes.OCA_REVISION)
    is_same = (
        contract.key == record.contract.key
        and order.legs == placed.legs
        and order.action == placed.action
        and order.parent_id in (0, placed.parent_id)
    )
    if not is_same:
        raise RequestError(codes.DOES_NOT_MATCH)
