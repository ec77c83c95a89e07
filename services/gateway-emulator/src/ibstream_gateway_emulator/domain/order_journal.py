"""What happened to orders, as plain records: what a test compares with what clients believed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from copy import copy
from decimal import Decimal
from itertools import groupby
from typing import Literal

import msgspec

from ibstream.simulation.orders import Event
from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.domain.order_record import Execution, OrderRecord
from ibstream_gateway_emulator.domain.order_telling import tell
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.settings import EmulatorSettings

REFUSED_KEPT = 10_000
"""Rejected orders and changes that are remembered; the oldest are dropped first."""


class JournalOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order that reached the Gateway. Times are nanoseconds since 1970-01-01 UTC."""

    outcome: Literal["taken", "rejected"]
    client_id: int
    order_id: int
    order_ref: str
    symbol: str
    """As the client wrote it."""
    security_type: str
    action: str
    order_type: str
    quantity: Decimal | None
    limit_price: Decimal | None
    aux_price: Decimal | None
    tif: str
    placed_ns: int
    perm_id: int = 0
    """0 for an order that was not taken."""
    status: str = ""
    """As told last; empty for an order that was not taken."""
    filled: Decimal = Decimal(0)
    remaining: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    completed_ns: int = 0
    """0 while it works."""
    parent_perm_id: int = 0
    code: int = 0
    """Why it was rejected."""
    text: str = ""
    acknowledged: bool = True
    """Whether its client was told of it by itself when it came."""
    is_change: bool = False
    """Whether it is a change of an order, which stands as it stood."""


class JournalExecution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution that counts; of a combination there is one for the whole, and one for each leg."""

    exec_id: str
    perm_id: int
    client_id: int
    order_id: int
    order_ref: str
    symbol: str
    """The instrument's key, or the symbol of a combination."""
    side: str
    quantity: Decimal
    price: Decimal
    time_ns: int
    commission: Decimal
    """USD; 0 for a combination as a whole."""
    realized_pnl: Decimal | None
    """In the instrument's currency; None where it closed nothing."""
    is_combination: bool = False
    replaces: str = ""
    """The id of the execution that this one corrects."""


def after(records: Iterable[OrderRecord], unseen: Iterable[Event], settings: EmulatorSettings) -> list[OrderRecord]:
    """The records as they stand once `unseen`, which nobody was told of yet, is counted in. Those given stay as they are."""
    known = {record.perm_id: record for record in records}
    moved: set[int] = set()
    for order_id, befallen in groupby(unseen, key=lambda event: event.order_id):
        perm_id = int(order_id)
        if perm_id not in known:
            continue
        if perm_id not in moved:
            moved.add(perm_id)
            known[perm_id] = record = copy(known[perm_id])
            record.executions = list(record.executions)
        # The record moves along as what is told of it is read; nobody is told.
        deque(tell(known[perm_id], list(befallen), settings), maxlen=0)
    return list(known.values())


def rejected(
    client_id: int, order: PlaceOrder, code: Code, now_ns: int, *, is_change: bool, acknowledged: bool
) -> JournalOrder:
    """An order, or a change of one, that was rejected."""
    return JournalOrder(
        outcome="rejected",
        client_id=client_id,
        order_id=order.order_id,
        order_ref=order.order_ref,
        symbol=order.contract.symbol,
        security_type=order.contract.security_type,
        action=order.action,
        order_type=order.order_type,
        quantity=order.quantity,
        limit_price=order.limit_price,
        aux_price=order.aux_price,
        tif=order.tif,
        placed_ns=now_ns,
        code=code.code,
        text=code.text,
        is_change=is_change,
        acknowledged=acknowledged,
    )


def taken(record: OrderRecord) -> JournalOrder:
    """An order that was taken, as it stands."""
    placed = record.placed
    return JournalOrder(
        outcome="taken",
        client_id=record.client_id,
        order_id=record.order_id,
        order_ref=placed.order_ref,
        symbol=record.contract.symbol,
        security_type=record.contract.security_type,
        action=placed.action,
        order_type=placed.order_type,
        quantity=record.quantity,
        limit_price=placed.limit_price,
        aux_price=placed.aux_price,
        tif=placed.tif or "DAY",
        placed_ns=record.placed_ns,
        perm_id=record.perm_id,
        status=record.status,
        filled=record.filled,
        remaining=record.remaining,
        average_price=record.average_price,
        completed_ns=record.completed_ns,
        parent_perm_id=0 if record.parent is None else record.parent.perm_id,
        acknowledged=record.acknowledged,
    )


def execution(record: OrderRecord, one: Execution) -> JournalExecution:
    """An execution of an order."""
    fill = one.fill
    return JournalExecution(
        exec_id=fill.exec_id,
        perm_id=record.perm_id,
        client_id=record.client_id,
        order_id=record.order_id,
        order_ref=record.placed.order_ref,
        symbol=fill.symbol,
        side=fill.side,
        quantity=fill.quantity,
        price=fill.price,
        time_ns=one.executed_ns,
        commission=fill.commission,
        realized_pnl=fill.realized_pnl,
        is_combination=one.is_combination,
        replaces=getattr(fill, "replaces", ""),
    )
