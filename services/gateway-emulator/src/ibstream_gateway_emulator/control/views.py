"""What happened, as rows: plain Structs that a test compares and the control API gives out as JSON. Times are UTC, aware."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from ibstream.simulation.sessions import from_ns
from ibstream_gateway_emulator.control.journal import Direction, LostOrder
from ibstream_gateway_emulator.domain.order_journal import JournalExecution, JournalOrder
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all rows."""


class ClientRow(Row, frozen=True, kw_only=True):
    """A connected client."""

    client_id: int
    is_congested: bool
    """Whether its ticks are left out, as it reads too slowly or stands frozen."""
    next_order_id: int
    tick_bytes: int
    """Bytes of ready-made ticks it was sent since its id was first seen."""


class OrderRow(Row, frozen=True, kw_only=True):
    """An order as it stands at IBKR; one that was rejected; or one that was lost on its way, by command."""

    outcome: Literal["taken", "rejected", "lost", "kept"]
    """`kept`: the Gateway keeps it until the link to IBKR is back."""
    client_id: int
    order_id: int
    order_ref: str
    perm_id: int = 0
    """0 for an order that was not taken."""
    symbol: str
    """As the client wrote it."""
    security_type: str
    action: str
    order_type: str
    tif: str
    quantity: Decimal | None
    limit_price: Decimal | None
    aux_price: Decimal | None
    placed: datetime
    status: str = ""
    """As orderStatus names it; empty for an order that was not taken."""
    filled: Decimal = Decimal(0)
    remaining: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    completed: datetime | None = None
    """None while it works."""
    parent_perm_id: int = 0
    acknowledged: bool = True
    """Whether its client was told of it by itself when it came; not with `lose_acknowledgement`, whatever it heard later."""
    code: int = 0
    """Why it was rejected."""
    text: str = ""
    """Why it was rejected; of a lost one, the fault that lost it, or `closed` or `reset`: it was on its way when the Gateway or
    the client cut the connection."""
    is_change: bool = False
    """Whether it is not an order but a change of one that was taken before, which stands as it stood."""


class ExecutionRow(Row, frozen=True, kw_only=True):
    """One execution as it counts now; a corrected one is there under its last id."""

    exec_id: str
    time: datetime
    perm_id: int
    client_id: int
    order_id: int
    order_ref: str
    symbol: str
    """The instrument's key, or the symbol of a combination."""
    side: str
    """BUY or SELL."""
    quantity: Decimal
    price: Decimal
    commission: Decimal
    """USD; 0 for a combination as a whole."""
    realized_pnl: Decimal | None
    """In the instrument's currency; None where it closed nothing."""
    is_combination: bool
    """Whether it stands for the executions of its legs."""
    replaces: str
    """The id of the execution that this one corrects; empty for none."""


class MessageRow(Row, frozen=True, kw_only=True):
    """One message on the wire."""

    number: int
    """Counts all messages from 1."""
    time: datetime
    client_id: int
    direction: Direction
    """`in` from the client, `out` to it."""
    name: str
    """Of the message: `OrderStatus`; of a request its number."""
    fields: tuple[str, ...]
    """As on the wire, the message id first."""


class Messages(Row, frozen=True, kw_only=True):
    """Messages that are kept and fit what was asked, oldest first."""

    messages: tuple[MessageRow, ...]
    dropped: int
    """How many older ones are no longer kept, whether they fit or not."""
    left_out: int
    """How many more are kept and fit, but were too many for one answer: older ones, or with `after` newer ones."""


class FaultRow(Row, frozen=True, kw_only=True):
    """A state in force."""

    verb: dict[str, Any]
    since: datetime
    until: datetime | None
    """None: until it is cleared."""
    left: int | None
    """How often it still happens; None: as long as it lasts."""


class CommandRow(Row, frozen=True, kw_only=True):
    """Something that was commanded, or the end of it."""

    time: datetime
    verb: dict[str, Any]
    ended: bool
    """Whether this is the end of a state."""


