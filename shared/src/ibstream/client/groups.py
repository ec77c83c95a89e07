"""Orders that hang together: brackets and one-cancels-all groups."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from ibstream.client.decimals import Number, optional_decimal
from ibstream.client.errors import InvalidRequestError
from ibstream.client.requests import OrderDetails, checked, order_request
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import GroupKind, OcaType, OrderType, Side, SubmitGroup, SubmitOrder, TimeInForce
from ibstream.contracts.registry import ORDER_REQUESTS

GROUP_ID_CHARACTERS = 24
"""Of a random group id: enough to be the only one, and short enough for the ids of its orders to begin with it."""


class Exits(TypedDict, total=False):
    """How a bracket leaves the position that its entry opened; prices in the instrument's currency, one at least."""

    take_profit: Number | None
    """Limit price of the exit that takes the profit."""
    stop_loss: Number | None
    """Stop price of the exit that ends the loss: a market order from there on."""
    stop_loss_limit: Number | None
    """With it, a limit order instead, which may not fill."""
    exit_time_in_force: TimeInForce | str
    """Default `GTC`: an exit that ends with the session leaves the position without it."""


class BracketDetails(OrderDetails, Exits, total=False):
    """The entry's details, its exits, and the id of the whole."""

    group_id: str
    """Default: a new random one. The orders are `<group_id>:entry`, `:profit` and `:stop`."""


def bracket_request(
    what: str | Instrument, side: Side | str, quantity: Number, details: BracketDetails, *, strategy: str, now: datetime
) -> SubmitGroup:
    """An entry and its exits as one request; raise `InvalidRequestError`, also for exits on the wrong sides of the entry."""
    said = {**details}
    group_id = details.get("group_id") or random_group_id()
    for name in ("group_id", *Exits.__annotations__):
        said.pop(name, None)
    said.setdefault("client_order_id", f"{group_id}:entry")
    entry = order_request(what, side, quantity, said, strategy=strategy, now=now)  # type: ignore[arg-type]
    return group_request(
        GroupKind.BRACKET,
        [entry, *_exits(entry, group_id, details)],
        group_id=group_id,
        now=now,
        valid_until=details.get("valid_until"),
    )


def group_request(
    kind: GroupKind | str,
    orders: Sequence[SubmitOrder],
    *,
    now: datetime,
    oca_type: OcaType | str = OcaType.CANCEL,
    group_id: str | None = None,
    valid_until: datetime | None = None,
) -> SubmitGroup:
    """Orders as one request; raise `InvalidRequestError`, also where two of them have one id."""
    if len({order.client_order_id for order in orders}) < len(orders):
        raise InvalidRequestError("each order of a group needs a client_order_id of its own")
    group = SubmitGroup(
        group_id=group_id or random_group_id(),
        kind=kind,  # type: ignore[arg-type]  # checked below, as its reader will
        oca_type=oca_type,  # type: ignore[arg-type]
        orders=tuple(orders),
        requested_at=now,
        valid_until=valid_until,
    )
    return checked(ORDER_REQUESTS, group)


def random_group_id() -> str:
    """A new id for a group."""
    return uuid.uuid4().hex[:GROUP_ID_CHARACTERS]


def _exits(entry: SubmitOrder, group_id: str, said: Exits) -> list[SubmitOrder]:
    profit = optional_decimal(said.get("take_profit"), what="take profit")
    stop = optional_decimal(said.get("stop_loss"), what="stop loss")
    limit = optional_decimal(said.get("stop_loss_limit"), what="stop loss limit")
    _refuse_crossed(entry, profit, stop)
    in_force = said.get("exit_time_in_force", TimeInForce.GTC)
    exits = []
    if profit is not None:
        exits.append(_exit(entry, f"{group_id}:profit", OrderType.LIMIT, in_force, limit_price=profit))
    if stop is not None:
        kind = OrderType.STOP if limit is None else OrderType.STOP_LIMIT
        exits.append(_exit(entry, f"{group_id}:stop", kind, in_force, stop_price=stop, limit_price=limit))
    elif limit is not None:
        raise InvalidRequestError("a stop_loss_limit wants a stop_loss, from which on it is the limit")
    return exits


def _exit(
    entry: SubmitOrder,
    client_order_id: str,
    order_type: OrderType,
    time_in_force: TimeInForce | str,
    *,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
) -> SubmitOrder:
    """The order that undoes `entry`, in its instrument and account, within its hours."""
    return SubmitOrder(
        client_order_id=client_order_id,
        strategy=entry.strategy,
        instrument=entry.instrument,
        side=Side.SELL if entry.side is Side.BUY else Side.BUY,
        quantity=entry.quantity,
        order_type=order_type,
        limit_price=limit_price,
        stop_price=stop_price,
        time_in_force=time_in_force,  # type: ignore[arg-type]  # checked with the group, as its reader will
        outside_regular_hours=entry.outside_regular_hours,
        account=entry.account,
        requested_at=entry.requested_at,
    )


def _refuse_crossed(entry: SubmitOrder, profit: Decimal | None, stop: Decimal | None) -> None:
    """An exit on the wrong side of the entry would fill as soon as the entry has."""
    if profit is None and stop is None:
        raise InvalidRequestError("a bracket needs a take_profit, a stop_loss, or both")
    ladder = [price for price in (stop, entry.limit_price, profit) if price is not None]
    if entry.side is Side.SELL:
        ladder.reverse()
    if ladder != sorted(set(ladder)):
        low, high = ("stop_loss", "take_profit") if entry.side is Side.BUY else ("take_profit", "stop_loss")
        raise InvalidRequestError(f"a {entry.side} bracket has its {low} below its entry and its {high} above")