class FaultsView(Row, frozen=True, kw_only=True):
    """What is wrong, and what was."""

    in_force: tuple[FaultRow, ...]
    history: tuple[CommandRow, ...]
    orders_dropped: int
    """How many rejected and lost orders are no longer kept, as there were too many."""


def clients(gateway: Gateway) -> list[ClientRow]:
    """The connected clients, by id."""
    return [
        ClientRow(
            client_id=client_id,
            is_congested=client.outlet.is_congested,
            next_order_id=gateway.orders.next_order_id(client_id),
            tick_bytes=gateway.journal.tick_bytes.get(client_id, 0),
        )
        for client_id, client in sorted(gateway.clients.items())
    ]


def orders(gateway: Gateway) -> list[OrderRow]:
    """Every order that is remembered, in the order in which they came."""
    rows = [_order(one) for one in gateway.orders.log.orders(gateway.gap.unseen)]
    rows += [_lost(one) for one in gateway.journal.lost_orders]
    rows += _kept(gateway)
    return sorted(rows, key=lambda row: row.placed)


def executions(gateway: Gateway) -> list[ExecutionRow]:
    """Every execution that counts, by time."""
    return sorted(
        map(_execution, gateway.orders.log.executions(gateway.gap.unseen)), key=lambda row: (row.time, row.exec_id)
    )


def faults(gateway: Gateway) -> FaultsView:
    """What is in force, and what was commanded so far."""
    in_force = tuple(
        FaultRow(
            verb=verbs.to_builtins(one.verb),
            since=from_ns(one.since_ns),
            until=None if one.until_ns is None else from_ns(one.until_ns),
            left=one.left,
        )
        for one in gateway.faults.in_force()
    )
    return FaultsView(
        in_force=in_force,
        history=tuple(_commands(gateway)),
        orders_dropped=gateway.orders.log.refusals_dropped + gateway.journal.lost_orders_dropped,
    )


def _commands(gateway: Gateway) -> Iterator[CommandRow]:
    for one in gateway.journal.commands:
        yield CommandRow(time=from_ns(one.time_ns), verb=verbs.to_builtins(one.verb), ended=one.ended)


def _order(order: JournalOrder) -> OrderRow:
    said = {name: getattr(order, name) for name in order.__struct_fields__ if not name.endswith("_ns")}
    return OrderRow(
        **said,
        placed=from_ns(order.placed_ns),
        completed=from_ns(order.completed_ns) if order.completed_ns else None,
    )


def _lost(one: LostOrder) -> OrderRow:
    return _untaken("lost", one.order, one.client_id, one.time_ns, text=one.why, is_change=one.is_change)


def _kept(gateway: Gateway) -> Iterator[OrderRow]:
    """The orders, and changes of orders, that wait for the link; also those of orders that wait themselves."""
    waiting: set[tuple[int, int]] = set()
    for client, request, _, kept_ns in gateway.gap.kept:
        if isinstance(request, PlaceOrder) and not request.what_if:
            order = client.client_id, request.order_id
            is_change = order in waiting or gateway.orders.records.of_client(*order) is not None
            waiting.add(order)
            yield _untaken("kept", request, client.client_id, kept_ns, text="", is_change=is_change)


def _untaken(
    outcome: Literal["lost", "kept"], order: PlaceOrder, client_id: int, time_ns: int, *, text: str, is_change: bool
) -> OrderRow:
    return OrderRow(
        outcome=outcome,
        client_id=client_id,
        order_id=order.order_id,
        order_ref=order.order_ref,
        symbol=order.contract.symbol,
        security_type=order.contract.security_type,
        action=order.action,
        order_type=order.order_type,
        tif=order.tif or "DAY",
        quantity=order.quantity,
        limit_price=order.limit_price,
        aux_price=order.aux_price,
        placed=from_ns(time_ns),
        acknowledged=False,
        text=text,
        is_change=is_change,
    )


def _execution(one: JournalExecution) -> ExecutionRow:
    said = {name: getattr(one, name) for name in one.__struct_fields__ if name != "time_ns"}
    return ExecutionRow(**said, time=from_ns(one.time_ns))
